#include "app/storage_command.h"

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <system_error>
#include <utility>

#include "app/command_audit.h"
#include "app/data_folder.h"
#include "app/progress.h"
#include "protocols/json_writer.h"
#include "services/backup.h"
#include "services/verify_storage.h"

namespace gbgreg::app {
namespace {

namespace fs = std::filesystem;
using services::KeptProgress;
using services::StorageReport;

constexpr std::chrono::milliseconds kDrawEvery{100};

int complain(const Error& error) {
  std::cerr << "gbgreg: " << error.message << (error.detail.empty() ? "" : " (" + error.detail + ")") << std::endl;
  return 1;
}

// One line on a terminal that says how far it is; nothing anywhere else.
class KeptDisplay {
 public:
  explicit KeptDisplay(std::string verb) : verb_(std::move(verb)), is_terminal_(::isatty(STDERR_FILENO) == 1) {}
  ~KeptDisplay() {
    if (is_drawn_) std::cerr << "\r\x1b[K" << std::flush;
  }
  KeptDisplay(const KeptDisplay&) = delete;
  KeptDisplay& operator=(const KeptDisplay&) = delete;

  void show(const KeptProgress& progress) {
    const auto now = std::chrono::steady_clock::now();
    if (!is_terminal_ || now - drawn_at_ < kDrawEvery) return;
    drawn_at_ = now;
    is_drawn_ = true;
    std::cerr << "\r\x1b[K" << verb_ << " " << human_bytes(progress.bytes_done) << " of "
              << human_bytes(progress.bytes_total);
    if (progress.files_total > 0)
      std::cerr << fmt::format(", {} of {} files", progress.files_done, progress.files_total);
    std::cerr << std::flush;
  }
  services::ShowKept shows() {
    return [this](const KeptProgress& progress) { show(progress); };
  }

