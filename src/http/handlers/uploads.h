// The routes of uploaded files: take one, list, show, send its bytes, remove. HTTP only; what happens to a file is
// services/intake.h's story.
//
// One object for all requests, called on every I/O thread; it keeps nothing between them.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "core/core.h"
#include "http/call.h"
#include "http/options.h"
#include "net/exchange.h"
#include "services/intake.h"
#include "storage/uploads.h"

namespace gbgreg::http {

class UploadHandlers {
 public:
  UploadHandlers(services::Intake& intake, const Options& options)
      : intake_(intake), upload_bytes_max_(options.upload_bytes_max) {}

  // Of one file; a form that is being read keeps the bound that it began with. Any thread.
  std::uint64_t upload_bytes_max() const { return upload_bytes_max_.load(std::memory_order_relaxed); }
  void set_upload_bytes_max(std::uint64_t bytes_max) { upload_bytes_max_.store(bytes_max, std::memory_order_relaxed); }

  // POST /api/upload/file
  Task<Result<void>> upload_file(Call& call);
  // GET /api/uploads?limit&cursor&kind&q
  Task<Result<void>> list(net::Exchange& exchange);
  // GET /api/uploads/{id}
  Task<Result<void>> find(net::Exchange& exchange, std::string id);
  // GET /api/uploads/{id}/content, with Range and If-None-Match
  Task<Result<void>> content(net::Exchange& exchange, std::string id);
  // DELETE /api/uploads/{id}
  Task<Result<void>> remove(Call& call);

 private:
  services::Intake& intake_;
  std::atomic<std::uint64_t> upload_bytes_max_;
};

}  // namespace gbgreg::http
