#include "storage/database.h"

#include <spdlog/spdlog.h>

namespace gbgreg::storage {

Result<std::unique_ptr<Database>> Database::open(const Options& options) {
  auto dialect = dialect_of(options);
  if (!dialect) return std::unexpected(std::move(dialect.error()));
  const auto connections = static_cast<std::size_t>(options.database_connections);
  std::unique_ptr<Database> database(new Database(std::move(*dialect), connections));
  for (std::size_t i = 0; i < connections; ++i) {
    try {
      database->dialect_->connect(database->pool_.at(i));
    } catch (const soci::soci_error& error) {
      return std::unexpected(database->dialect_->explain_away(error));
    }
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

Result<void> Database::make_usable(soci::session& session) {
  if (dialect_->is_usable(session)) return {};
  return reopen(session);
}

Result<void> Database::reopen(soci::session& session) {
  using Clock = std::chrono::steady_clock;
  const auto began = Clock::now();
  if (began < away_until_.load()) {
    return std::unexpected(database_away("an attempt to reach it has just failed, and is not repeated yet"));
  }
  try {
    session.close();
    dialect_->connect(session);
    if (is_away_.exchange(false)) spdlog::info("the database {} is there again", dialect_->place());
    return {};
  } catch (const soci::soci_error& error) {
    session.close();
    Error away = dialect_->explain_away(error);
    const auto ended = Clock::now();
    away_until_.store(ended + (ended - began));
    if (!is_away_.exchange(true)) spdlog::error("the database {} is away: {}", dialect_->place(), away.detail);
    return std::unexpected(std::move(away));
  }
}

Database::Transaction::Transaction(const Dialect& dialect, soci::session& session, TransactionKind kind)
    : dialect_(dialect), session_(session) {
  try {
    dialect_.begin(session_, kind);
  } catch (const soci::soci_error&) {
    roll_back();  // Where the lock is what was not to be had, the transaction has begun.
    throw;
  }
}

Database::Transaction::~Transaction() {
  if (!committed_) roll_back();
}

void Database::Transaction::commit() {
  dialect_.commit(session_);
  committed_ = true;
}

void Database::Transaction::roll_back() {
  try {
    dialect_.roll_back(session_);
  } catch (const soci::soci_error&) {
    // The connection is lost, or the database has rolled back by itself.
  }
}

}  // namespace gbgreg::storage
