#include "storage/blob_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <iterator>
#include <new>
#include <system_error>
#include <utility>
#include <vector>

#include "core/ids.h"

namespace gbgreg::storage {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kTemporaryFolder = "tmp";
constexpr std::string_view kLostFolder = "lost";
// Files or folders that are synced one by one; of more, the file system is synced as a whole.
constexpr std::size_t kSyncsMax = 32;

std::string hex(const unsigned char* bytes, std::size_t size) {
  std::string text;
  text.reserve(size * 2);
  for (std::size_t i = 0; i < size; ++i) {
    text.push_back(kHex[bytes[i] >> 4]);
    text.push_back(kHex[bytes[i] & 0xf]);
  }
  return text;
}

std::unexpected<Error> disk_failure(std::string doing) { return std::unexpected(disk_error(errno, std::move(doing))); }

std::unexpected<Error> disk_failure(const std::error_code& error, std::string doing) {
  return std::unexpected(disk_error(error.value(), std::move(doing)));
}

// "00" to "ff": the folders of the store, made when they are first needed.
std::array<std::string, 256> shard_names() {
  std::array<std::string, 256> names;
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = {kHex[i >> 4], kHex[i & 0xf]};
  return names;
}

// Makes a folder that will still be there after a loss of power. One that exists may have been made a moment ago and
// not be synced yet, so the folder above is synced in that case too.
Result<void> make_folder(const std::filesystem::path& folder, Disk& disk) {
  if (disk.make_folder(folder.string()) != 0 && errno != EEXIST) return disk_failure("make a folder for uploads");
  if (disk.sync_folder(folder.parent_path().string()) != 0) return disk_failure("sync the uploads folder");
  return {};
}

// What is in a folder by name, but for the folders in it; nothing when there is no such folder. Errors: unavailable.
Result<std::vector<std::string>> file_names(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code unknown;
    if (!entry->is_directory(unknown)) names.push_back(entry->path().filename().string());
  }
  if (error && error != std::errc::no_such_file_or_directory) return disk_failure(error, "list " + folder.string());
  return names;
}

}  // namespace

bool is_sha256(std::string_view text) {
  return text.size() == 64 && std::ranges::all_of(text, [](char c) { return kHex.find(c) != kHex.npos; });
}

OwnedFile::~OwnedFile() {
  if (file_ >= 0) ::close(file_);
}

OwnedFile::OwnedFile(OwnedFile&& other) noexcept : file_(std::exchange(other.file_, -1)) {}

OwnedFile& OwnedFile::operator=(OwnedFile&& other) noexcept {
  std::swap(file_, other.file_);
  return *this;
}

BlobWriter::BlobWriter(Disk& disk, std::string path) : disk_(disk), path_(std::move(path)), digest_(EVP_MD_CTX_new()) {
  if (!digest_ || EVP_DigestInit_ex(digest_.get(), EVP_sha256(), nullptr) != 1) throw std::bad_alloc();
}

BlobWriter::~BlobWriter() {
  if (exists_) disk_.remove(path_);
}

Result<void> BlobWriter::open() {
  if (exists_) return {};
  file_ = OwnedFile(disk_.create(path_));
  if (!file_.is_open()) return disk_failure("create a temporary file");
  exists_ = true;
  return {};
}

Result<void> BlobWriter::write(std::string_view bytes) {
  if (auto opened = open(); !opened) return opened;
  EVP_DigestUpdate(digest_.get(), bytes.data(), bytes.size());
  while (!bytes.empty()) {
    const ssize_t written = disk_.write(file_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return disk_failure("write a temporary file");
    bytes.remove_prefix(static_cast<std::size_t>(written));
    size_bytes_ += static_cast<std::size_t>(written);
  }
  if (size_bytes_ - started_bytes_ >= kWriteBehindBytes) {
    disk_.start_writing(file_.get(), started_bytes_, size_bytes_ - started_bytes_);
    started_bytes_ = size_bytes_;
  }
  return {};
}

Result<std::string> BlobWriter::seal() {
  if (auto opened = open(); !opened) return std::unexpected(opened.error());  // An empty file is a file too.
  if (disk_.sync(file_.get()) != 0) return disk_failure("sync a temporary file");
  return finish_digest();
}

Result<std::string> BlobWriter::close() {
  if (auto opened = open(); !opened) return std::unexpected(opened.error());
  return finish_digest();
}

std::string BlobWriter::finish_digest() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_DigestFinal_ex(digest_.get(), digest.data(), &size);
  digest_.reset();
  sha256_ = hex(digest.data(), size);
  file_ = OwnedFile();
  return sha256_;
}

