#include "services/archive_reader.h"

#include <algorithm>

namespace gbgreg::services {
namespace {

struct Refusal {
  std::string_view code;
  std::string_view message;
  std::string_view limit = {};  // The one that it hit.
};

// Why an archive is refused as a whole. All that a jail can say is one of these.
constexpr Refusal kRefusals[] = {
    {"archive_unreadable",
     "This is no archive that can be read. Send a .zip, .tar, .tar.gz, .tgz, .tar.zst or .7z file."},
    {"archive_damaged", "The archive is damaged or incomplete. Make it anew and send it again."},
    {"archive_lies",
     "The archive says different things about the same file in different places. Make it anew with another program."},
    {"archive_overlaps",
     "Files of the archive share the same bytes, as those of a bomb do. Make it anew with another program."},
    {"archive_encrypted", "The archive is encrypted. Send it without a password."},
    {"archive_too_many_entries", "The archive has too many files and folders.", "limits.archive_entries_max"},
    {"archive_too_large", "The files in the archive are too large together.", "limits.archive_bytes_max"},
    {"archive_bomb", "The archive unpacks to far more than it is.", "limits.archive_ratio_max"},
};

std::unexpected<Error> garbled(std::string detail) {
  return fail(Kind::refused, "jail_garbled", "The file could not be read safely, so it was not taken.",
              std::move(detail));
}

std::uint64_t value_of(std::string_view limit, const intake::ArchiveLimits& limits) {
  if (limit == "limits.archive_entries_max") return limits.entries_max;
  if (limit == "limits.archive_bytes_max") return limits.bytes_max;
  return limits.ratio_max;
}

}  // namespace

Result<void> ArchiveReader::take(const intake::JailMessage& message) {
  if (state_ == State::at_end) return garbled("more behind the end");
  switch (message.type) {
    case 'A':
      return take_format(message.payload);
    case 'E':
      return begin_entry(message.payload);
    case 'D':
      return take_data(message.payload);
    case 'F':
      return end_entry(true);
    case 'R':
      return end_entry(false);
    case 'X':
      return refuse(message.payload);
    case 'Z':
      if (state_ != State::between_entries && state_ != State::before_format) return garbled("an end within an entry");
      state_ = State::at_end;
      return {};
    default:
      return garbled("a message of an unknown kind");
  }
}

Result<void> ArchiveReader::finish() const {
  if (state_ != State::at_end) return garbled("no end");
  return {};
}

Result<void> ArchiveReader::take_format(std::string_view format) {
  if (state_ != State::before_format) return garbled("a second format");
  if (format == "zip") other_bytes_ = intake::OtherBytes::are_cp437;
  state_ = State::between_entries;
  return {};
}

Result<void> ArchiveReader::begin_entry(std::string_view head) {
  if (state_ != State::between_entries) return garbled("an entry within an entry");
  if (head.empty()) return garbled("an entry without a head");
  const char kind = head.front();
  head.remove_prefix(1);
  const auto declared = intake::take_u64(head);
  if (!declared) return garbled("an entry without a size");
  state_ = State::in_other;
  switch (kind) {
    case 'f':
      state_ = State::in_file;
      return project_.begin_file(head, other_bytes_);
    case 'd':
      return project_.add_folder(head, other_bytes_);
    case 'l':
      return project_.refuse_link(head);
    case 's':
      return project_.refuse_special(head);
    default:
      return garbled("an entry of an unknown kind");
  }
}

Result<void> ArchiveReader::take_data(std::string_view bytes) {
  if (state_ != State::in_file) return garbled("bytes without a file");
  if (auto written = project_.write(bytes); !written) return written;
  // Counted as it comes, whatever the archive says of itself.
  const std::uint64_t seen = project_.bytes_seen();
  if (seen > limits_.ratio_from_bytes && seen / limits_.ratio_max > archive_bytes_) return refuse("archive_bomb");
  return {};
}

Result<void> ArchiveReader::end_entry(bool is_whole) {
  if (state_ != State::in_file && state_ != State::in_other) return garbled("an end without an entry");
  const bool is_file = state_ == State::in_file;
  state_ = State::between_entries;
  if (!is_file) return {};
  return is_whole ? project_.end_file() : project_.damage_file();
}

std::unexpected<Error> ArchiveReader::refuse(std::string_view code) const {
  const auto known = std::ranges::find(kRefusals, code, &Refusal::code);
  if (known == std::end(kRefusals)) return garbled("an unknown refusal");
  Error error{.kind = Kind::refused, .code = std::string(known->code), .message = std::string(known->message)};
  if (!known->limit.empty()) {
    const std::string value = std::to_string(value_of(known->limit, limits_));
    error.message += " The limit is " + value + " (" + std::string(known->limit) + "): send less, or raise it.";
    error.details_json = R"({"limit":")" + std::string(known->limit) + R"(","limit_value":)" + value + "}";
  }
  return std::unexpected(std::move(error));
}

}  // namespace gbgreg::services
