// The rows of uploaded files. Their bytes are blob_store.h's; the order between the two is services/intake's.
//
// Blocking: for the storage pool. Any thread may use it.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "storage/database.h"

namespace gbgreg::storage {

// One row. All text is valid UTF-8 without NUL, which PostgreSQL would refuse.
struct Upload {
  std::string id;
  std::string filename;           // Safe to show and to use.
  std::string original_filename;  // What the client called it: data, never a path.
  std::string kind;               // "text", "code", "image", "archive", "document", "data".
  std::string media_type;
  std::optional<std::string> language = {};
  std::uint64_t size_bytes = 0;
  std::string sha256;
  std::optional<std::string> description = {};
  std::optional<std::string> duplicate_of = {};  // The first upload of the same bytes that is still there.
  std::optional<std::string> text_preview = {};
  std::string created_at;             // RFC 3339.
  std::string purpose = "user_data";  // What OpenAI's clients say that it is for.

  bool operator==(const Upload&) const = default;
};

enum class UploadOrder : std::uint8_t { newest_first, oldest_first };

struct UploadQuery {
  int limit = 50;
  std::string cursor = {};  // From a page before, or empty …
  std::string after = {};   // … or the last id of that page, when there is no cursor; it may have been removed since.
  UploadOrder order = UploadOrder::newest_first;
  std::string purpose = {};  // Only of this purpose, or empty.
  std::string kind = {};     // Only this kind, or empty.
  std::string q = {};        // Only where a name or the description contains it (ASCII case ignored), or empty.
};

struct UploadPage {
  std::vector<Upload> uploads;  // In the order that was asked for.
  std::optional<std::string> next_cursor;
};

struct RemovedUpload {
  std::string sha256;
  bool bytes_still_used = false;  // Another row, of whatever table, has the same bytes.
};

struct UploadsOfKind {
  std::string kind;
  std::int64_t count = 0;
  std::int64_t bytes = 0;
  bool operator==(const UploadsOfKind&) const = default;
};

class UploadStore {
 public:
  UploadStore(Database& database, int list_limit_max) : database_(database), list_limit_max_(list_limit_max) {}

  // Commits the row and gives it back with its duplicate_of.
  Result<Upload> insert(Upload upload);

  // Errors: not_found.
  Result<Upload> find(std::string_view id);

  // Errors: malformed (a cursor that we did not make, a limit out of bounds).
  Result<UploadPage> list(const UploadQuery& query);

  // The most that a page may have.
  int list_limit_max() const { return list_limit_max_; }

  // Forgets the row. When it was the first of its bytes, the next one takes its place. Errors: not_found.
  Result<RemovedUpload> remove(std::string_view id);

  // How many there are of each kind, and their bytes, of those with ids from `id_from` on: made since a time.
  Result<std::vector<UploadsOfKind>> totals(const std::string& id_from);

  // Whether any row of any table has these bytes (digests.h).
  Result<bool> uses(std::string_view sha256);

  // The digests in use that begin with these two hexadecimal digits.
  Result<std::set<std::string>> digests(std::string_view first_two_digits);

 private:
  Database& database_;
  int list_limit_max_;
};

// The same as a part of somebody's transaction. Nothing comes back when there is no such upload.
Upload insert_upload(soci::session& session, Upload upload);
std::optional<RemovedUpload> remove_upload(soci::session& session, const std::string& id);

}  // namespace gbgreg::storage
