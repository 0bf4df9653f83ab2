// The bytes of files, each content once, named by its SHA-256:
//
//   <root>/tmp/<uuid>           being written
//   <root>/ab/ab01…             complete and synced, the name is the digest
//   <root>/lost/ab01…           complete, but no row wanted it when a gateway started
//
// A blob appears by rename, so a file with a digest for a name is always whole. Whether anybody still wants it is known
// by the rows of uploads.h; whoever joins the two (services/intake) commits the row after keep() and removes the blob
// after the row. What a crash leaves in between is swept at the next start: unfinished files are removed, but whole
// ones are only set aside, because rows that are missing may mean a database that is not the right one
// (docs/decisions/0005-lost-bytes.md).
//
// Blocking: for the storage pool. Any thread may use the store; a writer belongs to one thread at a time. Only one
// process may use a folder, because the sweep of a second one would take what the first is writing: app/ locks it.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "storage/disk.h"

namespace gbgreg::storage {

// 64 lower-case hexadecimal digits. Nothing else ever becomes part of a path.
bool is_sha256(std::string_view text);

// A file descriptor with an owner.
class OwnedFile {
 public:
  explicit OwnedFile(int file = -1) : file_(file) {}
  ~OwnedFile();
  OwnedFile(OwnedFile&& other) noexcept;
  OwnedFile& operator=(OwnedFile&& other) noexcept;
  int get() const { return file_; }
  bool is_open() const { return file_ >= 0; }

 private:
  int file_;
};

// So much at a time is handed to the disk while the rest still comes. A sync at the end that finds all of a large file
// in memory holds up everybody else who waits for this disk or for a core.
inline constexpr std::uint64_t kWriteBehindBytes = 4 * 1024 * 1024;

// A file on its way in: written, hashed, and removed again by the destructor unless it was kept.
class BlobWriter {
 public:
  // Nothing is on the disk until the first write. `path` is in the store's tmp folder.
  BlobWriter(Disk& disk, std::string path);
  ~BlobWriter();
  BlobWriter(const BlobWriter&) = delete;
  BlobWriter& operator=(const BlobWriter&) = delete;

  // Appends. Errors: unavailable (storage_full, storage_failed); after one the writer is only good for destruction.
  Result<void> write(std::string_view bytes);

  // All bytes are on the disk after this; their digest comes back. Called once, at the end.
  Result<std::string> seal();

  // The same for one file of many, but for the sync: that is BlobStore::sync_all()'s.
  Result<std::string> close();

  std::uint64_t size_bytes() const { return size_bytes_; }

 private:
  friend class BlobStore;
  Result<void> open();
  std::string finish_digest();

  struct FreeDigest {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };

  Disk& disk_;
  std::string path_;
  std::string sha256_;  // Once sealed.
  OwnedFile file_;
  std::unique_ptr<EVP_MD_CTX, FreeDigest> digest_;
  std::uint64_t size_bytes_ = 0;
  std::uint64_t started_bytes_ = 0;  // Of them, those that the kernel was told to write out.
  bool exists_ = false;              // There is a file at path_, and it is ours to remove.
};

// A kept file, open for reading. It stays readable when the blob is removed meanwhile.
class Blob {
 public:
  Blob(OwnedFile file, std::uint64_t size_bytes) : file_(std::move(file)), size_bytes_(size_bytes) {}

  std::uint64_t size_bytes() const { return size_bytes_; }

  // Fills `out` from `offset` on and gives back how many bytes there were: fewer only at the end.
  // Errors: unavailable (storage_failed).
  Result<std::size_t> read_at(std::uint64_t offset, char* out, std::size_t size) const;

  // For a child that is to read it; open as long as this is.
  int descriptor() const { return file_.get(); }