Result<std::size_t> Blob::read_at(std::uint64_t offset, char* out, std::size_t size) const {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = ::pread(file_.get(), out + done, size - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return disk_failure("read a blob");
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Result<std::unique_ptr<BlobStore>> BlobStore::open(const std::filesystem::path& root, Disk& disk) {
  std::error_code error;
  std::filesystem::create_directories(root, error);
  if (error) return disk_failure(error, "make the uploads folder");
  if (auto made = make_folder(root / kTemporaryFolder, disk); !made) return std::unexpected(made.error());
  return std::unique_ptr<BlobStore>(new BlobStore(root, disk));
}

std::unique_ptr<BlobWriter> BlobStore::writer(std::string_view id) {
  return std::make_unique<BlobWriter>(disk_, (root_ / kTemporaryFolder / id).string());
}

Result<void> BlobStore::keep(BlobWriter& writer) {
  assert(!writer.sha256_.empty() && "a writer is sealed before it is kept");
  const auto path = path_of(writer.sha256_);
  if (!path) return std::unexpected(path.error());
  const std::filesystem::path folder = root_ / writer.sha256_.substr(0, 2);
  if (auto made = make_shard(folder); !made) return made;
  if (disk_.rename(writer.path_, *path) != 0) return disk_failure("rename a temporary file");
  writer.exists_ = false;
  if (disk_.sync_folder(folder.string()) != 0) return disk_failure("sync the folder of a blob");
  if (disk_.sync_folder((root_ / kTemporaryFolder).string()) != 0) return disk_failure("sync the temporary folder");
  return {};
}

Result<void> BlobStore::sync_all(const Writers& writers) {
  if (writers.size() > kSyncsMax) {
    if (disk_.sync_file_system(root_.string()) != 0) return disk_failure("sync the file system of the uploads");
    return {};
  }
  for (const auto& writer : writers) {
    auto file = read_unkept(*writer);
    if (!file) return std::unexpected(std::move(file.error()));
    if (disk_.sync(file->get()) != 0) return disk_failure("sync a temporary file");
  }
  return {};
}

Result<void> BlobStore::keep_all(const Writers& writers) {
  std::set<std::string> shards;
  for (const auto& writer : writers) shards.insert(writer->sha256_.substr(0, 2));
  if (auto made = make_shards(shards); !made) return made;
  for (const auto& writer : writers) {
    if (auto placed = place(*writer); !placed) return placed;
  }
  if (shards.size() > kSyncsMax) {
    if (disk_.sync_file_system(root_.string()) != 0) return disk_failure("sync the file system of the uploads");
    return {};
  }
  for (const std::string& shard : shards) {
    if (disk_.sync_folder((root_ / shard).string()) != 0) return disk_failure("sync the folder of a blob");
  }
  if (disk_.sync_folder((root_ / kTemporaryFolder).string()) != 0) return disk_failure("sync the temporary folder");
  return {};
}

// One sync for all of their names.
Result<void> BlobStore::make_shards(const std::set<std::string>& shards) {
  std::vector<std::atomic<bool>*> made;
  for (const std::string& shard : shards) {
    std::atomic<bool>& is_made = shards_made_[std::stoul(shard, nullptr, 16)];
    if (is_made) continue;
    if (disk_.make_folder((root_ / shard).string()) != 0 && errno != EEXIST) {
      return disk_failure("make a folder for uploads");
    }
    made.push_back(&is_made);
  }
  if (made.empty()) return {};
  if (disk_.sync_folder(root_.string()) != 0) return disk_failure("sync the uploads folder");
  for (std::atomic<bool>* is_made : made) *is_made = true;
  return {};
}

// Of many files some are often there already. Putting the same bytes in their place costs a journal ten times what
// leaving them does.
Result<void> BlobStore::place(BlobWriter& writer) {
  assert(!writer.sha256_.empty() && "a writer is closed before it is kept");
  const auto path = path_of(writer.sha256_);
  if (!path) return std::unexpected(path.error());
  struct stat status{};
  const bool is_there = ::lstat(path->c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
                        static_cast<std::uint64_t>(status.st_size) == writer.size_bytes_;
  if (is_there) return {};  // The writer removes what it has.
  if (disk_.rename(writer.path_, *path) != 0) return disk_failure("rename a temporary file");
  writer.exists_ = false;
  return {};
}

Result<OwnedFile> BlobStore::read_unkept(const BlobWriter& writer) {
  OwnedFile file(::open(writer.path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.is_open()) return disk_failure("open a temporary file");
  return file;
}

Result<void> BlobStore::make_shard(const std::filesystem::path& folder) {
  std::atomic<bool>& is_made = shards_made_[std::stoul(folder.filename().string(), nullptr, 16)];
  if (is_made) return {};
  auto made = make_folder(folder, disk_);
  if (made) is_made = true;
  return made;
}

Result<Blob> BlobStore::read(std::string_view sha256) {
  const auto path = path_of(sha256);
  if (!path) return std::unexpected(path.error());
  OwnedFile file(::open(path->c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.is_open() && errno == ENOENT) return fail(Kind::not_found, "blob_not_found", "These bytes are not stored.");
  if (!file.is_open()) return disk_failure("open a blob");
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return disk_failure("ask for the size of a blob");
  return Blob(std::move(file), static_cast<std::uint64_t>(status.st_size));
}

Result<void> BlobStore::remove(std::string_view sha256) {
  const auto path = path_of(sha256);
  if (!path) return std::unexpected(path.error());
  if (disk_.remove(*path) != 0 && errno != ENOENT) return disk_failure("remove a blob");
  return {};
}

Result<SweepReport> BlobStore::sweep(const DigestsInUse& digests_in_use) {
  SweepReport report;
  if (auto removed = remove_unfinished(report); !removed) return std::unexpected(removed.error());
  for (const std::string& shard : shard_names()) {
    auto in_use = digests_in_use(shard);
    if (!in_use) return std::unexpected(in_use.error());
    auto swept = sweep_shard(shard, std::move(*in_use), report);
    if (!swept) return std::unexpected(swept.error());
  }
  count_lost(report);
  return report;
}

Result<void> BlobStore::remove_unfinished(SweepReport& report) {
  const std::filesystem::path folder = root_ / kTemporaryFolder;
  const auto names = file_names(folder);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (!is_uuid(name)) continue;  // Not ours, and stays.
    if (disk_.remove((folder / name).string()) != 0) return disk_failure("remove an unfinished upload");
    ++report.unfinished_removed;
  }
  return {};
}

Result<void> BlobStore::sweep_shard(const std::string& shard, std::set<std::string> missing, SweepReport& report) {
  const std::filesystem::path folder = root_ / shard;
  const auto names = file_names(folder);
  if (!names) return std::unexpected(names.error());
  std::vector<std::string> orphans;
  for (const std::string& name : *names) {
    // What we did not put here stays. A digest in the folder of others is somebody's copy: were it taken for the blob
    // of that name, the blob itself would go.
    if (!is_sha256(name) || !name.starts_with(shard)) continue;
    if (missing.erase(name) == 0) orphans.push_back(name);
  }
  const std::uint64_t set_aside = move_all(orphans, folder, lost_folder());
  const std::uint64_t taken_back = move_all(lost_of(missing), lost_folder(), folder);
  report.orphans_set_aside += set_aside;
  report.orphans_stuck += orphans.size() - set_aside;
  report.blobs_taken_back += taken_back;
  report.blobs_missing += missing.size() - taken_back;
  if (set_aside + taken_back == 0) return {};
  for (const std::filesystem::path& changed : {lost_folder(), folder}) {
    if (disk_.sync_folder(changed.string()) != 0) return disk_failure("sync a folder of blobs");
  }
  return {};
}

// A full disk may have no room for one more name, and that must not keep the gateway from starting: what cannot be
// moved stays.
std::uint64_t BlobStore::move_all(const std::vector<std::string>& names, const std::filesystem::path& from,
                                  const std::filesystem::path& to) {
  if (names.empty() || !make_folder(to, disk_)) return 0;
  return static_cast<std::uint64_t>(std::ranges::count_if(
      names, [&](const std::string& name) { return disk_.rename((from / name).string(), (to / name).string()) == 0; }));
}

std::vector<std::string> BlobStore::lost_of(const std::set<std::string>& digests) const {
  std::vector<std::string> lost;
  std::ranges::copy_if(digests, std::back_inserter(lost), [this](const std::string& digest) {
    std::error_code unknown;
    return is_sha256(digest) && std::filesystem::is_regular_file(lost_folder() / digest, unknown);
  });
  return lost;
}

// For the log only, so what cannot be looked at is left out.
void BlobStore::count_lost(SweepReport& report) const {
  const auto names = file_names(lost_folder());
  if (!names) return;
  for (const std::string& name : *names) {
    std::error_code unknown;
    const std::uintmax_t size_bytes = std::filesystem::file_size(lost_folder() / name, unknown);
    ++report.lost_files;
    if (!unknown) report.lost_bytes += size_bytes;
  }
}

std::filesystem::path BlobStore::lost_folder() const { return root_ / kLostFolder; }

Result<std::uint64_t> BlobStore::free_bytes() const {
  struct statvfs status{};
  if (::statvfs(root_.c_str(), &status) != 0) return disk_failure("ask for the free space");
  return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

bool BlobStore::is_writable() const { return ::access((root_ / kTemporaryFolder).c_str(), W_OK | X_OK) == 0; }

Result<std::string> BlobStore::path_of(std::string_view sha256) const {
  if (!is_sha256(sha256)) return fail(Kind::not_found, "blob_not_found", "These bytes are not stored.");
  return (root_ / sha256.substr(0, 2) / sha256).string();
}

}  // namespace gbgreg::storage
