#include "services/checkup_storage.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>

#include "storage/database.h"
#include "storage/database_url.h"
#include "storage/integrity.h"
#include "storage/migrations.h"

namespace gbgreg::services {
namespace {

using gpu::Finding;
using gpu::Severity;

constexpr std::uint64_t kMegabyte = 1024 * 1024;
// Of the few seconds that a diagnosis may take.
constexpr std::chrono::milliseconds kDatabaseTimeMax{500};
constexpr std::chrono::milliseconds kServerConnectMax{2'000};
constexpr std::chrono::milliseconds kServerStatementMax{1'000};

// The folder itself, or the nearest one above it that is there.
std::filesystem::path existing_part(std::filesystem::path folder) {
  std::error_code error;
  while (!std::filesystem::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  return folder.empty() ? "." : folder;
}

// By a connection of its own, which a gateway that runs need not have.
void check_server(const std::string& url, std::vector<Finding>& findings) {
  auto database = storage::Database::open({.database_url = url,
                                           .uploads_folder = {},
                                           .database_connections = 1,
                                           .database_connect_timeout = kServerConnectMax,
                                           .database_statement_timeout = kServerStatementMax});
  if (!database) {
    findings.push_back(
        {.code = "database_unreachable",
         .message = "The PostgreSQL of the configuration cannot be used, so nothing can be kept.",
         .evidence = {database.error().detail},
         .fix = "Start it, or mend the address, the name or the password in GBGREG_DATABASE, --database or the "
                "configuration's database; gbgreg db check tries it."});
    return;
  }
  const auto version = storage::schema_version(**database);
  const int newest = storage::newest_schema_version();
  if (!version || *version <= newest) return;
  findings.push_back({.code = "database_newer",
                      .message = "The database was made by a newer gbgreg, and this one does not start on it.",
                      .evidence = {(*database)->place() + ": schema version " + std::to_string(*version) +
                                   ", known up to " + std::to_string(newest)},
                      .fix = "Start the newer gbgreg, or name another database."});
}

}  // namespace

void check_data_folder(const DoctorOptions& options, std::vector<Finding>& findings) {
  const auto folder = existing_part(options.data);
  std::error_code error;
  const bool is_folder = std::filesystem::is_directory(folder, error);
  if (!is_folder || ::access(folder.c_str(), W_OK | X_OK) != 0) {
    findings.push_back({.code = "data_not_writable",
                        .message = "The data folder cannot be written, so nothing can be kept.",
                        .evidence = {folder.string() + ": " + (is_folder ? std::strerror(errno) : "it is no folder")},
                        .fix = "Give it to the user that runs gbgreg (chown), or name another by --data."});
    return;
  }
  struct statvfs disk{};
  if (::statvfs(folder.c_str(), &disk) != 0) return;
  const std::uint64_t free_bytes = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  if (free_bytes >= options.upload_bytes_max) return;
  findings.push_back(
      {.code = "disk_full",
       .severity = free_bytes < kMegabyte ? Severity::error : Severity::warning,
       .message = "The disk of the data folder has less room than one upload may take.",
       .evidence = {folder.string() + ": " + std::to_string(free_bytes / kMegabyte) + " MB free"},
       .fix = "Delete what is not needed (uploads: DELETE /api/uploads/{id}), or move the data folder: --data."});
}

void check_database(const DoctorOptions& options, std::vector<Finding>& findings) {
  const std::string& url = options.database_url;
  if (!url.empty() && !storage::is_sqlite_url(url)) return check_server(url, findings);
  const auto named =
      url.empty() ? Result<std::string>((options.data / "gbgreg.sqlite").string()) : storage::sqlite_path(url);
  if (!named) return;  // The configuration was refused for it.
  const std::filesystem::path file = *named;
  const auto whole = storage::check_integrity(file, kDatabaseTimeMax);
  if (whole) return;
  const bool is_damaged = whole.error().code == "database_corrupt";
  findings.push_back(
      {.code = is_damaged ? "database_broken" : "database_unreadable",
       .message = whole.error().message,
       .evidence = {file.string() + ": " + whole.error().detail},
       .fix = is_damaged
                  ? "Move it away to look at it later, put the last good copy there, and start gbgreg; without a copy "
                    "it starts empty."
                  : "Give the file, and the folder that it lies in, to the user that runs gbgreg (chown), or name "
                    "another folder by --data."});
}

}  // namespace gbgreg::services
