#include "storage/snapshot.h"

#include <fcntl.h>
#include <sqlite3.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "storage/blob_store.h"
#include "storage/copy_rows.h"
#include "storage/database_url.h"
#include "storage/integrity.h"
#include "storage/migrations.h"

namespace gbgreg::storage {
namespace {

constexpr int kBusyMs = 10'000;
constexpr std::chrono::hours kCheckTimeMax{1};
constexpr int kNamesMax = 3;  // Of each table.

struct Close {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
};
using Opened = std::unique_ptr<sqlite3, Close>;

void remove_copy(const std::filesystem::path& copy) {
  std::error_code ignored;
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) std::filesystem::remove(copy.string() + suffix, ignored);
}

std::unexpected<Error> explain(int status, std::string detail) {
  switch (status & 0xff) {
    case SQLITE_FULL:
    case SQLITE_IOERR:
      return fail(Kind::unavailable, "storage_full", "There is no room for a copy of the database.", std::move(detail));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return fail(Kind::malformed, "database_corrupt", "The database file is damaged, or is no SQLite database.",
                  std::move(detail));
    default:
      return fail(Kind::unavailable, "database_unreadable", "The database file cannot be read.", std::move(detail));
  }
}

Result<Opened> open_file(const std::filesystem::path& path, int flags) {
  sqlite3* opened = nullptr;
  const int status = sqlite3_open_v2(path.c_str(), &opened, flags, nullptr);
  Opened handle(opened);
  if (status != SQLITE_OK) return explain(status, opened != nullptr ? sqlite3_errmsg(opened) : "out of memory");
  sqlite3_busy_timeout(opened, kBusyMs);
  return handle;
}

Result<void> copy_pages(const std::filesystem::path& database, const std::filesystem::path& copy) {
  auto from = open_file(database, SQLITE_OPEN_READONLY);
  if (!from) return std::unexpected(std::move(from.error()));
  auto to = open_file(copy, SQLITE_OPEN_READWRITE);
  if (!to) return std::unexpected(std::move(to.error()));
  sqlite3_backup* backup = sqlite3_backup_init(to->get(), "main", from->get(), "main");
  if (backup == nullptr) return explain(sqlite3_errcode(to->get()), sqlite3_errmsg(to->get()));
  // All pages in one step: one reader's view, so it never begins again, and in WAL mode no writer waits for it.
  const int stepped = sqlite3_backup_step(backup, -1);
  const int finished = sqlite3_backup_finish(backup);
  if (stepped != SQLITE_DONE) return explain(stepped, sqlite3_errstr(stepped));
  if (finished != SQLITE_OK) return explain(finished, sqlite3_errmsg(to->get()));
  return {};
}

// Names of tables stand in SQL as they are, so only such as are ours.
bool is_plain_name(std::string_view name) {
  return name.starts_with("gbgreg_") &&
         std::ranges::all_of(name, [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
}

std::vector<std::string> tables_with_sizes(soci::session& session) {
  const soci::rowset<std::string> names =
      (session.prepare << "SELECT name FROM sqlite_master AS tables WHERE type = 'table'"
                          " AND EXISTS (SELECT 1 FROM pragma_table_info(tables.name) WHERE name = 'sha256')"
                          " AND EXISTS (SELECT 1 FROM pragma_table_info(tables.name) WHERE name = 'size_bytes')");
  std::vector<std::string> tables(names.begin(), names.end());
  std::erase_if(tables, [](const std::string& name) { return !is_plain_name(name); });
  return tables;
}

}  // namespace

namespace {

Result<void> make_file(const std::filesystem::path& copy) {
  const OwnedFile made(::open(copy.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!made.is_open()) return std::unexpected(disk_error(errno, "make a copy of the database"));
  return {};
}

// The rows of a server, in the file that is there for them.
Result<void> copy_from_server(const std::string& url, const std::filesystem::path& copy, const Clock& clock) {
  auto from = Database::open({.database_url = url, .uploads_folder = {}, .database_connections = 1});
  if (!from) return std::unexpected(std::move(from.error()));
  const auto version = schema_version(**from);
  if (!version) return std::unexpected(version.error());
  if (*version == 0) {
    return fail(Kind::not_found, "database_missing", "There is no database: no gateway has run here.",
                (*from)->place() + " has no tables");
  }
  auto to =
      Database::open({.database_url = "sqlite://" + copy.string(), .uploads_folder = {}, .database_connections = 1});
  if (!to) return std::unexpected(std::move(to.error()));
  if (auto migrated = migrate(**to, clock); !migrated) return std::unexpected(std::move(migrated.error()));
  const auto copied = copy_rows(**from, **to, [](const RowsProgress&) {});
  if (!copied) return std::unexpected(copied.error());
  return {};
}

Result<void> copy_from(const std::string& url, const std::filesystem::path& copy, const Clock& clock) {
  if (is_sqlite_url(url)) {
    const auto path = sqlite_path(url);
    if (!path) return std::unexpected(path.error());
    return copy_database(*path, copy);
  }
  if (auto made = make_file(copy); !made) return made;
  auto copied = copy_from_server(url, copy, clock);
  if (!copied) remove_copy(copy);
  return copied;
}

}  // namespace

Result<void> copy_database(const std::filesystem::path& database, const std::filesystem::path& copy) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(database, error) || std::filesystem::file_size(database, error) == 0) {
    return fail(Kind::not_found, "database_missing", "There is no database: no gateway has run here.",
                database.string());
  }
  if (auto made = make_file(copy); !made) return made;
  auto copied = copy_pages(database, copy);
  if (!copied) remove_copy(copy);
  return copied;
}

Result<std::unique_ptr<Snapshot>> Snapshot::take(const std::string& database_url, const std::filesystem::path& copy,
                                                 const Clock& clock) {
  if (auto copied = copy_from(database_url, copy, clock); !copied) return std::unexpected(std::move(copied.error()));
  std::unique_ptr<Snapshot> snapshot(new Snapshot(copy));  // From here on it removes the copy.
  if (auto well = check_integrity(copy, kCheckTimeMax); !well) return std::unexpected(std::move(well.error()));
  const Options options{.database_url = "sqlite://" + copy.string(), .uploads_folder = {}, .database_connections = 1};
  auto opened = Database::open(options);
  if (!opened) return std::unexpected(std::move(opened.error()));
  snapshot->database_ = std::move(*opened);
  if (auto migrated = migrate(*snapshot->database_, clock); !migrated) {
    return std::unexpected(std::move(migrated.error()));
  }
  snapshot->uploads_ = std::make_unique<UploadStore>(*snapshot->database_, options.list_limit_max);
  return snapshot;
}

Snapshot::~Snapshot() {
  uploads_.reset();
  database_.reset();
  if (!copy_.empty()) remove_copy(copy_);
}

void Snapshot::release() {
  uploads_.reset();
  database_.reset();
  copy_.clear();
}

Result<std::set<std::string>> Snapshot::digests(std::string_view first_two_digits) {
  return uploads_->digests(first_two_digits);
}

Result<std::map<std::string, SizesSaid>> Snapshot::sizes(std::string_view first_two_digits) {
  const std::string from(first_two_digits);
  const std::string below = from + "g";  // Sorts behind every digest that begins so.
  return database_->with_connection([&](soci::session& session) -> Result<std::map<std::string, SizesSaid>> {
    std::map<std::string, SizesSaid> sizes;
    for (const std::string& table : tables_with_sizes(session)) {
      std::string sha256;
      long long smallest = 0, largest = 0;
      soci::statement rows = (session.prepare << "SELECT sha256, min(size_bytes), max(size_bytes) FROM " << table
                                              << " WHERE sha256 >= :from AND sha256 < :below GROUP BY sha256",
                              soci::into(sha256), soci::into(smallest), soci::into(largest), soci::use(from, "from"),
                              soci::use(below, "below"));
      rows.execute();
      while (rows.fetch()) {
        const SizesSaid said{.smallest = static_cast<std::uint64_t>(smallest),
                             .largest = static_cast<std::uint64_t>(largest)};
        const auto [known, is_new] = sizes.try_emplace(sha256, said);
        if (is_new) continue;
        known->second.smallest = std::min(known->second.smallest, said.smallest);
        known->second.largest = std::max(known->second.largest, said.largest);
      }
    }
    return sizes;
  });
}

Result<std::vector<std::string>> Snapshot::names_of(const std::string& sha256) {
  constexpr std::pair<const char*, const char*> kSources[] = {
      {"upload", "SELECT filename, id FROM gbgreg_uploads WHERE sha256 = :sha256 ORDER BY id LIMIT :most"},
      {"project", "SELECT path, project_id FROM gbgreg_project_files WHERE sha256 = :sha256 ORDER BY path LIMIT :most"},
  };
  return database_->with_connection([&](soci::session& session) -> Result<std::vector<std::string>> {
    std::vector<std::string> names;
    for (const auto& [what, sql] : kSources) {
      std::string name, id;
      const int most = kNamesMax;
      soci::statement rows = (session.prepare << sql, soci::into(name), soci::into(id), soci::use(sha256, "sha256"),
                              soci::use(most, "most"));
      rows.execute();
      while (rows.fetch()) {
        std::string line = name;
        names.push_back(line.append(" (").append(what).append(" ").append(id).append(")"));
      }
    }
    return names;
  });
}

}  // namespace gbgreg::storage
