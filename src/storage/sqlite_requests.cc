#include "storage/sqlite_requests.h"

#include <soci/sqlite3/soci-sqlite3.h>

#include <memory>
#include <string>
#include <string_view>

#include "storage/bound_request.h"

namespace gbgreg::storage {
namespace {

using namespace sqlite_api;  // NOLINT(google-build-using-namespace): that is where SOCI puts SQLite's names.

struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

// Puts values into the places of a statement, one after another. Texts are not copied.
class Binder {
 public:
  explicit Binder(sqlite3_stmt* statement) : statement_(statement) {}
  void operator()(std::string_view text) {
    // A view of nothing has no address, which would be NULL.
    const char* begin = text.empty() ? "" : text.data();
    keep(sqlite3_bind_text(statement_, ++place_, begin, static_cast<int>(text.size()), SQLITE_STATIC));
  }
  void operator()(std::int64_t number) { keep(sqlite3_bind_int64(statement_, ++place_, number)); }
  void operator()(double number) { keep(sqlite3_bind_double(statement_, ++place_, number)); }
  int status() const { return status_; }

 private:
  void keep(int status) {
    if (status != SQLITE_OK) status_ = status;
  }
  sqlite3_stmt* statement_;
  int place_ = 0;
  int status_ = SQLITE_OK;
};

}  // namespace

bool insert_by_sqlite(soci::session& session, std::span<const RequestRow> rows) {
  if (session.get_backend_name() != "sqlite3") return false;
  sqlite3* connection = static_cast<soci::sqlite3_session_backend*>(session.get_backend())->conn_;
  const auto check = [&](int status, int expected) {
    if (status != expected) throw soci::sqlite3_soci_error(sqlite3_errmsg(connection), status);
  };
  const std::string sql = "INSERT INTO gbgreg_requests (" + std::string(kRequestColumns) + ") VALUES (" +
                          std::string(kRequestPlaces) + ") ON CONFLICT (id) DO NOTHING";
  sqlite3_stmt* prepared = nullptr;
  check(sqlite3_prepare_v2(connection, sql.c_str(), static_cast<int>(sql.size()), &prepared, nullptr), SQLITE_OK);
  const std::unique_ptr<sqlite3_stmt, Finalize> statement(prepared);
  for (const RequestRow& row : rows) {
    Binder bind(prepared);
    each_column(row, bind);
    check(bind.status(), SQLITE_OK);
    check(sqlite3_step(prepared), SQLITE_DONE);
    check(sqlite3_reset(prepared), SQLITE_OK);
  }
  return true;
}

}  // namespace gbgreg::storage
