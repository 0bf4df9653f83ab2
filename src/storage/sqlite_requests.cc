#include "storage/sqlite_requests.h"

#include <soci/sqlite3/soci-sqlite3.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/bound_request.h"

namespace gbgreg::storage {
namespace {

using namespace sqlite_api;  // NOLINT(google-build-using-namespace): that is where SOCI puts SQLite's names.

struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

// Rows of one statement: SQLite finds the end of the table once for all of them.
constexpr std::size_t kRowsAtOnce = 16;

// "(?, ?, …), (?, ?, …)"
std::string values_of(std::size_t rows) {
  std::string text;
  for (std::size_t i = 0; i < rows; ++i) {
    text.append(i == 0 ? "(" : ", (").append(kRequestPlaces).append(")");
  }
  return text;
}

// A statement that writes `at_once` rows each time.
class Insert {
 public:
  Insert(sqlite3* connection, std::size_t at_once) : connection_(connection), at_once_(at_once) {
    const std::string sql = "INSERT INTO gbgreg_requests (" + std::string(kRequestColumns) + ") VALUES " +
                            values_of(at_once) + " ON CONFLICT (id) DO NOTHING";
    sqlite3_stmt* prepared = nullptr;
    check(sqlite3_prepare_v2(connection, sql.c_str(), static_cast<int>(sql.size()), &prepared, nullptr), SQLITE_OK);
    statement_.reset(prepared);
    bound_.resize(static_cast<std::size_t>(sqlite3_bind_parameter_count(prepared)));
  }

  // As many as it writes at once, and the front of `rows` then begins behind them. They stay where they are as long as
  // this lives, for their texts are not copied.
  void write(std::span<const RequestRow>& rows) {
    place_ = 0;
    for (const RequestRow& row : rows.first(at_once_)) each_column(row, *this);
    check(sqlite3_step(statement_.get()), SQLITE_DONE);
    check(sqlite3_reset(statement_.get()), SQLITE_OK);
    rows = rows.subspan(at_once_);
  }

  // The next value of a row, for each_column(). Most are what they were in the rows before, and stay bound.
  void operator()(std::string_view text) {
    Bound& bound = bound_[place_++];
    if (bound.is_bound && bound.text == text) return;
    // A view of nothing may have no address, which would be NULL.
    const char* begin = text.empty() ? "" : text.data();
    check(sqlite3_bind_text(statement_.get(), static_cast<int>(place_), begin, static_cast<int>(text.size()),
                            SQLITE_STATIC),
          SQLITE_OK);
    bound = {.is_bound = true, .text = text};
  }
  void operator()(std::int64_t number) {
    Bound& bound = bound_[place_++];
    if (bound.is_bound && bound.number == number) return;
    check(sqlite3_bind_int64(statement_.get(), static_cast<int>(place_), number), SQLITE_OK);
    bound = {.is_bound = true, .number = number};
  }
  void operator()(double number) {
    check(sqlite3_bind_double(statement_.get(), static_cast<int>(++place_), number), SQLITE_OK);
  }

 private:
  // What a place holds; a column has one type.
  struct Bound {
    bool is_bound = false;
    std::string_view text = {};
    std::int64_t number = 0;
  };
  void check(int status, int expected) const {
    if (status != expected) throw soci::sqlite3_soci_error(sqlite3_errmsg(connection_), status);
  }

  sqlite3* connection_;
  std::size_t at_once_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  std::vector<Bound> bound_;
  std::size_t place_ = 0;
};

}  // namespace

bool insert_by_sqlite(soci::session& session, std::span<const RequestRow> rows) {
  if (session.get_backend_name() != "sqlite3") return false;
  sqlite3* connection = static_cast<soci::sqlite3_session_backend*>(session.get_backend())->conn_;
  if (rows.size() >= kRowsAtOnce) {
    Insert insert(connection, kRowsAtOnce);
    while (rows.size() >= kRowsAtOnce) insert.write(rows);
  }
  if (rows.empty()) return true;
  Insert insert(connection, 1);
  while (!rows.empty()) insert.write(rows);
  return true;
}

}  // namespace gbgreg::storage
