// A database and its connections: SQLite or PostgreSQL, by its URL. What is different between them is the Dialect's;
// the SQL of this room is what both understand.
//
// Blocking: for the storage pool. Any thread may use it; each use has a connection of its own. SOCI's exceptions end
// here: whoever calls with_connection or in_transaction gets a Result.
//
// A connection that died is opened again when it is next used, by one attempt. When that fails, those who come in as
// much time as it took fail at once: a server that does not answer takes at most half of anybody's time.
#pragma once

#include <soci/soci.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "core/error.h"
#include "storage/dialect.h"
#include "storage/options.h"

namespace gbgreg::storage {

class Database {
 public:
  // Opens the database, durable; SQLite's is made where there is none. Its schema is migrate()'s business.
  // Errors: malformed (the URL), unavailable (cannot be reached or opened, is locked, or is no database).
  static Result<std::unique_ptr<Database>> open(const Options& options);

  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // "sqlite" or "postgresql", and where it is, without any secret.
  std::string_view kind() const { return dialect_->name(); }
  std::string place() const { return dialect_->place(); }
  const Dialect& dialect() const { return *dialect_; }

  // Whether the database answers. Errors: unavailable.
  Result<void> check();

  // Lends a connection to `work`, which returns some Result<T>. Errors: those of work; unavailable (storage_full,
  // storage_failed, database_busy); internal for SQL that the database refuses.
  template <class Work>
  std::invoke_result_t<Work, soci::session&> with_connection(Work work) {
    const Lease lease(pool_);
    try {
      if (auto ready = make_usable(lease.session()); !ready) return std::unexpected(std::move(ready.error()));
      const Use use(*dialect_, lease.session());
      return work(lease.session());
    } catch (const soci::soci_error& error) {
      return std::unexpected(dialect_->explain(error, lease.session()));
    }
  }

  // The same within one transaction: committed when work succeeds, rolled back when it fails. Of those that write there
  // is one at a time, so what one has read is still so when it writes.
  template <class Work>
  std::invoke_result_t<Work, soci::session&> in_transaction(Work work, TransactionKind kind = TransactionKind::write) {
    return with_connection([this, &work, kind](soci::session& session) {
      Transaction transaction(*dialect_, session, kind);
      auto outcome = work(session);
      if (outcome) transaction.commit();
      return outcome;
    });
  }

 private:
  // A connection of the pool, for as long as this object lives.
  class Lease {
   public:
    explicit Lease(soci::connection_pool& pool) : pool_(pool), position_(pool.lease()) {}
    ~Lease() { pool_.give_back(position_); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    soci::session& session() const { return pool_.at(position_); }

   private:
    soci::connection_pool& pool_;
    std::size_t position_;
  };

  // Of a connection that is usable.
  class Use {
   public:
    Use(const Dialect& dialect, soci::session& session) : dialect_(dialect), session_(session) {
      dialect_.begin_use(session_);
    }
    ~Use() { dialect_.end_use(session_); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    const Dialect& dialect_;
    soci::session& session_;
  };

  class Transaction {
   public:
    Transaction(const Dialect& dialect, soci::session& session, TransactionKind kind);
    ~Transaction();
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    void commit();

   private:
    void roll_back();

    const Dialect& dialect_;
    soci::session& session_;
    bool committed_ = false;
  };

  Database(std::unique_ptr<Dialect> dialect, std::size_t connections)
      : dialect_(std::move(dialect)), pool_(connections) {}

  Result<void> make_usable(soci::session& session);
  Result<void> reopen(soci::session& session);

  std::unique_ptr<Dialect> dialect_;
  soci::connection_pool pool_;
  std::atomic<std::chrono::steady_clock::time_point> away_until_{};
  std::atomic<bool> is_away_ = false;  // For the log, which is told once.
};

}  // namespace gbgreg::storage
