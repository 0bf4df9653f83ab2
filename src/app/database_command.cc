#include "app/database_command.h"

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "app/data_folder.h"
#include "protocols/json_writer.h"
#include "storage/database_url.h"
#include "storage/integrity.h"
#include "storage/storage.h"

namespace gbgreg::app {
namespace {

namespace fs = std::filesystem;
using storage::Database;
using storage::TableRows;

constexpr std::chrono::milliseconds kDrawEvery{100};
constexpr std::chrono::hours kIntegrityTimeMax{1};
constexpr int kConnections = 1;

int complain(const Error& error) {
  std::cerr << "gbgreg: " << error.message << (error.detail.empty() ? "" : " (" + error.detail + ")") << std::endl;
  return 1;
}

Result<std::unique_ptr<Database>> open(const std::string& url) {
  return Database::open({.database_url = url, .uploads_folder = {}, .database_connections = kConnections});
}

// SQLite makes a file where there is none, which is nothing that one would check, or copy from.
Result<std::unique_ptr<Database>> open_existing(const std::string& url) {
  if (storage::is_sqlite_url(url)) {
    const auto path = storage::sqlite_path(url);
    if (!path) return std::unexpected(path.error());
    std::error_code error;
    if (!fs::exists(*path, error)) {
      return fail(Kind::not_found, "database_missing", "There is no database: no gateway has run here.", *path);
    }
  }
  return open(url);
}

std::uint64_t total(const std::vector<TableRows>& tables) {
  std::uint64_t rows = 0;
  for (const TableRows& table : tables) rows += table.rows;
  return rows;
}

void print(const std::vector<TableRows>& tables) {
  for (const TableRows& table : tables) std::cout << fmt::format("  {:30} {:>12}\n", table.table, table.rows);
}

int migrate(const std::string& url) {
  auto database = open(url);
  if (!database) return complain(database.error());
  const auto done = storage::migrate(**database, SystemClock{});
  if (!done) return complain(done.error());
  std::cout << (*database)->place()
            << (done->from == done->to ? fmt::format(" has schema version {}: nothing was missing.\n", done->to)
                                       : fmt::format(" went from schema version {} to {}.\n", done->from, done->to))
            << std::flush;
  return 0;
}

struct Findings {
  std::string place;
  std::string kind;
  int version = 0;
  std::vector<TableRows> tables = {};
  std::vector<std::string> faults = {};  // Clauses.
};

Result<Findings> examine_database(const std::string& url) {
  auto database = open_existing(url);
  if (!database) return std::unexpected(std::move(database.error()));
  Findings findings{.place = (*database)->place(), .kind = std::string((*database)->kind())};
  const auto version = storage::schema_version(**database);
  if (!version) return std::unexpected(version.error());
  findings.version = *version;
  const int newest = storage::newest_schema_version();
  if (*version < newest) {
    findings.faults.push_back(
        fmt::format("it has schema version {}, and this gbgreg version {}: run gbgreg db migrate", *version, newest));
  } else if (*version > newest) {
    findings.faults.push_back(
        fmt::format("it has schema version {}, and this gbgreg knows only {}: use a newer one", *version, newest));
  }
  // PostgreSQL checks its pages when it reads them, which counting does.
  if (const auto path = storage::sqlite_path(url); storage::is_sqlite_url(url) && path) {
    if (const auto whole = storage::check_integrity(*path, kIntegrityTimeMax); !whole) {
      findings.faults.push_back("it is damaged: " + whole.error().detail);
      return findings;
    }
  }
  auto tables = storage::count_rows(**database);
  if (!tables) return std::unexpected(std::move(tables.error()));
  findings.tables = std::move(*tables);
  if (*version != newest) return findings;
  const auto loose = storage::find_loose_rows(**database);
  if (!loose) return std::unexpected(loose.error());
  for (const storage::LooseRows& each : *loose) findings.faults.push_back(fmt::format("{} {}", each.rows, each.what));
  return findings;
}

std::string as_json(const Findings& findings) {
  std::string out;
  protocols::JsonWriter json(out);
  json.open_object();
  json.key("status").text(findings.faults.empty() ? "ok" : "faulty");
  json.key("database").text(findings.place);
  json.key("kind").text(findings.kind);
  json.key("schema_version").number(findings.version);
  json.key("schema_version_known").number(storage::newest_schema_version());
  json.key("rows").open_object();
  for (const TableRows& table : findings.tables) json.key(table.table).number(static_cast<std::int64_t>(table.rows));
  json.close_object();
  json.key("faults").open_array();
  for (const std::string& fault : findings.faults) json.text(fault);
  json.close_array();
  json.close_object();
  out += '\n';
  return out;
}

int check(const std::string& url, bool wants_json) {
  const auto findings = examine_database(url);
  if (!findings) return complain(findings.error());
  if (wants_json) {
    std::cout << as_json(*findings) << std::flush;
    return findings->faults.empty() ? 0 : 1;
  }
  std::cout << fmt::format("{} has schema version {} and {} rows:\n", findings->place, findings->version,
                           total(findings->tables));
  print(findings->tables);
  for (const std::string& fault : findings->faults) std::cout << "fault: " << fault << "\n";
  if (findings->faults.empty()) std::cout << "All is well.\n";
  std::cout << std::flush;
  return findings->faults.empty() ? 0 : 1;
}

// One line on a terminal that says how far it is; nothing anywhere else.
class RowsDisplay {
 public:
  RowsDisplay() : is_terminal_(::isatty(STDERR_FILENO) == 1) {}
  ~RowsDisplay() {
    if (is_drawn_) std::cerr << "\r\x1b[K" << std::flush;
  }
  RowsDisplay(const RowsDisplay&) = delete;
  RowsDisplay& operator=(const RowsDisplay&) = delete;

