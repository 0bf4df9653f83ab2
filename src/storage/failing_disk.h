// For tests: a disk whose Nth call from now on fails, and the temporary folder of a test.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "storage/disk.h"

namespace gbgreg::storage {

class FailingDisk final : public Disk {
 public:
  // The call number `nth` (1 is the next one) and, when it is `lasting`, all after it fail with this errno.
  void fail_call(int nth, int error_number, bool lasting = false) {
    calls_left_ = nth;
    error_number_ = error_number;
    lasting_ = lasting;
  }
  void heal() { calls_left_ = kNever; }
  // Whether the failing call came.
  bool has_failed() const { return calls_left_ <= 0; }

  int create(const std::string& path) override { return fails() ? -1 : Disk::create(path); }
  ssize_t write(int file, const void* bytes, std::size_t size) override {
    return fails() ? -1 : Disk::write(file, bytes, size);
  }
  int sync(int file) override { return fails() ? -1 : Disk::sync(file); }
  int sync_folder(const std::string& path) override { return fails() ? -1 : Disk::sync_folder(path); }
  int sync_file_system(const std::string& path) override { return fails() ? -1 : Disk::sync_file_system(path); }
  int make_folder(const std::string& path) override { return fails() ? -1 : Disk::make_folder(path); }
  int rename(const std::string& from, const std::string& to) override { return fails() ? -1 : Disk::rename(from, to); }

 private:
  static constexpr int kNever = 1'000'000'000;

  bool fails() {
    const int left = --calls_left_;
    if (left > 0 || (left < 0 && !lasting_)) return false;
    errno = error_number_;
    return true;
  }

  std::atomic<int> calls_left_ = kNever;
  int error_number_ = 0;
  bool lasting_ = false;
};

class TestFolder {
 public:
  TestFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gbgreg_test_XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Regular files below a folder.
inline int files_below(const std::filesystem::path& folder) {
  int count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) ++count;
  }
  return count;
}

}  // namespace gbgreg::storage