 private:
  OwnedFile file_;
  std::uint64_t size_bytes_;
};

struct SweepReport {
  std::uint64_t unfinished_removed = 0;  // Files of uploads that never ended.
  std::uint64_t orphans_set_aside = 0;   // Blobs without a row, moved to the lost folder.
  std::uint64_t orphans_stuck = 0;       // Those that could not be moved. They stay where they are and do no harm.
  std::uint64_t blobs_taken_back = 0;    // Digests with a row whose blob was in the lost folder.
  std::uint64_t blobs_missing = 0;       // Digests with a row and no blob: somebody took the file away.
  std::uint64_t lost_files = 0;          // What the lost folder holds now.
  std::uint64_t lost_bytes = 0;
};

class BlobStore {
 public:
  // Makes the folders. Errors: unavailable (storage_failed, storage_full).
  static Result<std::unique_ptr<BlobStore>> open(const std::filesystem::path& root, Disk& disk);

  BlobStore(const BlobStore&) = delete;
  BlobStore& operator=(const BlobStore&) = delete;

  // A writer whose temporary file will be called `id`, a UUID of ours.
  std::unique_ptr<BlobWriter> writer(std::string_view id);

  // Gives a sealed file its place. It is durable when this returns success. An older file of the same name is replaced
  // by the same bytes. Errors: unavailable; the blob may or may not be there then.
  Result<void> keep(BlobWriter& writer);

  // The two halves of keeping many files: their bytes are on the disk after the first, their names after the second. It
  // syncs the whole file system once where that is less than a sync for each. All of them are closed. What is
  // stored already stays as it is. Errors: unavailable; of the second: some of them may have their places then.
  using Writers = std::vector<std::unique_ptr<BlobWriter>>;
  Result<void> sync_all(const Writers& writers);
  Result<void> keep_all(const Writers& writers);

  // A closed or sealed file that is not kept yet, open for reading. Errors: unavailable.
  Result<OwnedFile> read_unkept(const BlobWriter& writer);

  // Errors: not_found, unavailable.
  Result<Blob> read(std::string_view sha256);

  // It is no error when there is none. Errors: unavailable.
  Result<void> remove(std::string_view sha256);

  // Removes every temporary file, moves every blob whose digest is not in use to the lost folder, and takes back from
  // there what is in use. `digests_in_use` is asked once for each pair of leading digits. To be called at start, before
  // the first writer. Errors: unavailable, and those of `digests_in_use`.
  using DigestsInUse = std::function<Result<std::set<std::string>>(std::string_view first_two_digits)>;
  Result<SweepReport> sweep(const DigestsInUse& digests_in_use);

  std::filesystem::path lost_folder() const;

  // Space that is left for us on the store's file system.
  Result<std::uint64_t> free_bytes() const;

  // Whether new files may be made: the folder is there, is ours, and its file system is not read-only.
  bool is_writable() const;

 private:
  BlobStore(std::filesystem::path root, Disk& disk) : root_(std::move(root)), disk_(disk) {}

  // The one place where a digest becomes a path. Errors: not_found for anything but a digest.
  Result<std::string> path_of(std::string_view sha256) const;

  // The folder of a pair of leading digits, made by the first blob that needs it.
  Result<void> make_shard(const std::filesystem::path& folder);

  // The parts of keep_all().
  Result<void> make_shards(const std::set<std::string>& shards);
  Result<void> place(BlobWriter& writer);

  // The parts of sweep().
  Result<void> remove_unfinished(SweepReport& report);
  Result<void> sweep_shard(const std::string& shard, std::set<std::string> missing, SweepReport& report);
  std::uint64_t move_all(const std::vector<std::string>& names, const std::filesystem::path& from,
                         const std::filesystem::path& to);
  std::vector<std::string> lost_of(const std::set<std::string>& digests) const;
  void count_lost(SweepReport& report) const;

  std::filesystem::path root_;
  Disk& disk_;
  std::array<std::atomic<bool>, 256> shards_made_ = {};  // By this process, and synced.
};

}  // namespace gbgreg::storage
