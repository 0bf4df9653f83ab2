#include "app/data_folder.h"

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace gbgreg::app {
namespace {

namespace fs = std::filesystem;

// A Unix socket's path has 107 bytes at most; a worker's socket needs some of them for its name.
constexpr std::size_t kRunFolderBytesMax = 80;
constexpr const char* kLockName = "gbgreg.lock";
constexpr mode_t kOthers = S_IRWXG | S_IRWXO;
constexpr mode_t kOthersMayWrite = S_IWGRP | S_IWOTH;

std::unexpected<Error> cannot(const fs::path& folder, const std::string& why) {
  return fail(Kind::unavailable, "data_folder",
              "The data folder " + folder.string() + " cannot be used: " + why +
                  ". Choose another with --data, or mend its permissions.");
}

std::unexpected<Error> cannot(const fs::path& folder) { return cannot(folder, std::generic_category().message(errno)); }

std::unexpected<Error> others_may_write(const fs::path& folder) {
  return fail(Kind::unavailable, "data_folder",
              "The data folder " + folder.string() +
                  " cannot be used: others on this machine may write into it. Choose one for gbgreg alone with --data, "
                  "such as " +
                  (folder / "gbgreg").string() + "; or, if nobody else needs this one, run chmod go-w on it.");
}

Result<void> check_who_may_enter(const fs::path& folder) {
  struct stat status{};
  if (::stat(folder.c_str(), &status) != 0) return cannot(folder);
  if (!S_ISDIR(status.st_mode)) return cannot(folder, "it is a file");
  if ((status.st_mode & kOthersMayWrite) != 0) return others_may_write(folder);
  if ((status.st_mode & kOthers) != 0) {
    spdlog::warn("others on this machine may look into the data folder {}; chmod 700 makes it private",
                 folder.string());
  }
  if (status.st_uid != ::geteuid()) {
    spdlog::warn("the data folder {} belongs to another user, who may change what is in it", folder.string());
  }
  return {};
}

// Its name is durable once the folder that has it is synced.
Result<void> sync_name_of(const fs::path& folder, storage::Disk& disk) {
  if (disk.sync_folder(folder.parent_path().string()) != 0) return cannot(folder.parent_path());
  return {};
}

Result<void> make_folder(const fs::path& folder, storage::Disk& disk) {
  if (disk.make_folder(folder.string()) == 0) return sync_name_of(folder, disk);
  if (errno == EEXIST) return {};
  return cannot(folder);
}

// They are no more ours than those that were there, so they get the mode that anybody's have.
Result<void> make_folders_above(const fs::path& folder, storage::Disk& disk) {
  std::error_code error;
  std::vector<fs::path> missing;
  for (fs::path above = folder.parent_path(); above.has_relative_path() && !fs::exists(above, error);) {
    missing.push_back(above);
    above = above.parent_path();
  }
  fs::create_directories(folder.parent_path(), error);
  if (error) return cannot(folder, error.message());
  for (const fs::path& made : missing) {
    if (auto synced = sync_name_of(made, disk); !synced) return synced;
  }
  return {};
}

// A path in 16 hexadecimal digits (FNV-1a), the same in every version of this program.
std::string path_digest(const fs::path& path) {
  std::uint64_t digest = 0xcbf29ce484222325;
  for (const char c : path.native()) digest = (digest ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return fmt::format("{:016x}", digest);
}

// A gateway that was just killed may live on for a moment in a child that has been forked and not yet become the
// engine.
bool take_lock(int file) {
  constexpr int kTries = 20;
  constexpr std::chrono::milliseconds kBetween{25};
  for (int left = kTries; left > 0; --left) {
    if (flock(file, LOCK_EX | LOCK_NB) == 0) return true;
    std::this_thread::sleep_for(kBetween);
  }
  return false;
}

}  // namespace

Result<DataFolder> DataFolder::open(const fs::path& root, storage::Disk& disk) {
  std::error_code error;
  fs::path absolute = fs::absolute(root, error).lexically_normal();
  if (!absolute.has_filename()) absolute = absolute.parent_path();  // There was a slash at its end.
  DataFolder folder(std::move(absolute));
  if (auto made = folder.make(disk); !made) return std::unexpected(made.error());
  if (auto locked = folder.lock(); !locked) return std::unexpected(locked.error());
  folder.make_database_private();
  if (auto made = folder.make_run_folder(); !made) return std::unexpected(made.error());
  return folder;
}

Result<void> DataFolder::make(storage::Disk& disk) const {
  if (auto made = make_folders_above(root_, disk); !made) return made;
  for (const fs::path& made : {root_, uploads(), root_ / "projects"}) {
    if (auto outcome = make_folder(made, disk); !outcome) return outcome;
    if (made != root_) continue;
    if (auto checked = check_who_may_enter(root_); !checked) return checked;
  }
  return {};
}

// One that was there, perhaps made by another program; the files beside it get the mode of the first.
void DataFolder::make_database_private() const { ::chmod(database().c_str(), 0600); }

Result<void> DataFolder::lock() {
  const std::string file = root_ / kLockName;
  lock_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) return cannot(root_);
  if (take_lock(lock_)) return {};
  return fail(Kind::conflict, "data_folder_in_use",
              "Another gbgreg is running on the data folder " + root_.string() +
                  ". Stop it, or give this one its own folder with --data.");
}

bool DataFolder::is_in_use(const fs::path& root) {
  const int file = ::open((root / kLockName).c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool is_free = flock(file, LOCK_SH | LOCK_NB) == 0;
  ::close(file);
  return !is_free;
}

Result<void> DataFolder::make_run_folder() {
  run_ = root_ / "run";
  if (run_.native().size() <= kRunFolderBytesMax) return {};
  run_ = fmt::format("/tmp/gbgreg-{}-{}", ::geteuid(), path_digest(root_));
  // Anybody may have made something of this name in /tmp: only a folder of ours that nobody else can enter will do.
  if (::mkdir(run_.c_str(), S_IRWXU) != 0 && errno != EEXIST) return cannot(run_);
  struct stat status{};
  if (::lstat(run_.c_str(), &status) != 0) return cannot(run_);
  if (!S_ISDIR(status.st_mode) || status.st_uid != ::geteuid() || (status.st_mode & kOthers) != 0) {
    return fail(Kind::unavailable, "run_folder",
                "The folder " + run_.string() +
                    " for the workers' sockets is not this gbgreg's own. Remove it, or choose a data folder with a "
                    "shorter path with --data.");
  }
  run_is_temporary_ = true;
  return {};
}

DataFolder::DataFolder(DataFolder&& other) noexcept
    : root_(std::move(other.root_)),
      run_(std::move(other.run_)),
      run_is_temporary_(std::exchange(other.run_is_temporary_, false)),
      lock_(std::exchange(other.lock_, -1)) {}

DataFolder::~DataFolder() {
  std::error_code ignored;
  // Before the lock is given back: the next gateway uses the same one.
  if (run_is_temporary_) fs::remove_all(run_, ignored);
  if (lock_ >= 0) ::close(lock_);
}

std::string database_url(const config::Config& config) {
  if (!config.database.empty()) return config.database;
  std::error_code error;
  return "sqlite://" + DataFolder::database_in(fs::absolute(config.data, error).lexically_normal()).string();
}

}  // namespace gbgreg::app