  void show(const storage::RowsProgress& progress) {
    const auto now = std::chrono::steady_clock::now();
    if (!is_terminal_ || now - drawn_at_ < kDrawEvery) return;
    drawn_at_ = now;
    is_drawn_ = true;
    std::cerr << fmt::format("\r\x1b[Kcopying {} of {} rows", progress.rows_done, progress.rows_total) << std::flush;
  }

 private:
  bool is_terminal_;
  bool is_drawn_ = false;
  std::chrono::steady_clock::time_point drawn_at_ = {};
};

// What a gateway stores while its database is copied would not be in the copy.
Result<void> check_nobody_uses(const std::string& url) {
  const auto path = storage::is_sqlite_url(url) ? storage::sqlite_path(url) : Result<std::string>("");
  if (!path) return std::unexpected(path.error());
  if (path->empty() || !DataFolder::is_in_use(fs::path(*path).parent_path())) return {};
  return fail(Kind::conflict, "data_folder_in_use",
              "A gateway runs on the folder of " + *path +
                  ": what it stores from now on would not be in the copy. Stop it first.");
}

int copy(const DatabaseCommand& command) {
  for (const std::string& url : {command.from, command.to}) {
    if (auto known = storage::check_database_url(url); !known) return complain(known.error());
    if (auto free = check_nobody_uses(url); !free) return complain(free.error());
  }
  auto from = open_existing(command.from);
  if (!from) return complain(from.error());
  auto to = open(command.to);
  if (!to) return complain(to.error());
  if (const auto migrated = storage::migrate(**to, SystemClock{}); !migrated) return complain(migrated.error());
  auto copied = [&] {
    RowsDisplay display;
    return storage::copy_rows(**from, **to, [&](const storage::RowsProgress& progress) { display.show(progress); });
  }();
  if (!copied) return complain(copied.error());
  std::cout << fmt::format("{} rows of {} are in {}:\n", total(*copied), (*from)->place(), (*to)->place());
  print(*copied);
  std::cout << "Both have the same number of each. The files of uploads are where they were, in the data folder."
            << std::endl;
  return 0;
}

}  // namespace

int run_database_command(const config::Config& config, const DatabaseCommand& command) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  switch (command.what) {
    case DatabaseCommand::What::migrate:
      return migrate(database_url(config));
    case DatabaseCommand::What::check:
      return check(database_url(config), command.as_json);
    case DatabaseCommand::What::copy:
      return copy(command);
  }
  return 1;
}

}  // namespace gbgreg::app
