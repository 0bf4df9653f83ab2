// Makes a project of files that come one after the other: decides which of their names are good, writes the bytes of
// those that are, looks at what each is, and counts.
//
// What is wrong with one file is noted, and the rest goes on; what is wrong with the whole is an Error. Nothing is
// durable or visible before services/projects.h makes it so; a builder that goes away takes its files with it.
//
// Blocking: for a pool. One thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "intake/entry_names.h"
#include "intake/options.h"
#include "storage/storage.h"

namespace gbgreg::services {

// What the names of one project may take in memory: those of the files, of the folders above them, and of what was not
// taken. Ten times what large projects have; an archive of nothing but long names packs well.
inline constexpr std::size_t kNamesBytesMax = 32 * 1024 * 1024;

// A file that was not taken.
struct RejectedEntry {
  std::string path;  // As it came, as valid UTF-8.
  std::string_view code;
  std::string_view message;
};

// What happens to binaries that nobody knows (intake/file_kind.h).
enum class UnknownBinaries : std::uint8_t { are_rejected, are_taken };

class ProjectBuilder {
 public:
  ProjectBuilder(storage::BlobStore& blobs, const Clock& clock, const intake::ArchiveLimits& limits,
                 UnknownBinaries unknown_binaries)
      : blobs_(blobs), clock_(clock), limits_(limits), unknown_binaries_(unknown_binaries) {}

  // The order of a file: begin, any number of writes, end or damage. Errors: refused (archive_too_many_entries,
  // archive_too_large; they name the limit; archive_names_too_long: kNamesBytesMax), unavailable (the disk).
  Result<void> begin_file(std::string_view name, intake::OtherBytes other_bytes);
  Result<void> write(std::string_view bytes);
  Result<void> end_file();
  Result<void> damage_file();

  // What is no file: a folder, which is implied by its files, and a link or another thing, which is never made.
  Result<void> add_folder(std::string_view name, intake::OtherBytes other_bytes);
  Result<void> refuse_link(std::string_view name);
  Result<void> refuse_special(std::string_view name);

  std::uint64_t entries() const { return entries_; }
  // Of all that came, taken or not.
  std::uint64_t bytes_seen() const { return bytes_seen_; }
  std::uint64_t bytes_taken() const { return bytes_taken_; }

  // The results, in the order in which they came.
  std::vector<storage::ProjectFile>& files() { return files_; }
  std::vector<RejectedEntry>& rejected() { return rejected_; }
  const storage::BlobStore::Writers& writers() const { return writers_; }
  // {"C++":12,"Markdown":1}
  std::string languages_json() const;

 private:
  // For each entry, first of all.
  Result<void> count_entry();
  void reject(std::string_view name, const intake::NameFault& fault);

  storage::BlobStore& blobs_;
  const Clock& clock_;
  const intake::ArchiveLimits limits_;
  const UnknownBinaries unknown_binaries_;
  intake::EntryNames names_;
  std::uint64_t entries_ = 0;
  std::uint64_t bytes_seen_ = 0;
  std::uint64_t bytes_taken_ = 0;
  std::size_t rejected_bytes_ = 0;
  std::vector<storage::ProjectFile> files_;
  std::vector<RejectedEntry> rejected_;
  storage::BlobStore::Writers writers_;  // Of files_, in the same order.
  std::map<std::string, std::uint64_t> languages_;

  // The file that is coming; without a writer its bytes are dropped.
  std::unique_ptr<storage::BlobWriter> writer_;
  std::string path_;
  std::string sample_;
};

}  // namespace gbgreg::services
