#include "services/backup.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <system_error>
#include <unordered_set>
#include <utility>
#include <vector>

#include "models/sha256.h"
#include "services/backup_manifest.h"
#include "storage/blob_store.h"
#include "storage/migrations.h"
#include "storage/snapshot.h"

namespace gbgreg::services {
namespace {

namespace fs = std::filesystem;
using storage::Snapshot;

constexpr std::size_t kPieceBytes = 1024 * 1024;

std::unexpected<Error> cannot_write(int error_number, const fs::path& file) {
  Error error = storage::disk_error(error_number, "write " + file.string());
  error.message = error.code == "storage_full"
                      ? "The disk of the backup is full: free some space, or write it elsewhere."
                      : "The backup cannot be written there.";
  return std::unexpected(std::move(error));
}

// The file that becomes the backup. It removes itself unless it was kept.
class PartialFile {
 public:
  PartialFile(const fs::path& target, storage::Disk& disk)
      : target_(target), path_(target.string() + ".partial"), disk_(disk) {}
  ~PartialFile() {
    if (file_.is_open()) disk_.remove(path_.string());
  }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  Result<void> open() {
    // One that another backup writes to is locked; any other was left by one that was killed.
    const storage::OwnedFile left(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (left.is_open()) {
      if (::flock(left.get(), LOCK_EX | LOCK_NB) != 0) {
        return fail(Kind::conflict, "backup_running", "Another backup is being written to this file. Wait for it.");
      }
      disk_.remove(path_.string());
    }
    storage::OwnedFile made(disk_.create(path_.string()));
    if (!made.is_open()) return cannot_write(errno, path_);
    file_ = std::move(made);
    if (::flock(file_.get(), LOCK_EX | LOCK_NB) != 0) return cannot_write(errno, path_);
    return {};
  }

  // Nothing is written after a failure, whose number write_error() has.
  void write(const char* bytes, std::size_t size) {
    while (size > 0 && write_error_ == 0) {
      const ssize_t written = disk_.write(file_.get(), bytes, size);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) {
        write_error_ = errno;
        return;
      }
      bytes += written;
      size -= static_cast<std::size_t>(written);
      bytes_ += static_cast<std::uint64_t>(written);
    }
  }
  int write_error() const { return write_error_; }
  std::uint64_t bytes() const { return bytes_; }
  const fs::path& path() const { return path_; }

  Result<void> keep() {
    if (disk_.sync(file_.get()) != 0) return cannot_write(errno, path_);
    if (disk_.rename(path_.string(), target_.string()) != 0) return cannot_write(errno, target_);
    file_ = storage::OwnedFile();
    const fs::path folder = target_.has_parent_path() ? target_.parent_path() : fs::path(".");
    if (disk_.sync_folder(folder.string()) != 0) return cannot_write(errno, folder);
    return {};
  }

 private:
  fs::path target_;
  fs::path path_;
  storage::Disk& disk_;
  storage::OwnedFile file_;
  int write_error_ = 0;
  std::uint64_t bytes_ = 0;
};

// Members of a tar, one after another, into a partial file.
class TarWriter {
 public:
  explicit TarWriter(PartialFile& file) : file_(file), tar_(::archive_write_new()), entry_(::archive_entry_new()) {
    if (!tar_ || !entry_) throw std::bad_alloc();
  }

  Result<void> open() {
    // Plain POSIX (ustar), with an extended header only where a number does not fit.
    ::archive_write_set_format_pax_restricted(tar_.get());
    const int opened = ::archive_write_open2(tar_.get(), &file_, nullptr, write_piece, nullptr, nullptr);
    return outcome(opened == ARCHIVE_OK);
  }

  Result<void> begin(const std::string& name, std::uint64_t size_bytes, std::int64_t changed_at_seconds) {
    ::archive_entry_clear(entry_.get());
    ::archive_entry_set_pathname(entry_.get(), name.c_str());
    ::archive_entry_set_filetype(entry_.get(), AE_IFREG);
    ::archive_entry_set_perm(entry_.get(), S_IRUSR | S_IWUSR);
    ::archive_entry_set_size(entry_.get(), static_cast<la_int64_t>(size_bytes));
    ::archive_entry_set_mtime(entry_.get(), static_cast<time_t>(changed_at_seconds), 0);
    return outcome(::archive_write_header(tar_.get(), entry_.get()) == ARCHIVE_OK);
  }
  Result<void> write(std::string_view piece) {
    const la_ssize_t written = ::archive_write_data(tar_.get(), piece.data(), piece.size());
    return outcome(written == static_cast<la_ssize_t>(piece.size()));
  }
  Result<void> end() { return outcome(::archive_write_close(tar_.get()) == ARCHIVE_OK); }

