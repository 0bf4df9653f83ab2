// A database and its connections. SQLite today; the SQL of this room is what SQLite and PostgreSQL both understand, so
// that a second URL scheme is a second open() and nothing else.
//
// Blocking: for the storage pool. Any thread may use it; each use has a connection of its own. SOCI's exceptions end
// here: whoever calls with_connection or in_transaction gets a Result.
#pragma once

#include <soci/soci.h>

#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "core/error.h"
#include "storage/options.h"

namespace gbgreg::storage {

class Database {
 public:
  // Opens or creates the database, durable (WAL, synchronous=FULL). Its schema is migrate()'s business.
  // Errors: malformed (the URL), unavailable (cannot be opened, is locked, or is no database).
  static Result<std::unique_ptr<Database>> open(const Options& options);

  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Whether the database answers. Errors: unavailable.
  Result<void> check();

  // Lends a connection to `work`, which returns some Result<T>. Errors: those of work; unavailable (storage_full,
  // storage_failed, database_busy); internal for SQL that the database refuses.
  template <class Work>
  std::invoke_result_t<Work, soci::session&> with_connection(Work work) {
    try {
      soci::session session(pool_);
      return work(session);
    } catch (const soci::soci_error& error) {
      return std::unexpected(explain(error));
    }
  }

  // The same within one write transaction: committed when work succeeds, rolled back when it fails.
  template <class Work>
  std::invoke_result_t<Work, soci::session&> in_transaction(Work work) {
    return with_connection([&work](soci::session& session) {
      Transaction transaction(session);
      auto outcome = work(session);
      if (outcome) transaction.commit();
      return outcome;
    });
  }

 private:
  class Transaction {
   public:
    explicit Transaction(soci::session& session);
    ~Transaction();
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    void commit();

   private:
    soci::session& session_;
    bool committed_ = false;
  };

  explicit Database(std::size_t connections) : pool_(connections) {}
  static Error explain(const soci::soci_error& error);
  static Error explain(int sqlite_number, std::string detail);

  soci::connection_pool pool_;
};

}  // namespace gbgreg::storage
