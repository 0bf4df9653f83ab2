// What gbgreg-jail-unpack says of an archive, into a project: its messages are those that jail/unpack.cc lists. The
// jail decides nothing; what it says is bounded and checked here, because a hostile archive may have taken it over.
//
// Blocking as ProjectBuilder is. One archive, one thread at a time.
#pragma once

#include <cstdint>
#include <string>

#include "core/core.h"
#include "intake/jail_messages.h"
#include "services/project_builder.h"

namespace gbgreg::services {

class ArchiveReader {
 public:
  ArchiveReader(ProjectBuilder& project, const intake::ArchiveLimits& limits, std::uint64_t archive_bytes)
      : project_(project), limits_(limits), archive_bytes_(archive_bytes) {}

  // Errors: refused: the archive as a whole (archive_damaged, archive_lies, archive_overlaps, archive_encrypted,
  // archive_bomb, archive_unreadable, archive_too_large, archive_too_many_entries), or jail_garbled for what no
  // unpacker of ours says; unavailable (the disk).
  Result<void> take(const intake::JailMessage& message);

  // To be called when the jail has ended well. Errors: refused (jail_garbled: it has not said that it was at the end).
  Result<void> finish() const;

 private:
  enum class State : std::uint8_t { before_format, between_entries, in_file, in_other, at_end };

  Result<void> take_format(std::string_view format);
  Result<void> begin_entry(std::string_view head);
  Result<void> take_data(std::string_view bytes);
  Result<void> end_entry(bool is_whole);
  std::unexpected<Error> refuse(std::string_view code) const;

  ProjectBuilder& project_;
  const intake::ArchiveLimits limits_;
  std::uint64_t archive_bytes_;
  State state_ = State::before_format;
  intake::OtherBytes other_bytes_ = intake::OtherBytes::are_faults;
};

}  // namespace gbgreg::services
