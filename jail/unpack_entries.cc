#include "unpack_entries.h"

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "intake/jail_messages.h"
#include "say.h"

namespace gbgreg::jail {
namespace {

constexpr std::size_t kReadBytes = 256 * 1024;
constexpr std::size_t kNameBytesMax = 4'096;
constexpr std::uint64_t kUnknownSize = ~std::uint64_t{0};
// Entries of one ZIP that do not decompress, behind which it is opened again.
constexpr int kReopenedMax = 100;

struct CloseArchive {
  void operator()(archive* opened) const { ::archive_read_free(opened); }
};
using Archive = std::unique_ptr<archive, CloseArchive>;

// A gzip stream, for libarchive: zlib's reader compares checksum and length, which libarchive's own does not.
class GzipInput {
 public:
  GzipInput() : file_(::gzdopen(STDIN_FILENO, "r")) {}
  ~GzipInput() {
    if (file_ != nullptr) ::gzclose_r(file_);
  }
  GzipInput(const GzipInput&) = delete;
  GzipInput& operator=(const GzipInput&) = delete;

  bool open(archive* a) {
    return file_ != nullptr && ::archive_read_open(a, this, nullptr, &GzipInput::read, nullptr) == ARCHIVE_OK;
  }

 private:
  static la_ssize_t read(archive* a, void* self, const void** bytes) {
    auto* const input = static_cast<GzipInput*>(self);
    *bytes = input->buffer_.data();
    const int got = ::gzread(input->file_, input->buffer_.data(), static_cast<unsigned>(input->buffer_.size()));
    int error = Z_OK;
    ::gzerror(input->file_, &error);
    if (got >= 0 && error == Z_OK) return got;
    ::archive_set_error(a, EILSEQ, "damaged gzip stream");
    return ARCHIVE_FATAL;
  }

  gzFile file_;
  std::string buffer_ = std::string(kReadBytes, '\0');
};

Archive open_archive(GzipInput* gzip) {
  Archive opened(::archive_read_new());
  if (!opened) return nullptr;
  archive* const a = opened.get();
  ::archive_read_support_format_tar(a);
  if (gzip != nullptr) return gzip->open(a) ? std::move(opened) : nullptr;
  // Only by its directory: the reader that goes from local header to local header sees other files where there are any.
  ::archive_read_support_format_zip_seekable(a);
  ::archive_read_support_format_7zip(a);
  ::archive_read_support_filter_zstd(a);
  ::archive_read_support_filter_xz(a);
  ::archive_read_support_filter_bzip2(a);
  if (::archive_read_open_fd(a, STDIN_FILENO, kReadBytes) != ARCHIVE_OK) return nullptr;
  return opened;
}

// "zip", "tar" or "7z", or nothing for what only looks like one: a filter around anything but a tar.
std::string_view format_of(archive* a) {
  const int base = ::archive_format(a) & ARCHIVE_FORMAT_BASE_MASK;
  const bool is_filtered = ::archive_filter_code(a, 0) != ARCHIVE_FILTER_NONE;
  if (base == ARCHIVE_FORMAT_TAR) return "tar";
  if (is_filtered) return {};
  if (base == ARCHIVE_FORMAT_ZIP) return "zip";
  if (base == ARCHIVE_FORMAT_7ZIP) return "7z";
  return {};
}

char kind_of(archive_entry* entry) {
  if (::archive_entry_hardlink(entry) != nullptr || ::archive_entry_symlink(entry) != nullptr) return 'l';
  switch (::archive_entry_filetype(entry)) {
    case AE_IFREG:
      return 'f';
    case AE_IFDIR:
      return 'd';
    case AE_IFLNK:
      return 'l';
    default:
      return 's';
  }
}

std::string_view name_of(archive_entry* entry) {
  const char* name = ::archive_entry_pathname(entry);
  return name == nullptr ? std::string_view{} : std::string_view(name).substr(0, kNameBytesMax);
}

std::uint64_t size_of(archive_entry* entry) {
  if (::archive_entry_size_is_set(entry) == 0 || ::archive_entry_size(entry) < 0) return kUnknownSize;
  return static_cast<std::uint64_t>(::archive_entry_size(entry));
}

// Holes of sparse files are zeros.
void say_zeros(std::uint64_t size) {
  static const std::string zeros(intake::kJailMessageBytesMax, '\0');
  for (; size > 0; size -= std::min<std::uint64_t>(size, zeros.size())) {
    say('D', std::string_view(zeros).substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(size, zeros.size()))));
  }
}

