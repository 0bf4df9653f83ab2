// Everything that uploads are, in one file, and back: the database and the bytes that its rows name, as a plain POSIX
// tar that any tar lists and unpacks.
//
//   uploads/ab/ab01…   the bytes, each once, by their SHA-256
//   gbgreg.sqlite      the rows
//   manifest.json      how many of them there are, and the database's digest: what is not whole has none at its end
//
// A gateway may run meanwhile and take and delete what it likes. The rows are taken first, as they are at one moment
// (storage/snapshot.h), then the bytes that they name, which never change. Bytes that have vanished by the time that
// they are read belonged to an upload that was deleted, or are a fault, and which of the two only rows of a later
// moment tell: so those are taken, and what they name beyond the first is added. A digest that rows of both moments
// name and that is not there is a fault; else it goes on until all that the last rows name is in, and it is those rows
// that the backup has. So it is as old as its last rows, and every upload that was acknowledged before they were taken
// is in it. Bytes of uploads that were deleted in between are in it too, and restoring leaves them out. (Hard links
// would hold the bytes as well, but not on every file system, and they would be left lying about by whoever is killed.)
//
// Every digest is checked on the way in and on the way back. Blocking, for the command line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/clock.h"
#include "core/error.h"
#include "services/verify_storage.h"
#include "storage/disk.h"

namespace gbgreg::services {

inline constexpr int kRowsTakenMax = 16;  // A gateway that deletes faster than that is asked to wait.
inline constexpr std::size_t kManifestBytesMax = 64 * 1024;

struct BackupOptions {
  std::string database_url;
  std::filesystem::path uploads;
  std::filesystem::path file;  // The backup. One that is there is replaced when the new one is whole.
  std::string version;         // Of this gbgreg.
};

struct BackupReport {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;         // Of the uploads.
  std::uint64_t backup_bytes = 0;  // Of the file.
  int schema_version = 0;
};

// Writes beside the file, under its name and ".partial", and renames it when it is on the disk. A ".partial" that
// somebody left is removed. Errors: those of storage::Snapshot::take; internal (bytes_damaged, naming the digest:
// verify_storage() tells more); conflict (backup_running: another one writes to this file); unavailable (storage_full,
// storage_failed, too_busy). After one there is no new file.
Result<BackupReport> back_up(const BackupOptions& options, storage::Disk& disk, const Clock& clock,
                             const ShowKept& show);

enum class Present : std::uint8_t { refuse, move_aside };

struct RestoreOptions {
  std::filesystem::path file;
  std::filesystem::path data;  // The data folder, which the caller has locked.
  std::string database_url;    // Of the database that gets the rows. One that is no file has to be empty.
  std::filesystem::path uploads;
  Present present = Present::refuse;
};

struct RestoreReport {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::uint64_t unused_files = 0;          // Of the backup, that no row of it names: they were left out.
  std::string version;                     // Of the gbgreg that made the backup …
  std::string created_at;                  // … and when.
  std::filesystem::path moved_aside = {};  // Where what was there is now, if anything was.
};

// Unpacks into a folder of its own inside the data folder, checks all of it, and only then puts it in its place by
// renames, the database last: a file of SQLite's by another rename, PostgreSQL's rows by one transaction. Errors:
// malformed (backup_damaged, which says what is wrong; database_corrupt); conflict (data_present; schema_newer: the
// backup is of a newer gbgreg); not_found (backup_missing); unavailable (storage_full, storage_failed). After an error
// the data is as it was.
Result<RestoreReport> restore(const RestoreOptions& options, storage::Disk& disk, const Clock& clock,
                              const ShowKept& show);

}  // namespace gbgreg::services
