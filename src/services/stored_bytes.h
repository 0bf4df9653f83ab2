// Keeps bytes and the rows that name them in step: a digest's bytes and rows change together under a lock of that
// digest, so that nobody commits a row for bytes that another is just removing.
//
// The locks are a few, so that unrelated files do not wait for each other's syncs. Blocking: for the storage pool. Any
// thread may use it.
#pragma once

#include <array>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "storage/storage.h"

namespace gbgreg::services {

class StoredBytes {
 public:
  StoredBytes(storage::UploadStore& uploads, storage::BlobStore& blobs) : uploads_(uploads), blobs_(blobs) {}

  using Lock = std::unique_lock<std::mutex>;
  Lock lock(std::string_view sha256);
  // Of all digests, for what comes or goes many files at a time.
  using AllLocks = std::array<Lock, 16>;
  AllLocks lock_all();

  // For bytes that a failure or a removal may have left without a row; their lock is held. What resists is set aside at
  // the next start, so there is nothing to report.
  void remove_if_unused(const std::string& sha256);
  void remove(const std::string& sha256);

 private:
  storage::UploadStore& uploads_;
  storage::BlobStore& blobs_;
  std::array<std::mutex, 16> mutexes_;  // By a digest's first digit.
};

}  // namespace gbgreg::services
