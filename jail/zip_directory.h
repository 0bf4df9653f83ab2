// Whether a ZIP file says one thing and not two. Each file in it is told of up to four times (the central directory,
// its local header, ZIP64 fields, a data descriptor), and readers differ in which they believe: that is how something
// is smuggled past one of them, and how a small file becomes a huge one by telling of the same bytes again and again.
// So an archive is taken only where all of it agrees, nothing overlaps and the whole is within the bounds.
//
// Pure, over the whole file; linear but for one sort. Nothing is inflated here. Fuzzed (fuzz/zip_directory_fuzz.cc).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace gbgreg::jail {

struct ZipBounds {
  std::uint64_t entries_max = 0;
  std::uint64_t bytes_max = 0;  // Of all files together, as they say of themselves.
  std::uint64_t ratio_max = 0;  // Of what is in it to what it is, once that is more than ratio_from_bytes.
  std::uint64_t ratio_from_bytes = 0;
};

enum class ZipVerdict : std::uint8_t { good, damaged, lies, overlaps, encrypted, too_many_entries, too_large, bomb };

// What a good one says of the contents of its files: their CRC-32, in the order in which they lie in it.
using ZipChecksums = std::vector<std::uint32_t>;

// `checksums` is filled when the verdict is good.
ZipVerdict check_zip(std::span<const unsigned char> file, const ZipBounds& bounds, ZipChecksums& checksums);

// "archive_damaged", "archive_lies" …: the codes that the gateway knows.
std::string_view zip_verdict_code(ZipVerdict verdict);

}  // namespace gbgreg::jail
