#include "storage/blob_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <new>
#include <system_error>
#include <utility>
#include <vector>

#include "core/ids.h"

namespace gbgreg::storage {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kTemporaryFolder = "tmp";

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

// What is in a folder by name; nothing when there is no such folder. Errors: unavailable.
Result<std::vector<std::string>> file_names(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    names.push_back(entry->path().filename().string());
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
  return {};
}

Result<std::string> BlobWriter::seal() {
  if (auto opened = open(); !opened) return std::unexpected(opened.error());  // An empty file is a file too.
  if (disk_.sync(file_.get()) != 0) return disk_failure("sync a temporary file");
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_DigestFinal_ex(digest_.get(), digest.data(), &size);
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
  const std::filesystem::path temporary_folder = root_ / kTemporaryFolder;
  const auto unfinished = file_names(temporary_folder);
  if (!unfinished) return std::unexpected(unfinished.error());
  for (const std::string& name : *unfinished) {
    if (!is_uuid(name)) continue;  // Not ours, and stays.
    if (disk_.remove((temporary_folder / name).string()) != 0) return disk_failure("remove an unfinished upload");
    ++report.unfinished_removed;
  }
  for (const std::string& shard : shard_names()) {
    const auto names = file_names(root_ / shard);
    if (!names) return std::unexpected(names.error());
    auto missing = digests_in_use(shard);
    if (!missing) return std::unexpected(missing.error());
    for (const std::string& name : *names) {
      if (!is_sha256(name) || missing->erase(name) > 0) continue;
      if (auto removed = remove(name); !removed) return std::unexpected(removed.error());
      ++report.orphans_removed;
    }
    report.blobs_missing += missing->size();
  }
  return report;
}

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
