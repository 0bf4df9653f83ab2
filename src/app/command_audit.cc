#include "app/command_audit.h"

#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "app/data_folder.h"
#include "storage/database_url.h"
#include "storage/migrations.h"

namespace gbgreg::app {
namespace {

namespace fs = std::filesystem;

// Whoever became root by sudo is told, too.
std::string user_name() {
  const uid_t user = ::getuid();
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  std::string name = "uid " + std::to_string(user);
  if (::getpwuid_r(user, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) name = found->pw_name;
  const char* behind = ::getenv("SUDO_USER");
  if (user == 0 && behind != nullptr && *behind != '\0') name.append(", by sudo of ").append(behind);
  return name;
}

Result<void> write(storage::Database& database, services::Deed deed) {
  deed.actor = storage::kCommandLine;
  deed.actor_name = user_name();
  const storage::AuditRow row = services::audit_row(deed, SystemClock{}.wall());
  return storage::AuditStore(database).insert(std::span(&row, 1));
}

Result<void> write(const config::Config& config, services::Deed deed) {
  const std::string url = database_url(config);
  if (storage::is_sqlite_url(url)) {
    const auto path = storage::sqlite_path(url);
    if (!path) return std::unexpected(path.error());
    std::error_code error;
    if (!fs::exists(*path, error)) return {};
  }
  auto database = storage::Database::open({.database_url = url, .uploads_folder = {}, .database_connections = 1});
  if (!database) return std::unexpected(std::move(database.error()));
  const auto version = storage::schema_version(**database);
  if (!version) return std::unexpected(version.error());
  if (*version == 0) return {};
  if (*version != storage::newest_schema_version()) {
    return fail(Kind::conflict, "schema_other", "The database is one of another version of gbgreg.");
  }
  return write(**database, std::move(deed));
}

void warn_unless(const Result<void>& written) {
  if (written) return;
  std::cerr << "gbgreg: the audit trail does not say that this was done: " << written.error().message << std::endl;
}

}  // namespace

void note_command(storage::Database& database, services::Deed deed) { warn_unless(write(database, std::move(deed))); }

void note_command(const config::Config& config, services::Deed deed) { warn_unless(write(config, std::move(deed))); }

}  // namespace gbgreg::app
