#include "services/checkup.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include "gpu/host_files.h"

namespace gbgreg::services {
namespace {

using gpu::Finding;
using gpu::Severity;

constexpr std::uint64_t kMegabyte = 1024 * 1024;

std::string megabytes(std::uint64_t bytes) { return std::to_string(bytes / kMegabyte) + " MB"; }

bool begins_with(const std::filesystem::path& file, std::string_view magic) {
  std::array<char, 16> bytes{};
  std::ifstream stream(file, std::ios::binary);
  return stream.read(bytes.data(), static_cast<std::streamsize>(magic.size())) &&
         std::string_view(bytes.data(), magic.size()) == magic;
}

void check_engine(const DoctorOptions& options, std::vector<Finding>& findings) {
  if (::access(options.engine.c_str(), X_OK) == 0) return;
  findings.push_back({.code = "engine_missing",
                      .message = "The engine, llama-server, cannot be started, so no model runs.",
                      .evidence = {options.engine.string() + ": " + std::strerror(errno)},
                      .fix = "./run builds it; or name one by --engine, or by engine: in gbgreg.yaml."});
}

void check_model(const fleet::WorkerOptions& worker, const std::filesystem::path& file,
                 std::vector<Finding>& findings) {
  if (worker.is_stored && file.empty()) {
    findings.push_back({.code = "model_missing",
                        .message = "The role " + worker.role + " has no model: " + worker.model +
                                   " has not been fetched, or is not whole.",
                        .evidence = {"looked for " + worker.model + " in the data folder and in Ollama's folders"},
                        .fix = "gbgreg models pull " + worker.model + "; gbgreg models list shows what is here."});
  } else if (::access(file.c_str(), R_OK) != 0) {
    findings.push_back({.code = "model_missing",
                        .message = "The role " + worker.role + " has no model: its file cannot be read.",
                        .evidence = {file.string() + ": " + std::strerror(errno)},
                        .fix = "Put the file there, or correct roles." + worker.role + " in gbgreg.yaml."});
  } else if (!begins_with(file, "GGUF")) {
    findings.push_back(
        {.code = "model_broken",
         .message = "The file of the role " + worker.role + " is no GGUF model.",
         .evidence = {file.string() + ": does not begin with GGUF"},
         .fix = "Fetch it again; a download that was cut short or a page that was saved looks like this."});
  }
}

std::uint64_t size_of(const std::filesystem::path& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  return error ? 0 : size;
}

// "MemTotal:       24600000 kB"
std::optional<std::uint64_t> memory_total(const gpu::HostFiles& files) {
  const std::string text = files.text("/proc/meminfo").value_or("");
  constexpr std::string_view kName = "MemTotal:";
  const std::size_t at = text.find(kName);
  const std::size_t digits = at == std::string::npos ? at : text.find_first_of("0123456789", at + kName.size());
  if (digits == std::string::npos) return std::nullopt;
  std::uint64_t kilobytes = 0;
  std::from_chars(text.data() + digits, text.data() + text.size(), kilobytes);
  return kilobytes * 1024;
}

void check_memory(const DoctorOptions& options, std::vector<Finding>& findings) {
  std::uint64_t weights = 0;
  for (const fleet::WorkerOptions& worker : options.workers) {
    weights += size_of(worker.model_file) + (worker.projector_file.empty() ? 0 : size_of(worker.projector_file));
  }
  const auto total = memory_total(gpu::HostFiles(options.probe.root));
  if (!total || weights <= *total) return;
  findings.push_back({.code = "memory_too_small",
                      .severity = Severity::warning,
                      .message = "The models together are larger than this machine's memory.",
                      .evidence = {"models: " + megabytes(weights), "memory: " + megabytes(*total)},
                      .fix = "Choose smaller models or fewer roles, or let a GPU hold some of them."});
}

// The folder itself, or the nearest one above it that is there.
std::filesystem::path existing_part(std::filesystem::path folder) {
  std::error_code error;
  while (!std::filesystem::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  return folder.empty() ? "." : folder;
}

void check_data(const DoctorOptions& options, std::vector<Finding>& findings) {
  const auto folder = existing_part(options.data);
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    findings.push_back({.code = "data_not_writable",
                        .message = "The data folder cannot be written, so nothing can be kept.",
                        .evidence = {folder.string() + ": " + std::strerror(errno)},
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
       .evidence = {folder.string() + ": " + megabytes(free_bytes) + " free"},
       .fix = "Delete what is not needed (uploads: DELETE /api/uploads/{id}), or move the data folder: --data."});
}

void check_database(const DoctorOptions& options, std::vector<Finding>& findings) {
  const auto file = options.data / "gbgreg.sqlite";
  if (size_of(file) == 0 || begins_with(file, "SQLite format 3")) return;
  findings.push_back(
      {.code = "database_broken",
       .message = "The database file is not an SQLite database, or may not be read.",
       .evidence = {file.string()},
       .fix = "Move it away to look at it later, put the last good copy there, and start gbgreg; without a copy "
              "it starts empty."});
}

}  // namespace

std::vector<gpu::Finding> check_up(const DoctorOptions& asked) {
  DoctorOptions options = asked;
  for (fleet::WorkerOptions& worker : options.workers) {
    if (!worker.is_stored || !options.find_model) continue;
    const auto files = options.find_model(worker.model);
    worker.model_file = files ? files->model : std::filesystem::path();
    worker.projector_file = files ? files->projector : std::filesystem::path();
  }
  std::vector<Finding> findings;
  check_engine(options, findings);
  for (const fleet::WorkerOptions& worker : options.workers) {
    check_model(worker, worker.model_file, findings);
    if (!worker.projector_file.empty()) check_model(worker, worker.projector_file, findings);
  }
  check_memory(options, findings);
  check_data(options, findings);
  check_database(options, findings);
  return findings;
}

}  // namespace gbgreg::services
