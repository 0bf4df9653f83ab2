#include "fleet/run_folder.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace gbgreg::fleet {
namespace {

constexpr std::size_t kSocketPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;
constexpr std::size_t kSocketNameBytesMax = sizeof("/w999-4294967295.sock") - 1;

std::unexpected<Error> refuse(std::string sentence) {
  return fail(Kind::unavailable, "run_folder_unusable", "The folder for the workers' sockets " + std::move(sentence));
}

bool somebody_listens(const std::string& path) {
  sockaddr_un address{};
  if (path.size() > kSocketPathBytesMax) return false;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return true;
  // EAGAIN: its queue is full, so it is alive.
  const bool listens =
      ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno == EAGAIN;
  ::close(probe);
  return listens;
}

}  // namespace

Result<void> make_run_folder(const std::filesystem::path& folder) {
  if (folder.string().size() + kSocketNameBytesMax > kSocketPathBytesMax) {
    return refuse("has too long a name: use one of at most " +
                  std::to_string(kSocketPathBytesMax - kSocketNameBytesMax) + " bytes.");
  }
  std::error_code failure;
  if (folder.has_parent_path()) std::filesystem::create_directories(folder.parent_path(), failure);
  if (::mkdir(folder.c_str(), S_IRWXU) == 0) return {};
  struct stat status{};
  if (errno != EEXIST || ::stat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    return refuse("cannot be made: name another one in the configuration.");
  }
  if (status.st_uid != ::geteuid()) return refuse("belongs to another user: name another one in the configuration.");
  if ((status.st_mode & ALLPERMS) != S_IRWXU && ::chmod(folder.c_str(), S_IRWXU) != 0) {
    return refuse("cannot be made private: set its mode to 0700.");
  }
  return {};
}

void remove_stale_sockets(const std::filesystem::path& folder) {
  std::error_code failure;
  std::filesystem::directory_iterator entry(folder, failure);
  while (!failure && entry != std::filesystem::directory_iterator()) {
    const std::filesystem::path path = entry->path();
    std::error_code ignored;
    if (path.extension() == ".sock" && entry->is_socket(ignored) && !somebody_listens(path.string())) {
      std::filesystem::remove(path, ignored);
    }
    entry.increment(failure);
  }
}

}  // namespace gbgreg::fleet