// Not a refusal of the whole archive: libarchive has given it up in the middle of an entry.
constexpr std::string_view kGivenUp = "given_up";

// What an archive says of an entry's contents before they are read.
struct Told {
  std::uint64_t size = kUnknownSize;
  std::optional<std::uint32_t> checksum = {};  // Of a ZIP's.
};

// Reads the contents of entries. One that is shorter or longer than it says is damaged if its checksum says so, too,
// and else a lie, which only what is behind the end of the longer one tells: so that is read, and thrown away.
class ContentReader {
 public:
  explicit ContentReader(std::uint64_t thrown_away_max) : thrown_away_max_(thrown_away_max) {}

  // Says the bytes of an entry. Gives back a code when the whole archive is to be refused, or kGivenUp.
  std::string_view say_content(archive* a, const Told& told) {
    std::uint64_t bytes = 0;
    auto sum = static_cast<std::uint32_t>(::crc32(0, nullptr, 0));
    int status = ARCHIVE_OK;
    while (status == ARCHIVE_OK) {
      const void* block = nullptr;
      std::size_t size = 0;
      la_int64_t offset = static_cast<la_int64_t>(bytes);
      status = ::archive_read_data_block(a, &block, &size, &offset);
      if (status == ARCHIVE_FATAL || status == ARCHIVE_RETRY) return kGivenUp;
      if (offset < 0 || static_cast<std::uint64_t>(offset) < bytes) return "archive_lies";
      const std::uint64_t hole = static_cast<std::uint64_t>(offset) - bytes;
      const std::uint64_t room = told.size - std::min(told.size, bytes);
      const bool is_too_long = hole > room || size > room - hole;
      if (is_too_long && (!told.checksum || hole > 0)) return "archive_lies";
      const std::string_view piece(static_cast<const char*>(block), size);
      if (is_too_long) {
        if (size > thrown_away_max_ - thrown_away_) return "archive_lies";
        thrown_away_ += size;
      } else {
        say_zeros(hole);
        if (size > 0) say_all('D', piece);
      }
      // Without any bytes there is none to begin with, which zlib takes for a wish to start anew.
      if (told.checksum && size > 0) sum = static_cast<std::uint32_t>(::crc32_z(sum, as_bytes(piece), size));
      bytes += hole + size;
    }
    // A ZIP has no holes, and so the sum is that of all bytes.
    const bool has_its_size = told.size == kUnknownSize || bytes == told.size;
    const bool is_damaged = told.checksum && sum != *told.checksum;
    if (!has_its_size && !is_damaged) return "archive_lies";
    // A warning is about this entry only: a bad checksum, a method that nobody knows.
    say(has_its_size && status == ARCHIVE_EOF ? 'F' : 'R', {});
    return {};
  }

 private:
  static const Bytef* as_bytes(std::string_view piece) { return reinterpret_cast<const Bytef*>(piece.data()); }

  const std::uint64_t thrown_away_max_;
  std::uint64_t thrown_away_ = 0;
};

// A header that cannot be believed. libarchive would go on and look for the next one (RETRY), and so might find what is
// the content of a file.
bool is_broken(int status) { return status == ARCHIVE_RETRY || status < ARCHIVE_WARN; }

// What is going on in an archive, entry after entry.
class Unpacking {
 public:
  // `checksums` are those of a ZIP, and outlive it.
  Unpacking(const ZipBounds& bounds, Archive opened, const ZipChecksums& checksums)
      : bounds_(bounds), opened_(std::move(opened)), checksums_(checksums), contents_(bounds.bytes_max) {}

