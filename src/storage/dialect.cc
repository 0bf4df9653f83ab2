#include "storage/dialect.h"

#include <utility>

#include "storage/database_url.h"

namespace gbgreg::storage {

Result<std::unique_ptr<Dialect>> dialect_of(const Options& options) {
  if (is_sqlite_url(options.database_url)) return sqlite_dialect(options);
  if (is_postgres_url(options.database_url)) return postgres_dialect(options);
  // It is not shown: what we do not understand may have a password anywhere.
  return fail(Kind::malformed, "database_url",
              "The database URL must be sqlite:// and an absolute path, such as sqlite:///var/lib/gbgreg/gbgreg.db, or "
              "PostgreSQL's, such as postgresql://gbgreg@db.example.org/gbgreg.");
}

Result<void> check_database_url(const std::string& url) {
  const auto known = dialect_of({.database_url = url, .uploads_folder = {}});
  if (!known) return std::unexpected(known.error());
  return {};
}

Error database_away(std::string detail) {
  return {.kind = Kind::unavailable,
          .code = "storage_failed",
          .message = "The gateway cannot use its database at the moment. Its log says why; try again later.",
          .detail = std::move(detail),
          .retry_after_seconds = 10};
}

Error database_busy(std::string detail) {
  return {.kind = Kind::unavailable,
          .code = "database_busy",
          .message = "The gateway's database is busy. Send the request again in a moment.",
          .detail = std::move(detail),
          .retry_after_seconds = 1};
}

Error database_refused(std::string detail) {
  return {.kind = Kind::internal,
          .code = "database_failed",
          .message = "The gateway's database refused the operation. Its log says why.",
          .detail = std::move(detail)};
}

std::vector<std::string> texts(soci::session& session, const std::string& sql, const std::string& table) {
  const soci::rowset<std::string> rows = (session.prepare << sql, soci::use(table, "name"));
  return {rows.begin(), rows.end()};
}

}  // namespace gbgreg::storage
