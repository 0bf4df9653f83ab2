// The few system calls that can find a disk full, broken or read-only, so that tests can make the Nth of them fail.
//
// Each behaves as the call of the same name: -1 and errno on failure. Any thread may call it.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/error.h"

namespace gbgreg::storage {

class Disk {
 public:
  virtual ~Disk() = default;
  // A new file for writing; it is an error when it exists.
  virtual int create(const std::string& path);
  virtual ssize_t write(int file, const void* bytes, std::size_t size);
  virtual int sync(int file);
  // Has the kernel begin to write out a range of a file, without waiting. A hint: there is no failure to hear of.
  virtual void start_writing(int file, std::uint64_t offset, std::uint64_t size);
  virtual int sync_folder(const std::string& path);
  // Everything that is dirty on the file system that this folder is on.
  virtual int sync_file_system(const std::string& folder);
  virtual int make_folder(const std::string& path);
  virtual int rename(const std::string& from, const std::string& to);
  virtual int remove(const std::string& path);
};

// The Error for an errno. `doing` is for the log. Kind unavailable: storage_full when space or quota ran out, else
// storage_failed.
Error disk_error(int error_number, std::string doing);

// Whether some room on the disk may make the next try succeed. Where SQLite cannot grow its shared memory file it says
// "I/O error" and not "full", so storage_failed counts, too.
bool may_lack_room(const Error& error);

}  // namespace gbgreg::storage
