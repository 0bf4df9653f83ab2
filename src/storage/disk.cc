#include "storage/disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

namespace gbgreg::storage {

int Disk::create(const std::string& path) {
  return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
}

ssize_t Disk::write(int file, const void* bytes, std::size_t size) { return ::write(file, bytes, size); }

int Disk::sync(int file) { return ::fsync(file); }

void Disk::start_writing(int file, std::uint64_t offset, std::uint64_t size) {
  ::sync_file_range(file, static_cast<off64_t>(offset), static_cast<off64_t>(size), SYNC_FILE_RANGE_WRITE);
}

namespace {

int with_folder(const std::string& path, int (*call)(int)) {
  const int folder = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return -1;
  const int outcome = call(folder);
  const int error_number = errno;
  ::close(folder);
  errno = error_number;
  return outcome;
}

}  // namespace

int Disk::sync_folder(const std::string& path) { return with_folder(path, ::fsync); }

int Disk::sync_file_system(const std::string& folder) { return with_folder(folder, ::syncfs); }

int Disk::make_folder(const std::string& path) { return ::mkdir(path.c_str(), 0700); }

int Disk::rename(const std::string& from, const std::string& to) { return ::rename(from.c_str(), to.c_str()); }

int Disk::remove(const std::string& path) { return ::unlink(path.c_str()); }

Error disk_error(int error_number, std::string doing) {
  Error error{.kind = Kind::unavailable,
              .code = "storage_failed",
              .message = "The gateway cannot use its storage at the moment. Its log says why; try again later.",
              .detail = std::move(doing) + ": " + std::generic_category().message(error_number),
              .retry_after_seconds = 10};
  if (error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG) {
    error.code = "storage_full";
    error.message = "The gateway's disk is full. Free some space on it, then send the request again.";
    error.retry_after_seconds = 30;
  }
  return error;
}

bool may_lack_room(const Error& error) { return error.code == "storage_full" || error.code == "storage_failed"; }

}  // namespace gbgreg::storage
