#include "services/verify_storage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <set>
#include <system_error>
#include <utility>

#include "models/sha256.h"
#include "storage/blob_store.h"
#include "storage/snapshot.h"

namespace gbgreg::services {
namespace {

namespace fs = std::filesystem;
using storage::Snapshot;

constexpr std::size_t kPieceBytes = 1024 * 1024;
// A file without a row that was written so lately may be one whose row is about to be committed.
constexpr std::chrono::hours kPerhapsOnItsWay{1};

fs::path path_of(const fs::path& uploads, const std::string& sha256) { return uploads / sha256.substr(0, 2) / sha256; }

struct Unused {
  std::string sha256;
  std::uint64_t bytes = 0;
};

// The story of one verification, with what has been found so far.
class Verification {
 public:
  Verification(const VerifyOptions& options, const Clock& clock, const ShowKept& show)
      : options_(options), clock_(clock), show_(show), began_(clock.wall()) {}

  Result<StorageReport> run() {
    auto rows = Snapshot::take(options_.database_url, options_.scratch / "rows.sqlite", clock_);
    if (!rows) return std::unexpected(std::move(rows.error()));
    if (auto counted = count(**rows); !counted) return std::unexpected(std::move(counted.error()));
    for (unsigned shard = 0; shard < kShards; ++shard) {
      if (auto done = look_at_shard(**rows, shard_name(shard)); !done) return std::unexpected(std::move(done.error()));
    }
    if (auto sure = look_again(); !sure) return std::unexpected(std::move(sure.error()));
    count_set_aside();
    return std::move(report_);
  }

 private:
  Result<void> count(Snapshot& rows) {
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

  Result<void> look_at_shard(Snapshot& rows, const std::string& shard) {
    // The files first: one that comes later than the rows is no candidate at all.
    std::vector<Unused> files = files_in(options_.uploads / shard, shard);
    const auto digests = rows.digests(shard);
    if (!digests) return std::unexpected(digests.error());
    const auto sizes = rows.sizes(shard);
    if (!sizes) return std::unexpected(sizes.error());
    std::erase_if(files, [&](const Unused& file) { return digests->contains(file.sha256); });
    unused_.insert(unused_.end(), files.begin(), files.end());
    for (const std::string& sha256 : *digests) {
      const auto said = sizes->find(sha256);
      auto looked = look_at(sha256, said == sizes->end() ? nullptr : &said->second);
      if (!looked) return looked;
    }
    return {};
  }

  Result<void> look_at(const std::string& sha256, const storage::SizesSaid* said) {
    const auto opened = [](std::uint64_t, std::int64_t) -> Result<void> { return {}; };
    const auto take = [this](std::string_view piece) -> Result<void> {
      progress_.bytes_done += piece.size();
      show_(progress_);
      return {};
    };
    auto read = read_blob(options_.uploads, sha256, opened, take);
    if (!read) return std::unexpected(std::move(read.error()));
    ++progress_.files_done;
    ++report_.files_checked;
    report_.bytes_checked += read->bytes;
    show_(progress_);
    const bool is_cut = !read->fault || read->fault->fault == BlobFault::damaged;
    if (is_cut && said != nullptr && (said->smallest != read->bytes || said->largest != read->bytes)) {
      const std::uint64_t wanted = said->smallest != read->bytes ? said->smallest : said->largest;
      read->fault =
          FaultyBlob{.sha256 = sha256,
                     .fault = BlobFault::wrong_size,
                     .detail = "has " + std::to_string(read->bytes) + " bytes instead of " + std::to_string(wanted)};
    }
    if (read->fault) suspects_.push_back(std::move(*read->fault));
    return {};
  }

  // Against the rows of now: whose row is gone is no fault, and what has one is in use.
  Result<void> look_again() {
    if (suspects_.empty() && unused_.empty()) return {};
    auto rows = Snapshot::take(options_.database_url, options_.scratch / "rows-again.sqlite", clock_);
    if (!rows) return std::unexpected(std::move(rows.error()));
    for (unsigned shard = 0; shard < kShards; ++shard) {
      const std::string name = shard_name(shard);
      const auto digests = (*rows)->digests(name);
      if (!digests) return std::unexpected(digests.error());
      for (FaultyBlob& suspect : suspects_) {
        if (!suspect.sha256.starts_with(name) || !digests->contains(suspect.sha256)) continue;
        if (auto added = add_fault(**rows, std::move(suspect)); !added) return added;
      }
      for (const Unused& file : unused_) {
        if (file.sha256.starts_with(name) && !digests->contains(file.sha256)) add_unused(file);
      }
    }
    return {};
  }

  Result<void> add_fault(Snapshot& rows, FaultyBlob fault) {
    std::error_code error;
    // Deleted and uploaded again while we looked: the bytes are there by now.
    if (fault.fault == BlobFault::missing && fs::exists(path_of(options_.uploads, fault.sha256), error)) return {};
    if (++report_.faults > kFaultsNamedMax) return {};
    auto names = rows.names_of(fault.sha256);
    if (!names) return std::unexpected(std::move(names.error()));
    fault.named_by = std::move(*names);
    report_.faulty.push_back(std::move(fault));
    return {};
  }

  void add_unused(const Unused& file) {
    struct stat status{};
    if (::lstat(path_of(options_.uploads, file.sha256).c_str(), &status) != 0) return;  // It has gone meanwhile.
    const auto age = began_ - std::chrono::system_clock::from_time_t(status.st_mtime);
    if (options_.has_gateway && age < kPerhapsOnItsWay) return;
    ++report_.unused_files;
    report_.unused_bytes += file.bytes;
    if (report_.unused.size() < kFaultsNamedMax) report_.unused.push_back(file.sha256);
  }

  void count_set_aside() {
    std::error_code error;
    for (fs::directory_iterator entry(options_.uploads / "lost", error), end; !error && entry != end;
         entry.increment(error)) {
      std::error_code unknown;
      const std::uintmax_t bytes = entry->file_size(unknown);
      ++report_.set_aside_files;
      if (!unknown) report_.set_aside_bytes += bytes;
    }
  }

  // What is not called by a digest of this shard is somebody else's.
  static std::vector<Unused> files_in(const fs::path& folder, const std::string& shard) {
    std::vector<Unused> files;
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
      const std::string name = entry->path().filename().string();
      if (!storage::is_sha256(name) || !name.starts_with(shard)) continue;
      std::error_code unknown;
      const std::uintmax_t bytes = entry->file_size(unknown);
      files.push_back({.sha256 = name, .bytes = unknown ? 0 : bytes});
    }
    return files;
  }

