// A copy of the database as it is at one moment, for those who compare its rows with the bytes while a gateway goes on.
// Of SQLite it is SQLite's online backup, of PostgreSQL all rows of one snapshot in a file of SQLite's: neither waits
// for writers nor keeps them waiting. The copy gets the tables that this program knows, so a file that an older gbgreg
// made can be read as well; the original is only read.
//
// Blocking. One thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/error.h"
#include "storage/database.h"
#include "storage/uploads.h"

namespace gbgreg::storage {

// Every version of a database file's pages has whatever was committed when the copy began, and nothing half-done.
// `copy` is made anew, its owner's only. Errors: not_found (database_missing); malformed (database_corrupt);
// unavailable (storage_full, database_unreadable). After one there is no copy.
Result<void> copy_database(const std::filesystem::path& database, const std::filesystem::path& copy);

// What the rows say of the sizes of some bytes: one number, unless they contradict each other.
struct SizesSaid {
  std::uint64_t smallest = 0;
  std::uint64_t largest = 0;
};

class Snapshot {
 public:
  // Errors: those of copy_database, check_integrity and migrate; of PostgreSQL those of Database::open and copy_rows.
  static Result<std::unique_ptr<Snapshot>> take(const std::string& database_url, const std::filesystem::path& copy,
                                                const Clock& clock);
  // Removes the copy, unless release() was called.
  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  // The digests in use that begin with these two hexadecimal digits: UploadStore's word, for all tables.
  Result<std::set<std::string>> digests(std::string_view first_two_digits);
  // Sizes by digests, by every table that has both.
  Result<std::map<std::string, SizesSaid>> sizes(std::string_view first_two_digits);
  // A few of those that name these bytes, for people: "report.pdf (upload 0193…)".
  Result<std::vector<std::string>> names_of(const std::string& sha256);

  // Closes the copy, which stays, and is a database of this program's version.
  void release();

 private:
  explicit Snapshot(std::filesystem::path copy) : copy_(std::move(copy)) {}

  std::filesystem::path copy_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<UploadStore> uploads_;
};

}  // namespace gbgreg::storage
