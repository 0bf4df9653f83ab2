// The routes of uploaded files: take one, list, show, send its bytes, remove. HTTP only; what happens to a file is
// services/intake.h's story.
//
// One object for all requests, called on every I/O thread; it keeps nothing between them.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/core.h"
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
  Task<Result<void>> upload_file(net::Exchange& exchange);
  // GET /api/uploads?limit&cursor&kind&q
  Task<Result<void>> list(net::Exchange& exchange);
  // GET /api/uploads/{id}
  Task<Result<void>> find(net::Exchange& exchange, std::string id);
  // GET /api/uploads/{id}/content, with Range and If-None-Match
  Task<Result<void>> content(net::Exchange& exchange, std::string id);
  // DELETE /api/uploads/{id}
  Task<Result<void>> remove(net::Exchange& exchange, std::string id);

 private:
  services::Intake& intake_;
  std::atomic<std::uint64_t> upload_bytes_max_;
};

// The parts of these answers that are worth a table of their own in the tests. Pure.

// Bytes from `first` on, `size` of them.
struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t size = 0;
  bool operator==(const ByteRange&) const = default;
};

enum class RangeAnswer : std::uint8_t { whole, part, unsatisfiable };

struct ChosenRange {
  RangeAnswer answer = RangeAnswer::whole;
  ByteRange range = {};
  bool operator==(const ChosenRange&) const = default;
};

// What a Range field asks of so many bytes (RFC 9110, 14.2). One range is honoured; several, another unit, or what
// cannot be read is answered by the whole.
ChosenRange choose_range(std::optional<std::string_view> field, std::uint64_t size_bytes);

// How a browser may be given the bytes: text of any kind as plain text and the four common images as they are, to be
// shown; all else to be saved. So nothing that was uploaded runs as a page of ours.
struct SafeType {
  std::string content_type;
  bool may_be_shown = false;
};
SafeType safe_type(const storage::Upload& upload);

// `attachment; filename="na_ve.txt"; filename*=UTF-8''na%C3%AFve.txt`
std::string content_disposition(std::string_view filename, bool may_be_shown);

}  // namespace gbgreg::http