 private:
  struct Free {
    void operator()(archive* tar) const { ::archive_write_free(tar); }
    void operator()(archive_entry* entry) const { ::archive_entry_free(entry); }
  };

  // libarchive is not told of a failure: what it holds for its output it does not give back after one. The file knows.
  static la_ssize_t write_piece(archive* /*tar*/, void* file, const void* bytes, std::size_t size) {
    static_cast<PartialFile*>(file)->write(static_cast<const char*>(bytes), size);
    return static_cast<la_ssize_t>(size);
  }

  Result<void> outcome(bool is_well) {
    if (is_well && file_.write_error() == 0) return {};
    if (file_.write_error() != 0) return cannot_write(file_.write_error(), file_.path());
    const char* said = ::archive_error_string(tar_.get());
    return fail(Kind::internal, "backup_failed", "The backup could not be written.", said != nullptr ? said : "");
  }

  PartialFile& file_;
  std::unique_ptr<archive, Free> tar_;
  std::unique_ptr<archive_entry, Free> entry_;
};

std::int64_t seconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

std::unexpected<Error> damaged(const FaultyBlob& fault) {
  return fail(
      Kind::internal, "bytes_damaged",
      "The bytes " + fault.sha256 + " that uploads have are " + std::string(fault_name(fault.fault)) +
          ", so a backup would not be whole. `gbgreg storage verify` says whose they are: delete those uploads, "
          "or put the bytes back.",
      fault.detail);
}

// The story of one backup.
class Backup {
 public:
  Backup(const BackupOptions& options, storage::Disk& disk, const Clock& clock, const ShowKept& show)
      : options_(options), clock_(clock), show_(show), file_(options.file, disk), tar_(file_) {}

  Result<BackupReport> run() {
    if (auto opened = file_.open(); !opened) return std::unexpected(std::move(opened.error()));
    if (auto opened = tar_.open(); !opened) return std::unexpected(std::move(opened.error()));
    std::unordered_set<std::string> vanished;
    for (int taken = 0; taken < kRowsTakenMax; ++taken) {
      const WallTime now = clock_.wall();
      auto rows = take_rows();
      if (!rows) return std::unexpected(std::move(rows.error()));
      auto missing = add_bytes(**rows, vanished);
      if (!missing) return std::unexpected(std::move(missing.error()));
      if (missing->empty()) return finish(**rows, now);
      vanished = std::move(*missing);
    }
    return fail(Kind::unavailable, "too_busy",
                "Uploads were deleted faster than they could be written. Try again when there is less to do.");
  }

 private:
  Result<std::unique_ptr<Snapshot>> take_rows() {
    // One that was killed may have left its copy. Our own lock on the partial file says that nobody uses it.
    std::error_code ignored;
    for (const char* suffix : {"", "-wal", "-shm", "-journal"}) fs::remove(rows_.string() + suffix, ignored);
    return Snapshot::take(options_.database_url, rows_, clock_);
  }

  // Adds the bytes that these rows name and that are not in yet. What is not there comes back, unless it was not there
  // the last time either.
  Result<std::unordered_set<std::string>> add_bytes(Snapshot& rows, const std::unordered_set<std::string>& vanished) {
    if (auto counted = count(rows); !counted) return std::unexpected(std::move(counted.error()));
    std::unordered_set<std::string> missing;
    for (unsigned shard = 0; shard < kShards; ++shard) {
      const auto digests = rows.digests(shard_name(shard));
      if (!digests) return std::unexpected(digests.error());
      for (const std::string& sha256 : *digests) {
        if (included_.contains(sha256)) continue;
        auto fault = add(sha256);
        if (!fault) return std::unexpected(std::move(fault.error()));
        if (!*fault) {
          included_.insert(sha256);
          continue;
        }
        if ((*fault)->fault != BlobFault::missing || vanished.contains(sha256)) return damaged(**fault);
        missing.insert(sha256);
      }
    }
    return missing;
  }

