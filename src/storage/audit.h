// The rows of who did what to the gateway: made, deleted, changed or reloaded something, or was refused it.
//
// Rows are only ever added, and go when they are old or too many. Those of attempts that were refused are counted
// apart, so that however many of them come, none of what was done goes for them.
//
// Blocking: for the storage pool. Any thread may use it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "storage/database.h"

namespace gbgreg::storage {

inline constexpr std::string_view kCommandLine = "command line";
inline constexpr std::string_view kSignal = "signal";

// One row. All text is valid UTF-8 without NUL; what does not apply is empty or zero.
struct AuditRow {
  std::string id = {};          // A UUIDv7 of when it was over, and so in the order of time.
  std::string created_at = {};  // When it was over; RFC 3339.
  std::string actor = {};       // The id of a key, kCommandLine, kSignal, or empty: whoever it was had no key.
  std::string actor_name = {};  // Of the key, of the user of the system, of the signal.
  std::string peer = {};        // Where it came from over the network, without a port.
  std::string action = {};      // "key.create": what it was done to, and what.
  std::string target_kind = {};
  std::string target_id = {};
  std::string target_name = {};
  std::int64_t status = 0;  // HTTP's, of what came of it, whether it came by HTTP or not.
  std::string error_code = {};
  std::string request_id = {};
  std::int64_t left_out = 0;  // Attempts before this one that have no row (services/audit.h).

  // Whoever it was was told that it is their doing that nothing happened. One that left (499) may have changed
  // something.
  bool is_refused() const { return status >= 400 && status < 499; }
  bool operator==(const AuditRow&) const = default;
};

struct AuditQuery {
  int limit = 50;
  std::string cursor = {};                // From a page before, or empty.
  std::string action = {};                // Only this one, where not empty.
  std::optional<std::string> actor = {};  // Only this one's, who may be nobody.
};

struct AuditPage {
  std::vector<AuditRow> rows;  // Newest first.
  std::optional<std::string> next_cursor;
};

// What stays.
struct AuditKept {
  int done = 0;
  int refused = 0;
  std::string id_from = {};  // What is older goes in any case.
};

class AuditStore {
 public:
  static constexpr int kListLimitMax = 1'000;

  explicit AuditStore(Database& database) : database_(database) {}

  // All of them or none. Rows whose id is there already are left as they are.
  Result<void> insert(std::span<const AuditRow> rows);

  // Errors: malformed (a cursor that we did not make, a limit out of bounds).
  Result<AuditPage> list(const AuditQuery& query);

  // Removes what does not stay, the oldest first and at most `most` of each sort, so that nobody waits long for a
  // write; how many those were.
  Result<std::int64_t> forget(const AuditKept& kept, int most);

 private:
  Database& database_;
};

}  // namespace gbgreg::storage
