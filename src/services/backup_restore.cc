#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "models/sha256.h"
#include "services/backup.h"
#include "services/backup_manifest.h"
#include "storage/blob_store.h"
#include "storage/copy_rows.h"
#include "storage/database_url.h"
#include "storage/migrations.h"
#include "storage/snapshot.h"

namespace gbgreg::services {
namespace {

namespace fs = std::filesystem;
using storage::Snapshot;

constexpr std::size_t kPieceBytes = 1024 * 1024;

std::unexpected<Error> is_damaged(std::string what) {
  return fail(Kind::malformed, "backup_damaged", "The backup is damaged: " + what + " Nothing was restored.");
}

std::unexpected<Error> cannot_write(int error_number, const fs::path& file) {
  Error error = storage::disk_error(error_number, "write " + file.string());
  error.message = error.code == "storage_full" ? "The disk of the data folder is full: free some space on it."
                                               : "The data folder cannot be written.";
  return std::unexpected(std::move(error));
}

// What a name in the backup stands for; anything else than these has no business there.
struct Member {
  enum class What : std::uint8_t { blob, database, manifest } what;
  std::string sha256 = {};  // Of a blob.
};
std::optional<Member> member_named(std::string_view name) {
  if (name.starts_with("./")) name.remove_prefix(2);
  if (name == kDatabaseName) return Member{.what = Member::What::database};
  if (name == kManifestName) return Member{.what = Member::What::manifest};
  constexpr std::string_view kUploads = "uploads/";
  if (!name.starts_with(kUploads)) return std::nullopt;
  name.remove_prefix(kUploads.size());
  if (name.size() != 67 || name[2] != '/') return std::nullopt;
  const std::string_view sha256 = name.substr(3);
  if (!storage::is_sha256(sha256) || !sha256.starts_with(name.substr(0, 2))) return std::nullopt;
  return Member{.what = Member::What::blob, .sha256 = std::string(sha256)};
}

// A backup being read, member by member. What it says is not believed but for its bytes.
class TarReader {
 public:
  static Result<std::unique_ptr<TarReader>> open(const fs::path& path) {
    std::unique_ptr<TarReader> reader(new TarReader);
    reader->file_ = storage::OwnedFile(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status{};
    if (!reader->file_.is_open() || ::fstat(reader->file_.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
      return fail(Kind::not_found, "backup_missing", "There is no backup of this name that could be read.",
                  path.string());
    }
    reader->size_bytes_ = static_cast<std::uint64_t>(status.st_size);
    ::archive_read_support_format_tar(reader->tar_.get());
    if (::archive_read_open_fd(reader->tar_.get(), reader->file_.get(), kPieceBytes) != ARCHIVE_OK) {
      return is_damaged("it is no tar.");
    }
    return reader;
  }

  std::uint64_t size_bytes() const { return size_bytes_; }
  // Of the file, so far.
  std::uint64_t position() const { return static_cast<std::uint64_t>(::archive_filter_bytes(tar_.get(), -1)); }

  // The next member that is no folder; nothing at the end.
  Result<std::optional<Member>> next() {
    for (;;) {
      archive_entry* entry = nullptr;
      const int status = ::archive_read_next_header(tar_.get(), &entry);
      if (status == ARCHIVE_EOF) return std::nullopt;
      if (status != ARCHIVE_OK) return is_damaged("it is no tar, or is cut short.");
      const auto type = ::archive_entry_filetype(entry);
      if (type == AE_IFDIR) continue;
      const char* name = ::archive_entry_pathname(entry);
      auto member = name != nullptr ? member_named(name) : std::nullopt;
      const bool is_file = type == AE_IFREG && ::archive_entry_hardlink(entry) == nullptr;
      if (!member || !is_file) return is_damaged("it has something in it that no backup has.");
      return member;
    }
  }

  // Up to kPieceBytes of the member, empty at its end.
  Result<std::string_view> read() {
    const la_ssize_t got = ::archive_read_data(tar_.get(), buffer_->data(), buffer_->size());
    if (got < 0) return is_damaged("it is cut short.");
    bytes_read_ += static_cast<std::uint64_t>(got);
    // A tar may say that a file has holes, and so be far larger than it is.
    if (bytes_read_ > size_bytes_) return is_damaged("it says that it is larger than it is.");
    return std::string_view(buffer_->data(), static_cast<std::size_t>(got));
  }

 private:
  TarReader() : tar_(::archive_read_new()), buffer_(std::make_unique<std::array<char, kPieceBytes>>()) {
    if (!tar_) throw std::bad_alloc();
  }
  struct Free {
    void operator()(archive* tar) const { ::archive_read_free(tar); }
  };

  storage::OwnedFile file_;
  std::unique_ptr<archive, Free> tar_;
  std::unique_ptr<std::array<char, kPieceBytes>> buffer_;
  std::uint64_t size_bytes_ = 0;
  std::uint64_t bytes_read_ = 0;
};

// The story of one restoration.
class Restoration {
 public:
  Restoration(const RestoreOptions& options, storage::Disk& disk, const Clock& clock, const ShowKept& show)
      : options_(options), disk_(disk), clock_(clock), show_(show), staging_(options.data / "restore.partial") {}
  ~Restoration() { remove_staging(); }
  Restoration(const Restoration&) = delete;
  Restoration& operator=(const Restoration&) = delete;

  Result<RestoreReport> run() {
    if (auto ready = make_target_ready(); !ready) return std::unexpected(std::move(ready.error()));
    if (is_present() && options_.present == Present::refuse) {
      return fail(
          Kind::conflict, "data_present",
          "The data folder has data already. Choose an empty one with --data, or have what is there moved aside "
          "by --replace.");
    }
    auto tar = TarReader::open(options_.file);
    if (!tar) return std::unexpected(std::move(tar.error()));
    for (const auto& step : {&Restoration::make_staging, &Restoration::unpack, &Restoration::check_whole,
                             &Restoration::check_rows, &Restoration::put_in_place}) {
      if (auto done = (this->*step)(**tar); !done) return std::unexpected(std::move(done.error()));
    }
    return std::move(report_);
  }

 private:
  fs::path blobs() const { return staging_ / "uploads"; }
  fs::path database() const { return staging_ / kDatabaseName; }

  // Of PostgreSQL: there, with its tables, and empty, for nobody could move its rows aside. Of SQLite: where its file
  // is.
  Result<void> make_target_ready() {
    if (storage::is_sqlite_url(options_.database_url)) {
      auto path = storage::sqlite_path(options_.database_url);
      if (!path) return std::unexpected(std::move(path.error()));
      target_file_ = std::move(*path);
      return {};
    }
    auto opened = storage::Database::open(
        {.database_url = options_.database_url, .uploads_folder = {}, .database_connections = 1});
    if (!opened) return std::unexpected(std::move(opened.error()));
    target_ = std::move(*opened);
    if (auto migrated = storage::migrate(*target_, clock_); !migrated) {
      return std::unexpected(std::move(migrated.error()));
    }
    const auto tables = storage::count_rows(*target_);
    if (!tables) return std::unexpected(tables.error());
    if (std::ranges::all_of(*tables, [](const storage::TableRows& table) { return table.rows == 0; })) return {};
    return fail(
        Kind::conflict, "data_present",
        "The database has rows already, and those of PostgreSQL are not moved aside: make a new, empty database "
        "and name that one.",
        target_->place());
  }

  // What a gateway that never kept anything has made does not count.
  bool is_present() const {
    std::error_code error;
    if (!target_ && fs::exists(target_file_, error) && fs::file_size(target_file_, error) > 0) return true;
    for (fs::recursive_directory_iterator entry(options_.uploads, error), end; !error && entry != end;
         entry.increment(error)) {
      if (!entry->is_directory()) return true;
    }
    return false;
  }

  void remove_staging() const {
    std::error_code ignored;
    fs::remove_all(staging_, ignored);
  }

  Result<void> make_staging(TarReader& tar) {
    remove_staging();  // One that was killed may have left its own; the lock on the data folder says that it is over.
    struct statvfs disk{};
    const bool is_known = ::statvfs(options_.data.c_str(), &disk) == 0;
    if (is_known && static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize < tar.size_bytes()) {
      return cannot_write(ENOSPC, staging_);
    }
    for (const fs::path& folder : {staging_, blobs()}) {
      if (disk_.make_folder(folder.string()) != 0) return cannot_write(errno, folder);
    }
    return {};
  }

  Result<void> unpack(TarReader& tar) {
    progress_.bytes_total = tar.size_bytes();
    for (;;) {
      auto member = tar.next();
      if (!member) return std::unexpected(std::move(member.error()));
      if (!*member) return {};
      if (manifest_) return is_damaged("something stands behind its manifest.");
      auto done = unpack_member(tar, **member);
      if (!done) return done;
    }
  }

  Result<void> unpack_member(TarReader& tar, const Member& member) {
    using What = Member::What;
    if (member.what == What::manifest) return read_manifest_of(tar);
    if (member.what == What::database) {
      auto written = write_file(tar, database());
      if (!written) return std::unexpected(std::move(written.error()));
      database_ = std::move(*written);
      return {};
    }
    const fs::path shard = blobs() / member.sha256.substr(0, 2);
    if (disk_.make_folder(shard.string()) != 0 && errno != EEXIST) return cannot_write(errno, shard);
    auto written = write_file(tar, shard / member.sha256);
    if (!written) return std::unexpected(std::move(written.error()));
    if (written->sha256 != member.sha256) return is_damaged("the bytes of " + member.sha256 + " are not those.");
    ++progress_.files_done;
    bytes_ += written->bytes;
    return {};
  }

  struct Written {
    std::string sha256;
    std::uint64_t bytes = 0;
  };
  Result<Written> write_file(TarReader& tar, const fs::path& path) {
    const storage::OwnedFile file(disk_.create(path.string()));
    if (!file.is_open() && errno == EEXIST) return is_damaged("something is in it twice.");
    if (!file.is_open()) return cannot_write(errno, path);
    models::Sha256 digest;
    Written written;
    for (;;) {
      auto piece = tar.read();
      if (!piece) return std::unexpected(std::move(piece.error()));
      if (piece->empty()) break;
      digest.add(*piece);
      written.bytes += piece->size();
      while (!piece->empty()) {
        const ssize_t put = disk_.write(file.get(), piece->data(), piece->size());
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return cannot_write(errno, path);
        piece->remove_prefix(static_cast<std::size_t>(put));
      }
      progress_.bytes_done = tar.position();
      show_(progress_);
    }
    written.sha256 = digest.finish();
    return written;
  }

  Result<void> read_manifest_of(TarReader& tar) {
    std::string json;
    for (;;) {
      auto piece = tar.read();
      if (!piece) return std::unexpected(std::move(piece.error()));
      if (piece->empty()) break;
      json.append(*piece);
      if (json.size() > kManifestBytesMax) return is_damaged("its manifest is too long.");
    }
    auto manifest = read_manifest(json);
    if (!manifest) return std::unexpected(std::move(manifest.error()));
    manifest_ = std::move(*manifest);
    return {};
  }

  Result<void> check_whole(TarReader&) {
    if (!manifest_) return is_damaged("it has no manifest, so it is cut short or no backup.");
    if (!database_) return is_damaged("it has no database.");
    if (database_->sha256 != manifest_->database_sha256 || database_->bytes != manifest_->database_bytes) {
      return is_damaged("its database is not the one that its manifest says.");
    }
    if (progress_.files_done != manifest_->files || bytes_ != manifest_->bytes) {
      return is_damaged("it has " + std::to_string(progress_.files_done) + " files, and its manifest says " +
                        std::to_string(manifest_->files) + ".");
    }
    report_.version = manifest_->version;
    report_.created_at = manifest_->created_at;
    return {};
  }

  // Every row has its bytes, of the size that it says; and the bytes that no row names go.
  Result<void> check_rows(TarReader&) {
    const std::string unpacked = "sqlite://" + fs::absolute(database()).string();
    auto rows = Snapshot::take(unpacked, fs::absolute(staging_ / "rows.sqlite"), clock_);
    if (!rows) return std::unexpected(std::move(rows.error()));
    for (unsigned shard = 0; shard < kShards; ++shard) {
      auto digests = (*rows)->digests(shard_name(shard));
      if (!digests) return std::unexpected(std::move(digests.error()));
      const auto sizes = (*rows)->sizes(shard_name(shard));
      if (!sizes) return std::unexpected(sizes.error());
      if (auto checked = check_shard(blobs() / shard_name(shard), *digests, *sizes); !checked) return checked;
    }
    return {};
  }

  Result<void> check_shard(const fs::path& folder, std::set<std::string>& missing,
                           const std::map<std::string, storage::SizesSaid>& sizes) {
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
      const std::string sha256 = entry->path().filename().string();
      if (missing.erase(sha256) == 0) {
        if (disk_.remove(entry->path().string()) != 0) return cannot_write(errno, entry->path());
        ++report_.unused_files;
        continue;
      }
      std::error_code unknown;
      const std::uintmax_t bytes = entry->file_size(unknown);
      const auto said = sizes.find(sha256);
      if (said != sizes.end() && (said->second.smallest != bytes || said->second.largest != bytes)) {
        return is_damaged("the size of " + sha256 + " is not the one that its row says.");
      }
      ++report_.files;
      report_.bytes += bytes;
    }
    if (!missing.empty()) return is_damaged("the bytes of " + *missing.begin() + " are not in it.");
    return {};
  }

  // By renames on one file system, each after all that it needs is on the disk.
  Result<void> put_in_place(TarReader&) {
    for (const char* suffix : {"-wal", "-shm"}) {
      std::error_code ignored;
      fs::remove(database().string() + suffix, ignored);
    }
    if (disk_.sync_file_system(staging_.string()) != 0) return cannot_write(errno, staging_);
    if (is_present()) {
      if (auto moved = move_aside(); !moved) return moved;
    }
    // What a gateway that kept nothing has made: folders without files in them, and an empty database.
    std::error_code ignored;
    fs::remove_all(options_.uploads, ignored);
    if (disk_.rename(blobs().string(), options_.uploads.string()) != 0) return cannot_write(errno, options_.uploads);
    if (target_) return put_rows_in_place();
    if (disk_.rename(database().string(), target_file_.string()) != 0) return cannot_write(errno, target_file_);
    for (const fs::path& folder : {options_.data, target_file_.parent_path()}) {
      if (disk_.sync_folder(folder.string()) != 0) return cannot_write(errno, folder);
    }
    return {};
  }

  // The bytes are in their place already, for a row without them would be a lie. They leave it again when the rows do
  // not come.
  Result<void> put_rows_in_place() {
    if (disk_.sync_folder(options_.data.string()) != 0) return cannot_write(errno, options_.data);
    auto copied = copy_rows_to_target();
    if (copied) return {};
    disk_.rename(options_.uploads.string(), blobs().string());
    if (!report_.moved_aside.empty()) {
      disk_.rename((report_.moved_aside / options_.uploads.filename()).string(), options_.uploads.string());
    }
    return copied;
  }

  Result<void> copy_rows_to_target() {
    auto from = storage::Database::open({.database_url = "sqlite://" + fs::absolute(database()).string(),
                                         .uploads_folder = {},
                                         .database_connections = 1});
    if (!from) return std::unexpected(std::move(from.error()));
    // The backup may be an older gbgreg's.
    if (auto migrated = storage::migrate(**from, clock_); !migrated) return std::unexpected(migrated.error());
    const auto copied = storage::copy_rows(**from, *target_, [](const storage::RowsProgress&) {});
    if (!copied) return std::unexpected(copied.error());
    return {};
  }

  Result<void> move_aside() {
    std::string name = "replaced-" + rfc3339(clock_.wall());
    std::ranges::replace(name, ':', '-');
    const fs::path aside = options_.data / name;
    if (disk_.make_folder(aside.string()) != 0) return cannot_write(errno, aside);
    report_.moved_aside = aside;
    std::vector<fs::path> present = {options_.uploads};
    if (!target_) {
      for (const char* suffix : {"", "-wal", "-shm"}) present.emplace_back(target_file_.string() + suffix);
    }
    for (const fs::path& old : present) {
      if (disk_.rename(old.string(), (aside / old.filename()).string()) != 0 && errno != ENOENT) {
        return cannot_write(errno, old);
      }
    }
    if (disk_.sync_folder(aside.string()) != 0) return cannot_write(errno, aside);
    return {};
  }

  const RestoreOptions& options_;
  storage::Disk& disk_;
  const Clock& clock_;
  const ShowKept& show_;
  fs::path staging_;
  fs::path target_file_;                       // Of SQLite, …
  std::unique_ptr<storage::Database> target_;  // … or PostgreSQL.
  std::optional<BackupManifest> manifest_;
  std::optional<Written> database_;
  std::uint64_t bytes_ = 0;
  KeptProgress progress_;
  RestoreReport report_;
};

}  // namespace

Result<RestoreReport> restore(const RestoreOptions& options, storage::Disk& disk, const Clock& clock,
                              const ShowKept& show) {
  return Restoration(options, disk, clock, show).run();
}

}  // namespace gbgreg::services
