// The rows of what models saw on uploaded images. Those that are queued or running are the queue, which so survives a
// restart. They go with their upload (uploads.cc).
//
// Blocking: for the storage pool. Any thread may use it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "storage/database.h"

namespace gbgreg::storage {

// One row. All text is valid UTF-8 without NUL.
struct Analysis {
  std::string id;
  std::string upload_id;
  std::string image_sha256;       // Of the image as it was uploaded.
  std::string status = "queued";  // "queued", "running", "done", "failed".
  std::string prompt;
  std::optional<std::string> model = {};
  std::optional<std::string> role = {};
  std::optional<std::string> description = {};     // What the model said.
  std::optional<std::string> extracted_text = {};  // What was read off the image; of one that failed as well.
  std::int64_t width = 0;                          // Of the image, upright; zero until it has been looked at.
  std::int64_t height = 0;
  std::int64_t duration_ms = 0;  // From its beginning to its end, without its time in the queue.
  std::optional<std::string> error_code = {};
  std::optional<std::string> error_message = {};
  std::string created_at;  // RFC 3339.
  std::optional<std::string> finished_at = {};

  bool is_finished() const { return status == "done" || status == "failed"; }
  bool operator==(const Analysis&) const = default;
};

struct AnalysisQuery {
  int limit = 20;
  std::string cursor = {};  // From a page before, or empty.
  std::string q = {};       // Only where description, text or prompt contains it (ASCII case ignored), or empty.
};

struct AnalysisPage {
  std::vector<Analysis> analyses;  // Newest first.
  std::optional<std::string> next_cursor;
};

class ScreenshotStore {
 public:
  static constexpr int kListLimitMax = 50;  // Each may have some 100 KB of text.

  // `gateway`: where several use the database, by which id this one is known. Each takes only what came in by itself,
  // for the images are in its own folder, and what another one works on is not its to queue again.
  explicit ScreenshotStore(Database& database, std::string gateway = {})
      : database_(database), gateway_(std::move(gateway)) {}

  // Errors: not_found (upload_not_found: there is no such upload any more).
  Result<void> insert(const Analysis& analysis);
  // As insert(), while fewer than `queued_max` are queued. Errors: busy (screenshot_queue_full) as well.
  Result<void> enqueue(const Analysis& analysis, int queued_max);

  // The oldest that is queued, which is running from now on; nothing when none is.
  Result<std::optional<Analysis>> take_next();
  // Those that ran when the last process ended are queued again. Gives back how many are queued then.
  Result<int> requeue();

  // Writes the row anew. Errors: not_found (it went with its upload).
  Result<void> update(const Analysis& analysis);

  // Errors: not_found.
  Result<Analysis> find(std::string_view id);
  // Errors: malformed (a cursor that we did not make, a limit out of bounds).
  Result<AnalysisPage> list(const AnalysisQuery& query);

  // The newest that is done of the same image, asked the same of the same model.
  struct Same {
    std::string image_sha256;
    std::string prompt;
    std::string model;
  };
  Result<std::optional<Analysis>> find_done(const Same& same);

 private:
  Database& database_;
  std::string gateway_;  // Empty of one that is alone, which takes all.
};

}  // namespace gbgreg::storage
