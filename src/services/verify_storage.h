// Whether the bytes that were kept are still those that came: every blob that a row names is read and hashed again.
//
// It only reads, beside a gateway that runs too, and takes its time. The rows are those of one moment, by a copy of the
// database (storage/snapshot.h). What looks wrong against them is looked at once more against the rows of a later
// moment, so that an upload that was deleted, or committed, meanwhile is no fault. Bytes are moved into their place
// before their row is committed and removed after it: a file that no row names is never a fault, only unused, and the
// next start of a gateway sets it aside (docs/decisions/0005-lost-bytes.md). One that is not old enough to be sure of,
// while a gateway runs, is not even named.
//
// Blocking, for the command line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/error.h"

namespace gbgreg::services {

struct KeptProgress {
  std::uint64_t files_done = 0;
  std::uint64_t files_total = 0;
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;
};
using ShowKept = std::function<void(const KeptProgress&)>;

enum class BlobFault : std::uint8_t { missing, unreadable, wrong_size, damaged };
// "missing", "unreadable", "wrong_size", "damaged".
std::string_view fault_name(BlobFault fault);

struct FaultyBlob {
  std::string sha256;
  BlobFault fault = BlobFault::missing;
  std::string detail = {};                 // A clause: "has 12 bytes instead of 20".
  std::vector<std::string> named_by = {};  // A few of those that have these bytes, for people.
};

// How many faults, and how many unused files, are named; the others are only counted.
inline constexpr std::size_t kFaultsNamedMax = 1'000;

struct StorageReport {
  std::uint64_t files_checked = 0;
  std::uint64_t bytes_checked = 0;
  std::uint64_t faults = 0;
  std::vector<FaultyBlob> faulty = {};
  std::uint64_t unused_files = 0;
  std::uint64_t unused_bytes = 0;
  std::vector<std::string> unused = {};  // Their digests.
  std::uint64_t set_aside_files = 0;     // In the lost folder.
  std::uint64_t set_aside_bytes = 0;
};

struct VerifyOptions {
  std::string database_url;
  std::filesystem::path uploads;
  std::filesystem::path scratch;  // A folder for the copies of the database.
  bool has_gateway = false;       // One runs on them.
};

// Errors: those of storage::Snapshot::take; unavailable (storage_failed).
Result<StorageReport> verify_storage(const VerifyOptions& options, const Clock& clock, const ShowKept& show);

// Reads the file of one blob from end to end. `take` gets every piece of it before it is known whether it is whole.
struct BlobRead {
  std::uint64_t bytes = 0;
  std::optional<FaultyBlob> fault = {};
};
using OpenedBlob = std::function<Result<void>(std::uint64_t size_bytes, std::int64_t changed_at_seconds)>;
using TakePiece = std::function<Result<void>(std::string_view piece)>;
// `opened` is told the size before the first piece, of which no more come than that. Errors: those of the two.
Result<BlobRead> read_blob(const std::filesystem::path& uploads, const std::string& sha256, const OpenedBlob& opened,
                           const TakePiece& take);

// "00" to "ff".
std::string shard_name(unsigned shard);
inline constexpr unsigned kShards = 256;

}  // namespace gbgreg::services
