#include "storage/copy_rows.h"

#include <algorithm>

#include "storage/migrations.h"

namespace gbgreg::storage {
namespace {

constexpr std::size_t kRowsOfPage = 500;
constexpr std::string_view kMigrationsTable = "gbgreg_schema_migrations";

std::vector<std::string> tables_with_rows(const Dialect& dialect, soci::session& session) {
  auto tables = dialect.tables(session);
  std::erase(tables, kMigrationsTable);
  return tables;
}

std::uint64_t count(soci::session& session, const std::string& table) {
  long long rows = 0;
  session << "SELECT count(*) FROM " << table, soci::into(rows);
  return static_cast<std::uint64_t>(rows);
}

std::vector<TableRows> count_all(const Dialect& dialect, soci::session& session) {
  const auto tables = tables_with_rows(dialect, session);
  std::vector<TableRows> counts;
  counts.reserve(tables.size());
  for (const std::string& table : tables) counts.push_back({.table = table, .rows = count(session, table)});
  return counts;
}

Result<void> check_version(Database& database) {
  const auto version = schema_version(database);
  if (!version) return std::unexpected(version.error());
  const int newest = newest_schema_version();
  if (*version == newest) return {};
  const bool is_older = *version < newest;
  return fail(Kind::conflict, is_older ? "schema_older" : "schema_newer",
              "The database " + database.place() + " has schema version " + std::to_string(*version) +
                  ", and this gbgreg has version " + std::to_string(newest) +
                  (is_older ? ". Run gbgreg db migrate on it first." : ". Use the newer gbgreg that made it."));
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

// ":c0, :c1, …"
std::string names_bound(char letter, std::size_t number) {
  std::vector<std::string> names;
  names.reserve(number);
  for (std::size_t i = 0; i < number; ++i) names.push_back(std::string(":") + letter + std::to_string(i));
  return joined(names);
}

// One row, as text: both databases make a number of it again where the column is one.
struct Row {
  explicit Row(std::size_t columns) : values(columns), indicators(columns, soci::i_null) {}
  std::vector<std::string> values;
  std::vector<soci::indicator> indicators;
};

// One table, page by page in the order of its primary key: no more than a page of it is ever in memory.
class TableCopy {
 public:
  TableCopy(const Dialect& dialect, soci::session& from, soci::session& to, std::string table)
      : from_(from),
        table_(std::move(table)),
        columns_(dialect.columns(from, table_)),
        selected_(columns_),
        key_(dialect.primary_key(from, table_)),
        row_(columns_.size()),
        insert_(to) {
    for (std::string& column : selected_) column = dialect.exact(column);
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      insert_.exchange(soci::use(row_.values[i], row_.indicators[i], "c" + std::to_string(i)));
    }
    insert_.alloc();
    insert_.prepare("INSERT INTO " + table_ + " (" + joined(columns_) + ") VALUES (" +
                    names_bound('c', columns_.size()) + ")");
    insert_.define_and_bind();
  }

  // How many rows it copied; none at the end.
  std::size_t copy_page() {
    soci::statement page(from_);
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      page.exchange(soci::into(row_.values[i], row_.indicators[i]));
    }
    const std::vector<std::string> behind = last_;
    for (std::size_t i = 0; i < behind.size(); ++i) page.exchange(soci::use(behind[i], "k" + std::to_string(i)));
    page.alloc();
    page.prepare("SELECT " + joined(selected_) + " FROM " + table_ + (behind.empty() ? "" : " WHERE " + bound()) +
                 " ORDER BY " + joined(key_) + " LIMIT " + std::to_string(kRowsOfPage));
    page.define_and_bind();
    std::size_t rows = 0;
    for (bool more = page.execute(true); more; more = page.fetch()) {
      insert_.execute(true);
      ++rows;
      if (rows == kRowsOfPage) remember();
    }
    return rows;
  }

 private:
  std::string bound() const { return "(" + joined(key_) + ") > (" + names_bound('k', key_.size()) + ")"; }

  void remember() {
    last_.clear();
    for (const std::string& name : key_) {
      const auto column = std::ranges::find(columns_, name) - columns_.begin();
      last_.push_back(row_.values[static_cast<std::size_t>(column)]);
    }
  }

  soci::session& from_;
  std::string table_;
  std::vector<std::string> columns_, selected_, key_, last_;
  Row row_;
  soci::statement insert_;
};

void copy_all(const Dialect& dialect, soci::session& from, soci::session& to, const std::vector<TableRows>& tables,
              const ShowRows& show) {
  RowsProgress progress;
  for (const TableRows& table : tables) progress.rows_total += table.rows;
  for (const TableRows& table : tables) {
    TableCopy copy(dialect, from, to, table.table);
    for (std::size_t rows = kRowsOfPage; rows == kRowsOfPage;) {
      rows = copy.copy_page();
      progress.rows_done += rows;
      show(progress);
    }
  }
}

}  // namespace

Result<std::vector<TableRows>> count_rows(Database& database) {
  const auto work = [&](soci::session& session) -> Result<std::vector<TableRows>> {
    return count_all(database.dialect(), session);
  };
  return database.in_transaction(work, TransactionKind::snapshot);
}

Result<std::vector<TableRows>> copy_rows(Database& from, Database& to, const ShowRows& show) {
  for (Database* each : {&from, &to}) {
    if (auto checked = check_version(*each); !checked) return std::unexpected(std::move(checked.error()));
  }
  using Counts = Result<std::vector<TableRows>>;
  const auto copy = [&](soci::session& source, soci::session& target) -> Counts {
    for (const TableRows& table : count_all(to.dialect(), target)) {
      if (table.rows == 0) continue;
      return fail(Kind::conflict, "target_not_empty",
                  "The database " + to.place() + " has rows already (" + table.table +
                      "). Copy into a new one, so that nothing is mixed with what is there.");
    }
    const auto there = count_all(from.dialect(), source);
    copy_all(from.dialect(), source, target, there, show);
    auto here = count_all(to.dialect(), target);
    if (here != there) {
      return fail(Kind::internal, "copy_incomplete", "The copy does not have as many rows as what was copied.");
    }
    return here;
  };
  // An error of the target ends both: its own transaction explains it.
  const auto read = [&](soci::session& source) -> Counts {
    const auto write = [&](soci::session& target) { return copy(source, target); };
    return to.in_transaction(write, TransactionKind::migration);
  };
  return from.in_transaction(read, TransactionKind::snapshot);
}

}  // namespace gbgreg::storage
