#include "zip_directory.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace gbgreg::jail {
namespace {

using Bytes = std::span<const unsigned char>;

constexpr std::uint32_t kLocalHeader = 0x04034b50, kCentralHeader = 0x02014b50, kEnd = 0x06054b50;
constexpr std::uint32_t kEnd64 = 0x06064b50, kLocator64 = 0x07064b50, kDescriptor = 0x08074b50;
constexpr std::size_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kEnd64Bytes = 56, kLocator64Bytes = 20;
constexpr std::size_t kCommentBytesMax = 0xffff;
constexpr std::uint16_t kZip64Field = 0x0001;
constexpr std::uint16_t kStored = 0, kAesMethod = 99;
constexpr std::uint16_t kIsEncrypted = 1U << 0, kHasDescriptor = 1U << 3, kIsStronglyEncrypted = 1U << 6,
                        kHasMaskedHeaders = 1U << 13;
constexpr std::uint32_t kIn64 = 0xffffffff;  // "Look into the ZIP64 field".
constexpr std::uint16_t kIn64Short = 0xffff;

// Reads little-endian numbers; whoever asks has made sure that they are there.
std::uint16_t u16(Bytes bytes, std::size_t at) { return static_cast<std::uint16_t>(bytes[at] | (bytes[at + 1] << 8)); }
std::uint32_t u32(Bytes bytes, std::size_t at) {
  return static_cast<std::uint32_t>(u16(bytes, at)) | (static_cast<std::uint32_t>(u16(bytes, at + 2)) << 16);
}
std::uint64_t u64(Bytes bytes, std::size_t at) {
  return static_cast<std::uint64_t>(u32(bytes, at)) | (static_cast<std::uint64_t>(u32(bytes, at + 4)) << 32);
}

// `size` bytes from `at` on, if they are there.
std::optional<Bytes> part(Bytes file, std::uint64_t at, std::uint64_t size) {
  if (at > file.size() || size > file.size() - at) return std::nullopt;
  return file.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(size));
}

struct Directory {
  std::uint64_t entries = 0;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::uint64_t end = 0;  // Where what follows the directory begins.
};

struct Entry {
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::uint32_t crc = 0;
  std::uint64_t compressed = 0;
  std::uint64_t size = 0;
  std::uint64_t offset = 0;  // Of its local header.
  Bytes name = {};
};

struct Range {
  std::uint64_t begin, end;
  std::uint32_t crc;  // Of the contents.
};

// The last record of the file, whose comment must end where the file does. Two that do could each be believed.
ZipVerdict find_end(Bytes file, std::size_t& at) {
  if (file.size() < kEndBytes) return ZipVerdict::damaged;
  const std::size_t last = file.size() - kEndBytes;
  const std::size_t first = last > kCommentBytesMax ? last - kCommentBytesMax : 0;
  bool is_found = false;
  for (std::size_t i = last + 1; i-- > first;) {
    if (u32(file, i) != kEnd || u16(file, i + 20) != last - i) continue;
    if (is_found) return ZipVerdict::lies;
    is_found = true;
    at = i;
  }
  return is_found ? ZipVerdict::good : ZipVerdict::damaged;
}

// What a 32-bit field and the 64-bit one that may stand for it say together.
bool agree(std::uint64_t narrow, std::uint64_t none, std::uint64_t wide) { return narrow == none || narrow == wide; }

ZipVerdict read_end64(Bytes file, std::size_t end_at, Directory& directory) {
  const std::size_t locator_at = end_at - kLocator64Bytes;
  const std::uint64_t at = u64(file, locator_at + 8);
  if (u32(file, locator_at + 4) != 0 || u32(file, locator_at + 16) != 1) return ZipVerdict::lies;
  const auto record = part(file, at, kEnd64Bytes);
  if (!record || u32(*record, 0) != kEnd64) return ZipVerdict::damaged;
  // Its own size counts from behind the field; it reaches exactly to the locator.
  if (u64(*record, 4) != locator_at - at - 12) return ZipVerdict::lies;
  if (u32(*record, 16) != 0 || u32(*record, 20) != 0 || u64(*record, 24) != u64(*record, 32)) return ZipVerdict::lies;
  const bool do_agree = agree(directory.entries, kIn64Short, u64(*record, 32)) &&
                        agree(directory.size, kIn64, u64(*record, 40)) &&
                        agree(directory.offset, kIn64, u64(*record, 48));
  if (!do_agree) return ZipVerdict::lies;
  directory = {.entries = u64(*record, 32), .offset = u64(*record, 48), .size = u64(*record, 40), .end = at};
  return ZipVerdict::good;
}

