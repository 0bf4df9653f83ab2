// The routes of projects: take many files or an archive, list, show, send files, remove. HTTP only; what happens to the
// files is services/projects.h's story.
//
// One object for all requests, called on every I/O thread; it keeps nothing between them.
#pragma once

#include <string>

#include "core/core.h"
#include "http/call.h"
#include "http/handlers/uploads.h"
#include "net/exchange.h"
#include "services/projects.h"

namespace gbgreg::http {

class ProjectHandlers {
 public:
  // `uploads` knows how large an upload may be at the moment.
  ProjectHandlers(services::Projects& projects, services::Intake& intake, const UploadHandlers& uploads)
      : projects_(projects), intake_(intake), uploads_(uploads) {}

  // POST /api/upload/project
  Task<Result<void>> upload_project(Call& call);
  // POST /api/upload/zip
  Task<Result<void>> upload_archive(Call& call);
  // GET /api/projects?limit&cursor
  Task<Result<void>> list(net::Exchange& exchange);
  // GET /api/projects/{id}
  Task<Result<void>> find(net::Exchange& exchange, std::string id);
  // GET /api/projects/{id}/files?limit&after&folder
  Task<Result<void>> files(net::Exchange& exchange, std::string id);
  // GET /api/projects/{id}/files/{path}, with Range and If-None-Match. `parameter` is what follows "/api/projects/".
  Task<Result<void>> file(net::Exchange& exchange, std::string id, std::string path);
  // DELETE /api/projects/{id}
  Task<Result<void>> remove(Call& call);

 private:
  services::Projects& projects_;
  services::Intake& intake_;
  const UploadHandlers& uploads_;
};

}  // namespace gbgreg::http