 private:
  std::string verb_;
  bool is_terminal_;
  bool is_drawn_ = false;
  std::chrono::steady_clock::time_point drawn_at_ = {};
};

// A folder of our own in the system's one for such.
class ScratchFolder {
 public:
  static Result<std::unique_ptr<ScratchFolder>> make() {
    std::error_code error;
    std::string path = (fs::temp_directory_path(error) / "gbgreg-verify-XXXXXX").string();
    if (error || ::mkdtemp(path.data()) == nullptr) {
      return fail(Kind::unavailable, "no_scratch_folder", "There is no place for temporary files. Set TMPDIR.");
    }
    return std::unique_ptr<ScratchFolder>(new ScratchFolder(path));
  }
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  explicit ScratchFolder(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
};

std::string as_json(const StorageReport& report, bool has_gateway) {
  const auto number = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };
  std::string out;
  protocols::JsonWriter json(out);
  json.open_object();
  json.key("status").text(report.faults == 0 ? "ok" : "faulty");
  json.key("gateway_runs").boolean(has_gateway);
  json.key("files_checked").number(number(report.files_checked));
  json.key("bytes_checked").number(number(report.bytes_checked));
  json.key("fault_count").number(number(report.faults));
  json.key("faults").open_array();
  for (const services::FaultyBlob& blob : report.faulty) {
    json.open_object();
    json.key("fault").text(services::fault_name(blob.fault));
    json.key("sha256").text(blob.sha256);
    json.key("detail").text(blob.detail);
    json.key("named_by").open_array();
    for (const std::string& name : blob.named_by) json.text(name);
    json.close_array();
    json.close_object();
  }
  json.close_array();
  json.key("unused_count").number(number(report.unused_files));
  json.key("unused_bytes").number(number(report.unused_bytes));
  json.key("unused").open_array();
  for (const std::string& sha256 : report.unused) json.text(sha256);
  json.close_array();
  json.key("set_aside_count").number(number(report.set_aside_files));
  json.key("set_aside_bytes").number(number(report.set_aside_bytes));
  json.close_object();
  out += '\n';
  return out;
}

std::string files_of(std::uint64_t files, std::uint64_t bytes) {
  return fmt::format("{} {} ({})", files, files == 1 ? "file" : "files", human_bytes(bytes));
}

void print(const StorageReport& report) {
  for (const services::FaultyBlob& blob : report.faulty) {
    std::cout << fmt::format("{:10} {} {}\n", services::fault_name(blob.fault), blob.sha256, blob.detail);
    for (const std::string& name : blob.named_by) std::cout << "           " << name << "\n";
  }
  if (report.faults > report.faulty.size()) {
    std::cout << fmt::format("and {} more\n", report.faults - report.faulty.size());
  }
  for (const std::string& sha256 : report.unused) std::cout << fmt::format("{:10} {}\n", "unused", sha256);
  if (report.unused_files > report.unused.size()) {
    std::cout << fmt::format("and {} more\n", report.unused_files - report.unused.size());
  }
  const std::string checked = files_of(report.files_checked, report.bytes_checked);
  std::cout << (report.faults == 0 ? checked + ": all are as they came.\n"
                                   : fmt::format("{}: {} {}.\n", checked, report.faults,
                                                 report.faults == 1 ? "is not as it came" : "are not as they came"));
  if (report.unused_files > 0) {
    std::cout << files_of(report.unused_files, report.unused_bytes)
              << " used by nothing: the next start of the gateway sets them aside.\n";
  }
  if (report.set_aside_files > 0) {
    std::cout << files_of(report.set_aside_files, report.set_aside_bytes)
              << " set aside in uploads/lost: delete that folder if nobody wants them.\n";
  }
  if (report.faults > 0) {
    std::cout << "Restore a backup, put the files back, or delete the uploads that have them.\n";
  }
  std::cout << std::flush;
}

int verify(const fs::path& data, const std::string& url, bool wants_json) {
  auto scratch = ScratchFolder::make();
  if (!scratch) return complain(scratch.error());
  const SystemClock clock;
  const services::VerifyOptions options{.database_url = url,
                                        .uploads = DataFolder::uploads_in(data),
                                        .scratch = (*scratch)->path(),
                                        .has_gateway = DataFolder::is_in_use(data)};
  auto report = [&] {
    KeptDisplay display("checking");
    return services::verify_storage(options, clock, display.shows());
  }();
  if (!report) return complain(report.error());
  if (wants_json) {
    std::cout << as_json(*report, options.has_gateway) << std::flush;
  } else {
    print(*report);
  }
  return report->faults == 0 ? 0 : 1;
}

int back_up(const fs::path& data, const std::string& url, const StorageCommand& command) {
  storage::Disk disk;
  const SystemClock clock;
  const services::BackupOptions options{
      .database_url = url, .uploads = DataFolder::uploads_in(data), .file = command.file, .version = command.version};
  auto report = [&] {
    KeptDisplay display("backing up");
    return services::back_up(options, disk, clock, display.shows());
  }();
  if (!report) return complain(report.error());
  std::cout << fmt::format("{} has {} and their database: {}.\n", command.file.string(),
                           files_of(report->files, report->bytes), human_bytes(report->backup_bytes));
  return 0;
}

int restore(const config::Config& config, const fs::path& data, const std::string& url, const StorageCommand& command) {
  storage::Disk disk;
  const SystemClock clock;
  std::error_code error;
  if (!fs::is_regular_file(command.file, error)) {
    return complain({.kind = Kind::not_found, .code = "backup_missing", .message = "There is no backup of this name."});
  }
  // The lock is held until the end, so that no gateway starts meanwhile.
  auto folder = DataFolder::open(data, disk);
  if (!folder) return complain(folder.error());
  using services::Present;
  const services::RestoreOptions options{.file = command.file,
                                         .data = folder->root(),
                                         .database_url = url,
                                         .uploads = folder->uploads(),
                                         .present = command.replaces ? Present::move_aside : Present::refuse};
  auto report = [&] {
    KeptDisplay display("restoring");
    return services::restore(options, disk, clock, display.shows());
  }();
  if (!report) return complain(report.error());
  note_command(config, {.action = "storage.restore", .target_name = command.file.filename().string()});
  std::cout << fmt::format("{} of the backup of {} (gbgreg {}) are in {}.\n", files_of(report->files, report->bytes),
                           report->created_at, report->version, folder->root().string());
  if (!report->moved_aside.empty()) std::cout << "What was there is in " << report->moved_aside.string() << ".\n";
  return 0;
}

}  // namespace

int run_storage_command(const config::Config& config, const StorageCommand& command) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  std::error_code error;
  const fs::path data = fs::absolute(config.data, error).lexically_normal();
  const std::string url = database_url(config);
  switch (command.what) {
    case StorageCommand::What::verify:
      return verify(data, url, command.as_json);
    case StorageCommand::What::backup:
      return back_up(data, url, command);
    case StorageCommand::What::restore:
      return restore(config, data, url, command);
  }
  return 1;
}

}  // namespace gbgreg::app