  const VerifyOptions& options_;
  const Clock& clock_;
  const ShowKept& show_;
  WallTime began_;
  KeptProgress progress_;
  StorageReport report_;
  std::vector<FaultyBlob> suspects_;
  std::vector<Unused> unused_;
};

FaultyBlob faulty(const std::string& sha256, BlobFault fault, std::string detail) {
  return {.sha256 = sha256, .fault = fault, .detail = std::move(detail)};
}

std::string system_says(int error_number) { return std::generic_category().message(error_number); }

}  // namespace

std::string_view fault_name(BlobFault fault) {
  constexpr std::array<std::string_view, 4> kNames = {"missing", "unreadable", "wrong_size", "damaged"};
  return kNames[static_cast<std::size_t>(fault)];
}

std::string shard_name(unsigned shard) {
  constexpr std::string_view kHex = "0123456789abcdef";
  return {kHex[shard >> 4U & 0xFU], kHex[shard & 0xFU]};
}

Result<BlobRead> read_blob(const fs::path& uploads, const std::string& sha256, const OpenedBlob& opened,
                           const TakePiece& take) {
  BlobRead read;
  if (!storage::is_sha256(sha256)) {
    read.fault = faulty(sha256, BlobFault::missing, "is no digest");
    return read;
  }
  const storage::OwnedFile file(
      ::open(path_of(uploads, sha256).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status{};
  if (!file.is_open() || ::fstat(file.get(), &status) != 0) {
    const BlobFault fault = errno == ENOENT || errno == ENOTDIR ? BlobFault::missing : BlobFault::unreadable;
    read.fault = faulty(sha256, fault, fault == BlobFault::missing ? "is not on the disk" : system_says(errno));
    return read;
  }
  if (!S_ISREG(status.st_mode)) {
    read.fault = faulty(sha256, BlobFault::unreadable, "is no file");
    return read;
  }
  const auto size_bytes = static_cast<std::uint64_t>(status.st_size);
  if (auto told = opened(size_bytes, status.st_mtime); !told) return std::unexpected(std::move(told.error()));
  models::Sha256 digest;
  const auto buffer = std::make_unique<std::array<char, kPieceBytes>>();
  while (read.bytes < size_bytes) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(kPieceBytes, size_bytes - read.bytes));
    const ssize_t got = ::read(file.get(), buffer->data(), wanted);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      read.fault = faulty(sha256, BlobFault::unreadable, system_says(errno));
      return read;
    }
    if (got == 0) break;
    const std::string_view piece(buffer->data(), static_cast<std::size_t>(got));
    digest.add(piece);
    read.bytes += piece.size();
    if (auto taken = take(piece); !taken) return std::unexpected(std::move(taken.error()));
  }
  if (digest.finish() != sha256)
    read.fault = faulty(sha256, BlobFault::damaged, "has other bytes than its digest says");
  return read;
}

Result<StorageReport> verify_storage(const VerifyOptions& options, const Clock& clock, const ShowKept& show) {
  return Verification(options, clock, show).run();
}

}  // namespace gbgreg::services
