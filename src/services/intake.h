// The story of one file, without HTTP: its bytes go to the disk as they come, then it is looked at, named, stored and
// committed, and only then is it an upload. Reading back and removing are here too, because they must agree with it.
//
// The order that makes "acknowledged means durable" true: bytes synced, renamed, folder synced, row committed, answer.
// Removing goes the other way: row first, then bytes. So after a crash there may be bytes without a row, which sweep()
// sets aside at start, but never a row without bytes.
//
// Any I/O thread may call it; an Incoming or Outgoing belongs to one task. What blocks runs on the storage pool.
// Memory: one buffer of kBufferBytes for each file on its way, whatever its size.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/core.h"
#include "services/describe_upload.h"
#include "services/stored_bytes.h"
#include "storage/storage.h"

namespace gbgreg::services {

// A hop to the pool costs some 20 microseconds, so pieces from the network are gathered to this size first.
inline constexpr std::size_t kBufferBytes = 256 * 1024;
// Files on their way in at once, over all connections, give or take one for each I/O thread.
inline constexpr int kIncomingMax = 256;
// Files on their way out at once, over all connections: each holds a descriptor and a buffer for as long as its reader
// takes.
inline constexpr int kOutgoingMax = 256;

class Intake;

// A file on its way in. Destroying it before Intake::finish() leaves nothing behind.
class Incoming {
 public:
  ~Incoming();
  Incoming(const Incoming&) = delete;
  Incoming& operator=(const Incoming&) = delete;

  // Takes the next piece; waits for the disk when the buffer is full. Errors: too_large (names the limit), unavailable
  // (storage_full, storage_failed). After an error the file is only good for destruction.
  Task<Result<void>> write(std::string_view piece);

 private:
  friend class Intake;
  friend class Projects;  // To which an archive goes.
  Incoming(Intake& intake, std::string id, std::uint64_t bytes_max);
  Task<Result<void>> flush();

  Intake& intake_;
  std::string id_;
  std::uint64_t bytes_max_;
  std::uint64_t size_bytes_ = 0;
  std::string sample_;  // The front of the file, to tell what it is.
  std::string buffer_;
  // Shared with the job on the pool: at shutdown the task may be destroyed while that job still runs.
  std::shared_ptr<storage::BlobWriter> writer_;
};

// One of so many that there may be at once, given back when it goes.
struct GiveBack {
  void operator()(std::atomic<int>* taken) const { --*taken; }
};
using Place = std::unique_ptr<std::atomic<int>, GiveBack>;

// A file that is stored, as whoever reads its bytes needs to know it.
struct StoredFile {
  std::string filename;  // Safe to show and to use.
  std::string kind;
  std::string media_type;
  std::uint64_t size_bytes = 0;
  std::string sha256;
};

// What came in since the start, and what is on its way at this moment.
struct IntakeFigures {
  std::uint64_t stored = 0;
  std::uint64_t stored_bytes = 0;
  int incoming = 0;
  int outgoing = 0;
};

// Looks a file up, on the storage pool.
using FindFile = std::function<Result<StoredFile>()>;

// A stored file, open for reading. It stays readable when the file is removed meanwhile.
class Outgoing {
 public:
  Outgoing(asio::thread_pool& pool, StoredFile file, storage::Blob blob, Place place);

  const StoredFile& file() const { return file_; }
  std::uint64_t size_bytes() const { return blob_->size_bytes(); }

  // Up to kBufferBytes and `size_max` from `offset` on, empty at the end. The view holds until the next call.
  // Errors: unavailable (storage_failed).
  Task<Result<std::string_view>> read(std::uint64_t offset, std::uint64_t size_max);

 private:
  asio::thread_pool& pool_;
  StoredFile file_;
  Place place_;
  std::shared_ptr<const storage::Blob> blob_;  // Shared with the job on the pool, as above.
  std::string buffer_;
};

class Intake {
 public:
  Intake(asio::thread_pool& pool, storage::UploadStore& uploads, storage::BlobStore& blobs, storage::Reserve& reserve,
         const Clock& clock);

  // Removes what a crash left half-done, sets aside what no upload uses, takes the reserve and loads what tells files
  // apart. Blocking: once, before the first request.
  Result<storage::SweepReport> sweep();

  // Whether binaries that nobody knows (intake/file_kind.h) are taken: by finish(), and into projects. Any thread.
  void allow_unknown_binaries(bool allowed) { unknown_binaries_allowed_ = allowed; }
  bool takes_unknown_binaries() const { return unknown_binaries_allowed_; }

  // `bytes_max` is what the file may have at most. Errors: busy (too many files on their way).
  Result<std::unique_ptr<Incoming>> begin(std::uint64_t bytes_max);

  // When this succeeds, the file is durable and listed. Errors: unsupported_type (file_type_not_accepted); unavailable.
  Task<Result<storage::Upload>> finish(std::unique_ptr<Incoming> incoming, FileFacts facts);

  // Of single files: what came in as a project is not among what is stored. Any thread.
  IntakeFigures figures() const;

  // The most uploads that a page may have.
  int list_limit_max() const { return uploads_.list_limit_max(); }
  // Errors: those of storage::UploadStore.
  Task<Result<storage::UploadPage>> list(storage::UploadQuery query);
  Task<Result<storage::Upload>> find(std::string id);

  // Errors: not_found; internal (bytes_missing: somebody took the file away); unavailable; busy (too many files on
  // their way).
  Task<Result<std::unique_ptr<Outgoing>>> open(std::string id);
  // The same for a file that another finds: its errors, too.
  Task<Result<std::unique_ptr<Outgoing>>> open_found(FindFile find);

  StoredBytes& bytes() { return bytes_; }

  // Works on a full disk too, as long as the reserve does. What it was. Errors: not_found, unavailable.
  Task<Result<storage::Upload>> remove(std::string id);
  // The same, for whoever cannot wait for it; a failure is only logged.
  void remove_soon(std::string id) noexcept;

 private:
  friend class Incoming;

  // The blocking halves, for the pool.
  Result<storage::Upload> store(storage::BlobWriter& writer, storage::Upload upload);
  Result<storage::Upload> keep_and_insert(storage::BlobWriter& writer, storage::Upload upload);
  Result<std::unique_ptr<Outgoing>> open_now(const FindFile& find, Place place);
  Result<storage::Upload> remove_now(const std::string& id);

  asio::thread_pool& pool_;
  storage::UploadStore& uploads_;
  storage::BlobStore& blobs_;
  storage::Reserve& reserve_;
  const Clock& clock_;
  std::atomic<bool> unknown_binaries_allowed_ = true;
  std::atomic<int> incoming_ = 0;
  std::atomic<int> outgoing_ = 0;
  std::atomic<std::uint64_t> stored_ = 0;
  std::atomic<std::uint64_t> stored_bytes_ = 0;
  StoredBytes bytes_;
};

}  // namespace gbgreg::services
