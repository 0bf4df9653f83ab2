#include <fcntl.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include <utility>

#include "storage/blob_store.h"
#include "storage/database_url.h"
#include "storage/dialect.h"

namespace gbgreg::storage {
namespace {

constexpr std::string_view kScheme = "sqlite://";

// Before the first connection of the process; later it changes nothing. One thread at a time has a connection
// (storage/database.h), so it needs no locks of its own, and nobody asks how much memory the library has.
void set_up_library() {
  [[maybe_unused]] static const bool is_done = [] {
    return sqlite_api::sqlite3_config(SQLITE_CONFIG_MULTITHREAD) == SQLITE_OK &&
           sqlite_api::sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) == SQLITE_OK;
  }();
}

class SqliteDialect final : public Dialect {
 public:
  SqliteDialect(std::string path, std::chrono::milliseconds busy_timeout)
      : path_(std::move(path)), busy_timeout_(busy_timeout) {}

  std::string_view name() const override { return "sqlite"; }
  std::string place() const override { return std::string(kScheme) + path_; }

  void connect(soci::session& session) const override {
    set_up_library();
    make_private();
    session.open(soci::sqlite3, "dbname=\"" + path_ + "\"");
    session << "PRAGMA busy_timeout = " << busy_timeout_.count();
    // A commit survives a loss of power (FULL), and readers do not wait for the writer (WAL).
    session << "PRAGMA journal_mode = WAL";
    session << "PRAGMA synchronous = FULL";
    session << "PRAGMA foreign_keys = ON";
  }

  bool is_usable(soci::session& session) const override { return session.get_backend() != nullptr; }

  // IMMEDIATE takes the write lock first. A deferred transaction that reads and then writes fails at once, without the
  // busy timeout, when another connection wrote in between.
  void begin(soci::session& session, TransactionKind kind) const override {
    session << (kind == TransactionKind::snapshot ? "BEGIN DEFERRED" : "BEGIN IMMEDIATE");
  }
  void commit(soci::session& session) const override { session << "COMMIT"; }
  // It may have rolled back by itself, as when the disk is full, and then says that there is nothing to roll back.
  void roll_back(soci::session& session) const override { session << "ROLLBACK"; }

  // Without a number it is SOCI itself that complains, about a NULL or a column that we did not expect: our own fault.
  Error explain(const soci::soci_error& error, soci::session& /*session*/) const override {
    const auto* from_sqlite = dynamic_cast<const soci::sqlite3_soci_error*>(&error);
    return explain(from_sqlite != nullptr ? from_sqlite->result() & 0xff : SQLITE_ERROR, error.get_error_message());
  }
  // A failure to connect has no number: the file is away.
  Error explain_away(const soci::soci_error& error) const override {
    const auto* from_sqlite = dynamic_cast<const soci::sqlite3_soci_error*>(&error);
    return explain(from_sqlite != nullptr ? from_sqlite->result() & 0xff : SQLITE_CANTOPEN, error.get_error_message());
  }

  std::string definition(std::string_view statement) const override { return std::string(statement); }

  std::vector<std::string> tables(soci::session& session) const override {
    return texts(session, "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE :name ORDER BY name",
                 "gbgreg%");
  }
  std::vector<std::string> columns(soci::session& session, const std::string& table) const override {
    return texts(session, "SELECT name FROM pragma_table_info(:name) ORDER BY cid", table);
  }
  std::vector<std::string> primary_key(soci::session& session, const std::string& table) const override {
    return texts(session, "SELECT name FROM pragma_table_info(:name) WHERE pk > 0 ORDER BY pk", table);
  }
  // Of a number with a fraction it would give 15 digits.
  std::string exact(const std::string& column) const override {
    return "CASE typeof(" + column + ") WHEN 'real' THEN printf('%!.17g', " + column + ") ELSE " + column + " END";
  }
  std::string now() const override { return "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS integer)"; }

 private:
  // SQLite would let everybody read the file that it makes; those beside it get the mode of the first. One that was
  // there keeps its own.
  void make_private() const {
    const OwnedFile made(::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  }

  static Error explain(int number, std::string detail) {
    switch (number) {
      case SQLITE_FULL: {
        Error full = database_away(std::move(detail));
        full.code = "storage_full";
        full.message = "The gateway's disk is full. Free some space on it, then send the request again.";
        full.retry_after_seconds = 30;
        return full;
      }
      case SQLITE_BUSY:
      case SQLITE_LOCKED:
        return database_busy(std::move(detail));
      case SQLITE_IOERR:
      case SQLITE_READONLY:
      case SQLITE_CANTOPEN:
      case SQLITE_PERM:
      case SQLITE_AUTH:
      case SQLITE_CORRUPT:
      case SQLITE_NOTADB:
        return database_away(std::move(detail));
      default:
        return database_refused(std::move(detail));
    }
  }

  std::string path_;
  std::chrono::milliseconds busy_timeout_;
};

}  // namespace

bool is_sqlite_url(std::string_view url) { return url.starts_with(kScheme); }

Result<std::string> sqlite_path(std::string_view url) {
  const std::string_view path = is_sqlite_url(url) ? url.substr(kScheme.size()) : std::string_view{};
  // SOCI takes the path between quotes and knows no escape for them.
  const bool is_usable = path.size() > 1 && path.front() == '/' && path.find('"') == path.npos;
  if (!is_usable) {
    return fail(Kind::malformed, "database_url",
                "The database URL must be sqlite:// and an absolute path, such as sqlite:///var/lib/gbgreg/gbgreg.db.");
  }
  return std::string(path);
}

Result<std::unique_ptr<Dialect>> sqlite_dialect(const Options& options) {
  auto path = sqlite_path(options.database_url);
  if (!path) return std::unexpected(std::move(path.error()));
  return std::make_unique<SqliteDialect>(std::move(*path), options.database_busy_timeout);
}

}  // namespace gbgreg::storage
