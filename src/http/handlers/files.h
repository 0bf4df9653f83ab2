// OpenAI's files: POST and GET /v1/files, GET and DELETE /v1/files/{id}, GET /v1/files/{id}/content. They are the same
// uploads that /api/uploads shows, in another shape and under other ids.
//
// One object for all requests, called on every I/O thread; it keeps nothing between them.
#pragma once

#include "core/core.h"
#include "http/call.h"
#include "http/handlers/uploads.h"
#include "services/intake.h"

namespace gbgreg::http {

class FileHandlers {
 public:
  // All outlive this. `uploads` sends the bytes, and knows how many a file may have.
  FileHandlers(services::Intake& intake, UploadHandlers& uploads) : intake_(intake), uploads_(uploads) {}

  // A form of `file` and `purpose`.
  Task<Result<void>> create(Call& call);
  // ?purpose&limit&order&after. A page has at most Intake::list_limit_max() files, however many were asked for, and
  // says whether there are more.
  Task<Result<void>> list(Call& call);
  Task<Result<void>> find(Call& call);
  Task<Result<void>> content(Call& call);
  Task<Result<void>> remove(Call& call);

 private:
  services::Intake& intake_;
  UploadHandlers& uploads_;
};

}  // namespace gbgreg::http