ZipVerdict find_directory(Bytes file, Directory& directory) {
  std::size_t at = 0;
  if (const auto found = find_end(file, at); found != ZipVerdict::good) return found;
  if (u16(file, at + 4) != 0 || u16(file, at + 6) != 0) return ZipVerdict::lies;  // Of several disks.
  if (u16(file, at + 8) != u16(file, at + 10)) return ZipVerdict::lies;
  directory = {.entries = u16(file, at + 10), .offset = u32(file, at + 16), .size = u32(file, at + 12), .end = at};
  if (at >= kLocator64Bytes && u32(file, at - kLocator64Bytes) == kLocator64) {
    if (const auto read = read_end64(file, at, directory); read != ZipVerdict::good) return read;
  }
  if (!part(file, directory.offset, directory.size)) return ZipVerdict::damaged;
  // Nothing lies between the directory and its end that one reader sees and another does not.
  return directory.offset + directory.size == directory.end ? ZipVerdict::good : ZipVerdict::lies;
}

// The 64-bit values of those fields that say kIn64, in the order of the standard. There is at most one such field.
ZipVerdict read_zip64(Bytes extra, std::span<std::uint64_t*> wanted) {
  bool is_read = false;
  while (!extra.empty()) {
    if (extra.size() < 4 || extra.size() - 4 < u16(extra, 2)) return ZipVerdict::damaged;
    Bytes field = extra.subspan(4, u16(extra, 2));
    const bool is_zip64 = u16(extra, 0) == kZip64Field;
    extra = extra.subspan(4 + field.size());
    if (!is_zip64) continue;
    if (is_read) return ZipVerdict::lies;
    is_read = true;
    for (std::uint64_t* value : wanted) {
      if (*value != kIn64) continue;
      if (field.size() < 8) return ZipVerdict::damaged;
      *value = u64(field, 0);
      field = field.subspan(8);
    }
  }
  return ZipVerdict::good;
}

// Reads the entry at `at` of the directory and moves `at` behind it.
ZipVerdict read_central(Bytes directory, std::size_t& at, Entry& entry) {
  const auto head = part(directory, at, kCentralBytes);
  if (!head || u32(*head, 0) != kCentralHeader) return ZipVerdict::damaged;
  const std::size_t name = u16(*head, 28), extra = u16(*head, 30), comment = u16(*head, 32);
  const auto rest = part(directory, at + kCentralBytes, name + extra + comment);
  if (!rest) return ZipVerdict::damaged;
  entry = {.flags = u16(*head, 8),
           .method = u16(*head, 10),
           .crc = u32(*head, 16),
           .compressed = u32(*head, 20),
           .size = u32(*head, 24),
           .offset = u32(*head, 42),
           .name = rest->subspan(0, name)};
  if (u16(*head, 34) != 0 && u16(*head, 34) != kIn64Short) return ZipVerdict::lies;
  // A name that ends at its NUL for one reader and goes on for another.
  if (std::ranges::find(entry.name, 0) != entry.name.end()) return ZipVerdict::lies;
  std::uint64_t* wide[] = {&entry.size, &entry.compressed, &entry.offset};
  at += kCentralBytes + name + extra + comment;
  return read_zip64(rest->subspan(name, extra), wide);
}

bool is_encrypted(const Entry& entry) {
  return (entry.flags & (kIsEncrypted | kIsStronglyEncrypted | kHasMaskedHeaders)) != 0 || entry.method == kAesMethod;
}

// How many bytes the descriptor at `at` has, when it says what the directory says: with or without its signature, and
// with sizes of 32 or 64 bits. Nothing when it says otherwise.
std::optional<std::uint64_t> descriptor_bytes(Bytes file, std::uint64_t at, const Entry& entry) {
  for (const std::size_t signature : {4U, 0U}) {
    for (const std::size_t width : {4U, 8U}) {
      const auto bytes = part(file, at, signature + 4 + 2 * width);
      if (!bytes || (signature != 0 && u32(*bytes, 0) != kDescriptor)) continue;
      const auto number = [&](std::size_t from) { return width == 4 ? u32(*bytes, from) : u64(*bytes, from); };
      const bool does_agree = u32(*bytes, signature) == entry.crc && number(signature + 4) == entry.compressed &&
                              number(signature + 4 + width) == entry.size;
      if (does_agree) return bytes->size();
    }
  }
  return std::nullopt;
}

