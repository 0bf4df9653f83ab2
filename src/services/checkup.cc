#include "services/checkup.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "fleet/engine_command.h"
#include "fleet/model_parts.h"
#include "fleet/process.h"
#include "gpu/host_files.h"
#include "net/listening.h"
#include "services/checkup_jail.h"
#include "services/checkup_storage.h"
#include "services/run_program.h"

namespace gbgreg::services {
namespace {

using gpu::Finding;
using gpu::Severity;

constexpr std::uint64_t kMegabyte = 1024 * 1024;
constexpr std::chrono::milliseconds kEngineTimeMax{1'000};
constexpr std::size_t kLibrariesNamedMax = 8;

std::string megabytes(std::uint64_t bytes) { return std::to_string(bytes / kMegabyte) + " MB"; }

bool begins_with(const std::filesystem::path& file, std::string_view magic) {
  std::array<char, 16> bytes{};
  std::ifstream stream(file, std::ios::binary);
  return stream.read(bytes.data(), static_cast<std::streamsize>(magic.size())) &&
         std::string_view(bytes.data(), magic.size()) == magic;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  return first == std::string_view::npos ? "" : text.substr(first);
}

// ---- The engine.

void check_engine(const DoctorOptions& options, std::vector<Finding>& findings) {
  std::error_code error;
  const bool is_file = std::filesystem::is_regular_file(options.engine, error);
  if (!is_file || ::access(options.engine.c_str(), X_OK) != 0) {
    const std::string why =
        std::filesystem::is_directory(options.engine, error) ? "it is a folder" : std::strerror(errno);
    findings.push_back({.code = "engine_missing",
                        .message = "The engine, llama-server, cannot be started, so no model runs.",
                        .evidence = {options.engine.string() + ": " + why},
                        .fix = "./run builds it; or name one by --engine, or by engine: in gbgreg.yaml."});
    return;
  }
  // So the system's loader says what the program needs and where that is, and does not run it: the engine itself would
  // ask a driver that may hang.
  fleet::Command command{.program = options.engine.string(),
                         .arguments = {"--version"},
                         .environment = fleet::environment_for_engine(fleet::own_environment())};
  command.environment.emplace_back("LD_TRACE_LOADED_OBJECTS=1");
  std::vector<std::string> missing;
  const auto end = run_program(command, kEngineTimeMax, [&](fleet::ChildProcess::Stream, std::string_view line) {
    if (line.contains("not found") && missing.size() < kLibrariesNamedMax) missing.emplace_back(trimmed(line));
    return AfterLine::go_on;
  });
  if (!end || (end->process.start_failure == 0 && missing.empty())) return;
  if (end->process.start_failure != 0) missing.push_back(std::system_category().message(end->process.start_failure));
  for (std::string& line : missing) line.insert(0, options.engine.string() + ": ");
  findings.push_back({.code = "engine_not_runnable",
                      .message = "The engine, llama-server, is there, and this machine cannot run it.",
                      .evidence = std::move(missing),
                      .fix = "Build it on this machine: ./run does. A copy needs the libraries that lie beside it "
                             "(libllama.so, libggml.so and the others), and a machine of its kind."});
}

// ---- The models.

// What is wrong with one file of a model; absent when nothing is.
std::optional<Finding> fault_of(const fleet::WorkerOptions& worker, const std::filesystem::path& file) {
  if (::access(file.c_str(), R_OK) != 0) {
    return Finding{.code = "model_missing",
                   .message = "The role " + worker.role + " has no model: its file cannot be read.",
                   .evidence = {file.string() + ": " + std::strerror(errno)},
                   .fix = "Put the file there, or correct roles." + worker.role + " in gbgreg.yaml."};
  }
  if (!begins_with(file, "GGUF")) {
    return Finding{.code = "model_broken",
                   .message = "The file of the role " + worker.role + " is no GGUF model.",
                   .evidence = {file.string() + ": does not begin with GGUF"},
                   .fix = "Fetch it again; a page that was saved in its place looks like this."};
  }
  if (fleet::wholeness_of(file) == fleet::Wholeness::cut_short) {
    std::error_code error;
    const auto bytes = std::filesystem::file_size(file, error);
    return Finding{
        .code = "model_truncated",
        .message = "The model file of the role " + worker.role + " is cut short: its weights are not all there.",
        .evidence = {file.string() + ": " + std::to_string(error ? 0 : bytes) +
                     " bytes, and its own header tells of more"},
        .fix = "Fetch it again: the download ended early, or the disk was full."};
  }
  return std::nullopt;
}

// All parts that are missing in one finding, since one download mends it.
std::optional<Finding> missing_parts_of(const fleet::WorkerOptions& worker) {
  const auto parts = fleet::model_parts(worker.model_file);
  const auto missing = fleet::missing_parts(worker.model_file);
  if (parts.size() == 1 || missing.empty()) return std::nullopt;
  std::vector<std::string> evidence;
  evidence.reserve(missing.size());
  for (const auto& part : missing) evidence.push_back(part.string() + ": not there, or may not be read");
  return Finding{.code = "model_part_missing",
                 .message = "The model of the role " + worker.role + " lies in " + std::to_string(parts.size()) +
                            " files, of which " + std::to_string(missing.size()) + " cannot be read.",
                 .evidence = std::move(evidence),
                 .fix = "Put all of its parts into one folder, under the names that they were published with."};
}

void check_model(const fleet::WorkerOptions& worker, std::vector<Finding>& findings) {
  if (worker.is_stored && worker.model_file.empty()) {
    findings.push_back({.code = "model_missing",
                        .message = "The role " + worker.role + " has no model: " + worker.model +
                                   " has not been fetched, or is not whole.",
                        .evidence = {"looked for " + worker.model + " in the data folder and in Ollama's folders"},
                        .fix = "gbgreg models pull " + worker.model + "; gbgreg models list shows what is here."});
    return;
  }
  if (const std::string first = fleet::first_part_of(worker.model_file); !first.empty()) {
    findings.push_back({.code = "model_part_missing",
                        .message = "The role " + worker.role + " names a later part of its model.",
                        .evidence = {worker.model_file.string()},
                        .fix = "Name the first part, " + first + ", in roles." + worker.role + " of gbgreg.yaml."});
    return;
  }
  std::vector<std::filesystem::path> files = fleet::model_parts(worker.model_file);
  if (auto finding = missing_parts_of(worker)) {
    findings.push_back(std::move(*finding));
    files.clear();
  }
  if (!worker.projector_file.empty()) files.push_back(worker.projector_file);
  for (const auto& file : files) {
    if (auto finding = fault_of(worker, file)) findings.push_back(std::move(*finding));
  }
}

// ---- Memory.

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
  std::int64_t weights = 0;
  for (const fleet::WorkerOptions& worker : options.workers) {
    weights += fleet::model_file_bytes(worker.model_file) + fleet::model_file_bytes(worker.projector_file);
  }
  const auto total = memory_total(gpu::HostFiles(options.probe.root));
  if (!total || static_cast<std::uint64_t>(weights) <= *total) return;
  findings.push_back(
      {.code = "memory_too_small",
       .severity = Severity::warning,
       .message = "The models together are larger than this machine's memory.",
       .evidence = {"models: " + megabytes(static_cast<std::uint64_t>(weights)), "memory: " + megabytes(*total)},
       .fix = "Choose smaller models or fewer roles, or let a GPU hold some of them."});
}

// ---- Addresses. Whether a Unix socket's file may be replaced is found out at the start.

void check_addresses(const DoctorOptions& options, std::vector<Finding>& findings) {
  for (const std::string& text : options.listen) {
    const auto address = net::parse_listen_address(text);
    if (!address) continue;  // Said by the configuration.
    if (address->endpoint.protocol().family() == AF_UNIX) continue;
    const auto listener = net::open_listener(address->endpoint, net::PortSharing::none);
    if (listener) continue;
    const bool is_taken = listener.error().kind == Kind::conflict;
    findings.push_back(
        {.code = is_taken ? "port_taken" : "address_not_usable",
         .message = is_taken ? "Another program listens on " + text + ", so gbgreg cannot start there."
                             : "gbgreg cannot listen on " + text + ".",
         .evidence = {text + ": " + listener.error().message},
         .fix = is_taken ? "ss -ltnp shows which program it is: end it, or give gbgreg another address by --listen."
                         : "Name an address of this machine, and a port from 1024 on, by --listen."});
  }
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
  for (const fleet::WorkerOptions& worker : options.workers) check_model(worker, findings);
  check_memory(options, findings);
  check_data_folder(options, findings);
  check_database(options, findings);
  check_jail(options, findings);
  check_addresses(options, findings);
  return findings;
}

}  // namespace gbgreg::services
