#include "storage/integrity.h"

#include <sqlite3.h>

#include <memory>
#include <string>
#include <system_error>

namespace gbgreg::storage {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kInstructionsBetweenLooks = 10'000;  // Of SQLite's machine: well below a millisecond.

struct Close {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
};

int is_time_up(void* until) { return Clock::now() > *static_cast<const Clock::time_point*>(until) ? 1 : 0; }

// What quick_check says first: "ok", or which page is wrong.
int take_first_line(void* said, int, char** columns, char**) {
  auto& line = *static_cast<std::string*>(said);
  if (line.empty() && columns[0] != nullptr) line = columns[0];
  return 0;
}

std::unexpected<Error> corrupt(std::string detail) {
  return fail(Kind::malformed, "database_corrupt", "The database file is damaged, or is no SQLite database.",
              std::move(detail));
}

std::unexpected<Error> unreadable(std::string detail) {
  return fail(Kind::unavailable, "database_unreadable", "The database file cannot be opened.", std::move(detail));
}

}  // namespace

Result<void> check_integrity(const std::filesystem::path& database, std::chrono::milliseconds time_max) {
  std::error_code error;
  if (!std::filesystem::exists(database, error)) return {};
  if (!std::filesystem::is_regular_file(database, error)) return unreadable("it is no file");
  if (std::filesystem::file_size(database, error) == 0) return {};

  sqlite3* opened = nullptr;
  int status = sqlite3_open_v2(database.c_str(), &opened, SQLITE_OPEN_READONLY, nullptr);
  const std::unique_ptr<sqlite3, Close> handle(opened);
  Clock::time_point until = Clock::now() + time_max;
  std::string said;
  if (status == SQLITE_OK) {
    sqlite3_busy_timeout(opened, static_cast<int>(time_max.count()));
    sqlite3_progress_handler(opened, kInstructionsBetweenLooks, is_time_up, &until);
    status = sqlite3_exec(opened, "PRAGMA quick_check(1)", take_first_line, &said, nullptr);
  }
  switch (status & 0xff) {
    case SQLITE_OK:
      if (said != "ok") return corrupt(std::move(said));
      return {};
    case SQLITE_INTERRUPT:
    case SQLITE_BUSY:  // Somebody works with it.
      return {};
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return corrupt(sqlite3_errmsg(opened));
    default:
      return unreadable(opened != nullptr ? sqlite3_errmsg(opened) : "out of memory");
  }
}

}  // namespace gbgreg::storage