// Compares the local header with what the directory says, and tells what the whole of the entry takes.
ZipVerdict check_local(Bytes file, const Entry& entry, Range& range) {
  const auto head = part(file, entry.offset, kLocalBytes);
  if (!head || u32(*head, 0) != kLocalHeader) return ZipVerdict::lies;
  const std::size_t name = u16(*head, 26), extra = u16(*head, 28);
  const auto rest = part(file, entry.offset + kLocalBytes, name + extra);
  if (!rest) return ZipVerdict::lies;
  Entry local{.flags = u16(*head, 6),
              .method = u16(*head, 8),
              .crc = u32(*head, 14),
              .compressed = u32(*head, 18),
              .size = u32(*head, 22)};
  std::uint64_t* wide[] = {&local.size, &local.compressed};
  if (const auto read = read_zip64(rest->subspan(name, extra), wide); read != ZipVerdict::good) return read;
  if (is_encrypted(local)) return ZipVerdict::encrypted;
  if (local.method != entry.method || local.flags != entry.flags) return ZipVerdict::lies;
  if (!std::ranges::equal(rest->subspan(0, name), entry.name)) return ZipVerdict::lies;

  // With a descriptor to come, a header may leave any of the three open.
  const bool has_descriptor = (entry.flags & kHasDescriptor) != 0;
  const auto agrees = [&](std::uint64_t here, std::uint64_t there) {
    return here == there || (has_descriptor && here == 0);
  };
  const bool do_agree =
      agrees(local.crc, entry.crc) && agrees(local.compressed, entry.compressed) && agrees(local.size, entry.size);
  if (!do_agree) return ZipVerdict::lies;

  range = {.begin = entry.offset, .end = entry.offset + kLocalBytes + name + extra, .crc = entry.crc};
  if (!part(file, range.end, entry.compressed)) return ZipVerdict::lies;
  range.end += entry.compressed;
  if (!has_descriptor) return ZipVerdict::good;
  const auto descriptor = descriptor_bytes(file, range.end, entry);
  if (!descriptor) return ZipVerdict::lies;
  range.end += *descriptor;
  return ZipVerdict::good;
}

ZipVerdict check_ranges(std::vector<Range>& ranges, std::uint64_t directory_at) {
  std::ranges::sort(ranges, {}, &Range::begin);
  std::uint64_t end = 0;
  for (const Range& range : ranges) {
    if (range.begin < end) return ZipVerdict::overlaps;
    end = range.end;
  }
  return end <= directory_at ? ZipVerdict::good : ZipVerdict::overlaps;
}

}  // namespace

ZipVerdict check_zip(Bytes file, const ZipBounds& bounds, ZipChecksums& checksums) {
  Directory directory;
  if (const auto found = find_directory(file, directory); found != ZipVerdict::good) return found;
  if (directory.entries > bounds.entries_max) return ZipVerdict::too_many_entries;
  if (directory.entries > directory.size / kCentralBytes) return ZipVerdict::lies;
  const Bytes central =
      file.subspan(static_cast<std::size_t>(directory.offset), static_cast<std::size_t>(directory.size));

  std::vector<Range> ranges;
  ranges.reserve(static_cast<std::size_t>(directory.entries));
  std::uint64_t bytes = 0;
  std::size_t at = 0;
  for (std::uint64_t i = 0; i < directory.entries; ++i) {
    Entry entry;
    if (const auto read = read_central(central, at, entry); read != ZipVerdict::good) return read;
    if (is_encrypted(entry)) return ZipVerdict::encrypted;
    if (entry.method == kStored && entry.compressed != entry.size) return ZipVerdict::lies;
    if (entry.size > bounds.bytes_max - bytes) return ZipVerdict::too_large;
    bytes += entry.size;
    Range range{};
    if (const auto checked = check_local(file, entry, range); checked != ZipVerdict::good) return checked;
    ranges.push_back(range);
  }
  if (at != central.size()) return ZipVerdict::lies;  // More in the directory than it counts.
  if (bytes > bounds.ratio_from_bytes && bytes / bounds.ratio_max > file.size()) return ZipVerdict::bomb;
  if (const auto checked = check_ranges(ranges, directory.offset); checked != ZipVerdict::good) return checked;
  checksums.reserve(ranges.size());
  for (const Range& range : ranges) checksums.push_back(range.crc);
  return ZipVerdict::good;
}

std::string_view zip_verdict_code(ZipVerdict verdict) {
  switch (verdict) {
    case ZipVerdict::good:
      return "";
    case ZipVerdict::damaged:
      return "archive_damaged";
    case ZipVerdict::lies:
      return "archive_lies";
    case ZipVerdict::overlaps:
      return "archive_overlaps";
    case ZipVerdict::encrypted:
      return "archive_encrypted";
    case ZipVerdict::too_many_entries:
      return "archive_too_many_entries";
    case ZipVerdict::too_large:
      return "archive_too_large";
    case ZipVerdict::bomb:
      return "archive_bomb";
  }
  return "archive_damaged";
}

}  // namespace gbgreg::jail
