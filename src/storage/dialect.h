// What is different between the databases that we speak, and nothing else: sqlite_dialect.cc and postgres_dialect.cc.
// The SQL of the stores is what both understand (docs/decisions/0022-two-databases.md says by which rules).
//
// Any thread may call it; a session belongs to one thread at a time. What throws, throws soci::soci_error. What an
// error says is never made of the values that were bound: the hash of a key is one of them.
#pragma once

#include <soci/soci.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "storage/options.h"

namespace gbgreg::storage {

enum class TransactionKind : std::uint8_t {
  write,      // No other one writes from its beginning to its end.
  migration,  // The same, but it waits for another's migration, and may take as long as it takes.
  snapshot,   // Reads only, all of it of one moment.
};

class Dialect {
 public:
  virtual ~Dialect() = default;

  // "sqlite" or "postgresql".
  virtual std::string_view name() const = 0;
  // Where the database is, for people and logs: the URL without any secret.
  virtual std::string place() const = 0;

  // Opens a closed session and prepares it. Throws; the session may be open then, and is not to be used.
  virtual void connect(soci::session& session) const = 0;
  // Whether the connection seems to live, without asking the server. Does not throw.
  virtual bool is_usable(soci::session& session) const = 0;

  // Around whatever is done with a usable connection: as long as it lasts, a server that does not answer is not waited
  // for beyond a bound. Neither throws.
  virtual void begin_use(soci::session&) const {}
  virtual void end_use(soci::session&) const {}

  virtual void begin(soci::session& session, TransactionKind kind) const = 0;
  virtual void commit(soci::session& session) const = 0;
  virtual void roll_back(soci::session& session) const = 0;

  // Errors: unavailable (storage_full, storage_failed, database_busy), or internal for what the database refused. The
  // detail has no secret of the URL in it.
  virtual Error explain(const soci::soci_error& error, soci::session& session) const = 0;
  // Of a failure of connect(): the database is away, or will not have us.
  virtual Error explain_away(const soci::soci_error& error) const = 0;

  // What a statement of a migration is for this database.
  virtual std::string definition(std::string_view statement) const = 0;

  // Our own tables, by name; a table's columns in their order; those of its primary key in theirs.
  virtual std::vector<std::string> tables(soci::session& session) const = 0;
  virtual std::vector<std::string> columns(soci::session& session, const std::string& table) const = 0;
  virtual std::vector<std::string> primary_key(soci::session& session, const std::string& table) const = 0;
  // What gives a column's value as text from which the same value can be made again.
  virtual std::string exact(const std::string& column) const = 0;
  // What gives the time by the database's own clock, which all who use it share: microseconds since the epoch.
  virtual std::string now() const = 0;
};

// Errors: malformed (database_url), without any of the URL's secrets.
Result<std::unique_ptr<Dialect>> dialect_of(const Options& options);

// The two of them; for dialect_of().
Result<std::unique_ptr<Dialect>> sqlite_dialect(const Options& options);
Result<std::unique_ptr<Dialect>> postgres_dialect(const Options& options);

// What both say when the database cannot be used, when it is busy, and when it refused what we asked.
Error database_away(std::string detail);
Error database_busy(std::string detail);
Error database_refused(std::string detail);

// One column of text of all rows.
std::vector<std::string> texts(soci::session& session, const std::string& sql, const std::string& table);

}  // namespace gbgreg::storage
