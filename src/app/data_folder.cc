#include "app/data_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

namespace gbgreg::app {
namespace {

namespace fs = std::filesystem;

// A Unix socket's path has 107 bytes at most; a worker's socket needs some of them for its name.
constexpr std::size_t kRunFolderBytesMax = 80;

std::unexpected<Error> cannot(const fs::path& folder, const std::string& why) {
  return fail(Kind::unavailable, "data_folder",
              "The data folder " + folder.string() + " cannot be used: " + why +
                  ". Choose another with --data, or mend its permissions.");
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

Result<DataFolder> DataFolder::open(const fs::path& root) {
  std::error_code error;
  fs::create_directories(root, error);
  const fs::path absolute = fs::absolute(root, error).lexically_normal();
  DataFolder folder(absolute);
  for (const fs::path& made : {folder.root_, folder.uploads(), folder.projects()}) {
    fs::create_directories(made, error);
    if (error) return cannot(made, error.message());
  }
  fs::permissions(absolute, fs::perms::owner_all, error);

  const std::string lock_file = absolute / "gbgreg.lock";
  folder.lock_ = ::open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (folder.lock_ < 0) return cannot(absolute, std::strerror(errno));  // NOLINT(concurrency-mt-unsafe): start-up.
  if (!take_lock(folder.lock_)) {
    return fail(Kind::conflict, "data_folder_in_use",
                "Another gbgreg is running on the data folder " + absolute.string() +
                    ". Stop it, or give this one its own folder with --data.");
  }

  folder.run_ = absolute / "run";
  if (folder.run_.native().size() > kRunFolderBytesMax) {
    std::string made = "/tmp/gbgreg-XXXXXX";
    if (mkdtemp(made.data()) == nullptr) return cannot("/tmp", std::strerror(errno));  // NOLINT(concurrency-mt-unsafe)
    folder.run_ = made;
    folder.run_is_temporary_ = true;
  }
  return folder;
}

DataFolder::DataFolder(DataFolder&& other) noexcept
    : root_(std::move(other.root_)),
      run_(std::move(other.run_)),
      run_is_temporary_(std::exchange(other.run_is_temporary_, false)),
      lock_(std::exchange(other.lock_, -1)) {}

DataFolder::~DataFolder() {
  std::error_code ignored;
  if (run_is_temporary_) fs::remove_all(run_, ignored);
  if (lock_ >= 0) ::close(lock_);
}

}  // namespace gbgreg::app
