#include "storage/database.h"

#include <soci/sqlite3/soci-sqlite3.h>

#include <string>
#include <string_view>
#include <utility>

namespace gbgreg::storage {
namespace {

constexpr std::string_view kSqliteScheme = "sqlite://";

Result<std::string> sqlite_path(std::string_view url) {
  const bool is_sqlite = url.starts_with(kSqliteScheme);
  const std::string_view path = is_sqlite ? url.substr(kSqliteScheme.size()) : std::string_view{};
  // SOCI takes the path between quotes and knows no escape for them.
  const bool is_usable = path.size() > 1 && path.front() == '/' && path.find('"') == path.npos;
  if (!is_usable) {
    return fail(Kind::malformed, "database_url",
                "The database URL must be sqlite:// and an absolute path, such as sqlite:///var/lib/gbgreg/gbgreg.db.",
                std::string(url));
  }
  return std::string(path);
}

void prepare(soci::session& session, const Options& options) {
  session << "PRAGMA busy_timeout = " << options.database_busy_timeout.count();
  // A commit survives a loss of power (FULL), and readers do not wait for the writer (WAL).
  session << "PRAGMA journal_mode = WAL";
  session << "PRAGMA synchronous = FULL";
  session << "PRAGMA foreign_keys = ON";
}

}  // namespace

Result<std::unique_ptr<Database>> Database::open(const Options& options) {
  const auto path = sqlite_path(options.database_url);
  if (!path) return std::unexpected(path.error());
  const auto connections = static_cast<std::size_t>(options.database_connections);
  std::unique_ptr<Database> database(new Database(connections));
  try {
    for (std::size_t i = 0; i < connections; ++i) {
      soci::session& session = database->pool_.at(i);
      session.open(soci::sqlite3, "dbname=\"" + *path + "\"");
      prepare(session, options);
    }
  } catch (const soci::sqlite3_soci_error& error) {
    return std::unexpected(explain(error));
  } catch (const soci::soci_error& error) {
    // A failure to connect has no number: the database is away.
    return std::unexpected(explain(SQLITE_CANTOPEN, error.what()));
  }
  return database;
}

Result<void> Database::check() {
  return with_connection([](soci::session& session) -> Result<void> {
    int one = 0;
    session << "SELECT 1 FROM gbgreg_schema_migrations LIMIT 1", soci::into(one);
    return {};
  });
}

// Without a number it is SOCI itself that complains, about a NULL or a column that we did not expect: our own fault.
Error Database::explain(const soci::soci_error& error) {
  const auto* from_sqlite = dynamic_cast<const soci::sqlite3_soci_error*>(&error);
  return explain(from_sqlite != nullptr ? from_sqlite->result() & 0xff : SQLITE_ERROR, error.what());
}

Error Database::explain(int sqlite_number, std::string detail) {
  Error answer{.kind = Kind::internal,
               .code = "database_failed",
               .message = "The gateway's database refused the operation. Its log says why.",
               .detail = std::move(detail)};
  switch (sqlite_number) {
    case SQLITE_FULL:
      answer.kind = Kind::unavailable;
      answer.code = "storage_full";
      answer.message = "The gateway's disk is full. Free some space on it, then send the request again.";
      answer.retry_after_seconds = 30;
      break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      answer.kind = Kind::unavailable;
      answer.code = "database_busy";
      answer.message = "The gateway's database is busy. Send the request again in a moment.";
      answer.retry_after_seconds = 1;
      break;
    case SQLITE_IOERR:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      answer.kind = Kind::unavailable;
      answer.code = "storage_failed";
      answer.message = "The gateway cannot use its database at the moment. Its log says why; try again later.";
      answer.retry_after_seconds = 10;
      break;
    default:
      break;
  }
  return answer;
}

// IMMEDIATE takes the write lock first. A deferred transaction that reads and then writes fails at once, without the
// busy timeout, when another connection wrote in between.
Database::Transaction::Transaction(soci::session& session) : session_(session) { session_ << "BEGIN IMMEDIATE"; }

Database::Transaction::~Transaction() {
  if (committed_) return;
  try {
    session_ << "ROLLBACK";
  } catch (const soci::soci_error&) {
    // SQLite has rolled back by itself, as it does when the disk is full.
  }
}

void Database::Transaction::commit() {
  session_ << "COMMIT";
  committed_ = true;
}

}  // namespace gbgreg::storage