  Result<void> count(Snapshot& rows) {
    progress_ = {.files_done = included_.size(), .bytes_done = report_.bytes};
    for (unsigned shard = 0; shard < kShards; ++shard) {
      const auto digests = rows.digests(shard_name(shard));
      if (!digests) return std::unexpected(digests.error());
      const auto sizes = rows.sizes(shard_name(shard));
      if (!sizes) return std::unexpected(sizes.error());
      progress_.files_total += digests->size();
      for (const auto& [digest, size] : *sizes) progress_.bytes_total += size.largest;
    }
    return {};
  }

  Result<std::optional<FaultyBlob>> add(const std::string& sha256) {
    const std::string name = "uploads/" + sha256.substr(0, 2) + "/" + sha256;
    const auto opened = [&](std::uint64_t size_bytes, std::int64_t changed_at) {
      return tar_.begin(name, size_bytes, changed_at);
    };
    const auto take = [&](std::string_view piece) {
      progress_.bytes_done += piece.size();
      show_(progress_);
      return tar_.write(piece);
    };
    auto read = read_blob(options_.uploads, sha256, opened, take);
    if (!read) return std::unexpected(std::move(read.error()));
    if (!read->fault) {
      ++report_.files;
      report_.bytes += read->bytes;
      ++progress_.files_done;
      show_(progress_);
    }
    return std::move(read->fault);
  }

  Result<BackupReport> finish(Snapshot& rows, WallTime taken_at) {
    rows.release();
    const WallTime now = clock_.wall();
    BackupManifest manifest{.version = options_.version,
                            .created_at = rfc3339(taken_at),
                            .schema_version = storage::known_migrations().back().version,
                            .files = report_.files,
                            .bytes = report_.bytes};
    auto added = add_database(manifest, seconds(taken_at));
    std::error_code ignored;
    fs::remove(rows_, ignored);
    if (!added) return std::unexpected(std::move(added.error()));

    const std::string json = write_manifest(manifest);
    if (auto begun = tar_.begin(std::string(kManifestName), json.size(), seconds(now)); !begun) {
      return std::unexpected(std::move(begun.error()));
    }
    if (auto written = tar_.write(json); !written) return std::unexpected(std::move(written.error()));
    if (auto ended = tar_.end(); !ended) return std::unexpected(std::move(ended.error()));
    report_.backup_bytes = file_.bytes();
    report_.schema_version = manifest.schema_version;
    if (auto kept = file_.keep(); !kept) return std::unexpected(std::move(kept.error()));
    return report_;
  }

  Result<void> add_database(BackupManifest& manifest, std::int64_t taken_at_seconds) {
    const storage::OwnedFile rows(::open(rows_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    struct stat status{};
    if (!rows.is_open() || ::fstat(rows.get(), &status) != 0) return cannot_write(errno, rows_);
    manifest.database_bytes = static_cast<std::uint64_t>(status.st_size);
    auto begun = tar_.begin(std::string(kDatabaseName), manifest.database_bytes, taken_at_seconds);
    if (!begun) return begun;
    models::Sha256 digest;
    const auto buffer = std::make_unique<std::array<char, kPieceBytes>>();
    for (;;) {
      const ssize_t got = ::read(rows.get(), buffer->data(), buffer->size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return cannot_write(errno, rows_);
      if (got == 0) break;
      const std::string_view piece(buffer->data(), static_cast<std::size_t>(got));
      digest.add(piece);
      if (auto written = tar_.write(piece); !written) return written;
    }
    manifest.database_sha256 = digest.finish();
    return {};
  }

  const BackupOptions& options_;
  const Clock& clock_;
  const ShowKept& show_;
  PartialFile file_;
  TarWriter tar_;
  fs::path rows_ = fs::absolute(options_.file.string() + ".partial-rows");
  std::unordered_set<std::string> included_;  // Digests that are in the tar.
  KeptProgress progress_;
  BackupReport report_;
};

}  // namespace

Result<BackupReport> back_up(const BackupOptions& options, storage::Disk& disk, const Clock& clock,
                             const ShowKept& show) {
  return Backup(options, disk, clock, show).run();
}

}  // namespace gbgreg::services