  // Of a ZIP, whose directory holds together, one entry that does not decompress costs nothing but itself. Elsewhere
  // nobody can tell where the next one begins.
  void say_all_entries() {
    int reopened = 0;
    while (true) {
      std::string_view refusal;
      while (say_next(refusal)) {
      }
      if (refusal.empty()) return say('Z', {});
      if (refusal != kGivenUp) return say('X', refusal);
      const bool may_go_on = format_of(opened_.get()) == "zip" && ++reopened <= kReopenedMax;
      if (!may_go_on || !open_again()) return say('X', "archive_damaged");
      say('R', {});
    }
  }

 private:
  // False at the end; with a code in `refusal` when the whole archive is to be refused, or kGivenUp.
  bool say_next(std::string_view& refusal) {
    archive* const a = opened_.get();
    archive_entry* entry = nullptr;
    const int status = ::archive_read_next_header(a, &entry);
    if (status == ARCHIVE_EOF) return false;
    const bool is_encrypted = ::archive_read_has_encrypted_entries(a) > 0;
    if (entries_ == 0) {
      const std::string_view format = format_of(a);
      if (format.empty() || is_broken(status)) {
        refusal = is_encrypted ? "archive_encrypted" : "archive_unreadable";
        return false;
      }
      say('A', format);
    }
    if (is_broken(status))
      refusal = is_encrypted ? "archive_encrypted" : "archive_damaged";
    else if (::archive_entry_is_encrypted(entry) != 0)
      refusal = "archive_encrypted";
    else if (++entries_ > bounds_.entries_max)
      refusal = "archive_too_many_entries";
    else
      refusal = say_entry(entry);
    return refusal.empty();
  }

  std::string_view say_entry(archive_entry* entry) {
    const char kind = kind_of(entry);
    Told told{.size = size_of(entry)};
    if (entries_ <= checksums_.size()) told.checksum = checksums_[static_cast<std::size_t>(entries_ - 1)];
    std::string head(1, kind);
    append_u64(head, told.size);
    head.append(name_of(entry));
    say('E', head);
    if (kind == 'f') return contents_.say_content(opened_.get(), told);
    say('F', {});
    return {};
  }

  // Behind the entries that it has given already.
  bool open_again() {
    if (::lseek(STDIN_FILENO, 0, SEEK_SET) != 0) return false;
    opened_ = open_archive(nullptr);
    archive_entry* entry = nullptr;
    for (std::uint64_t i = 0; opened_ && i < entries_; ++i) {
      if (is_broken(::archive_read_next_header(opened_.get(), &entry))) return false;
    }
    return opened_ != nullptr;
  }

  const ZipBounds& bounds_;
  Archive opened_;
  const ZipChecksums& checksums_;
  ContentReader contents_;
  std::uint64_t entries_ = 0;
};

bool begins_with(std::span<const std::uint8_t> file, std::initializer_list<unsigned char> front) {
  return file.size() >= front.size() && std::equal(front.begin(), front.end(), file.begin());
}

}  // namespace

void unpack(const ZipBounds& bounds, std::span<const std::uint8_t> file) {
  ZipChecksums checksums;
  if (begins_with(file, {'P', 'K'}) && file.size() >= 4) {
    const ZipVerdict verdict = check_zip(file, bounds, checksums);
    if (verdict != ZipVerdict::good) return say('X', zip_verdict_code(verdict));
    // One without entries begins with its end, and is no archive to libarchive.
    if (file[2] == 5) return say('Z', {});
  }
  std::unique_ptr<GzipInput> gzip;
  if (begins_with(file, {0x1f, 0x8b})) gzip = std::make_unique<GzipInput>();
  Archive opened = open_archive(gzip.get());
  if (!opened) return say('X', "archive_unreadable");
  Unpacking(bounds, std::move(opened), checksums).say_all_entries();
}

}  // namespace gbgreg::jail
