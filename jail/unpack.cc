// gbgreg-jail-unpack: tells the gateway what is in an archive, from within the cage. It has the archive as standard
// input and nothing else; what becomes of the entries, and which names are good ones, the gateway decides.
//
//   gbgreg-jail-unpack ENTRIES_MAX BYTES_MAX RATIO_MAX RATIO_FROM_BYTES SECONDS_MAX
//   gbgreg-jail-unpack check       only enters the cage and says which of its bars hold
//
// Messages (intake/jail_messages.h):
//   A  once, first: "zip", "tar" or "7z"
//   E  an entry begins: what it is ('f' file, 'd' folder, 'l' link, 's' something else), 8 bytes of the size that it
//   says
//      of itself (all ones: it does not), its name as it came
//   D  bytes of that entry
//   F  that entry is whole
//   R  that entry is damaged, and what came of it is worth nothing
//   X  the archive is refused: a code
//   Z  the end: there are no more entries
//   C  the answer to check: three letters, 1 or 0 each: namespaces, Landlock, system calls
#include <archive.h>
#include <archive_entry.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <clocale>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cage.h"
#include "intake/jail_messages.h"
#include "say.h"
#include "zip_directory.h"

namespace gbgreg::jail {
namespace {

constexpr std::uint64_t kMemoryBytes = 768ULL * 1024 * 1024;  // Beside the archive itself, which is mapped.
constexpr std::size_t kReadBytes = 256 * 1024;
constexpr std::size_t kNameBytesMax = 4'096;
constexpr std::uint64_t kUnknownSize = ~std::uint64_t{0};

struct Bounds {
  ZipBounds zip;
  unsigned seconds_max = 0;
};

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Bounds> read_bounds(const std::vector<std::string_view>& words) {
  if (words.size() != 5) return std::nullopt;
  std::vector<std::uint64_t> numbers;
  for (const std::string_view word : words) {
    const auto value = number(word);
    if (!value || *value == 0) return std::nullopt;
    numbers.push_back(*value);
  }
  return Bounds{.zip = {.entries_max = numbers[0],
                        .bytes_max = numbers[1],
                        .ratio_max = numbers[2],
                        .ratio_from_bytes = numbers[3]},
                .seconds_max = static_cast<unsigned>(numbers[4])};
}

// The archive, mapped for the look at its directory.
class MappedInput {
 public:
  MappedInput() {
    struct stat status{};
    if (::fstat(STDIN_FILENO, &status) != 0 || status.st_size <= 0) return;
    size_ = static_cast<std::size_t>(status.st_size);
    bytes_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, STDIN_FILENO, 0);
    if (bytes_ == MAP_FAILED) bytes_ = nullptr;
  }
  ~MappedInput() {
    if (bytes_ != nullptr) ::munmap(bytes_, size_);
  }
  MappedInput(const MappedInput&) = delete;
  MappedInput& operator=(const MappedInput&) = delete;
  std::span<const unsigned char> bytes() const {
    if (bytes_ == nullptr) return {};
    return {static_cast<const unsigned char*>(bytes_), size_};
  }
  std::uint64_t size() const { return size_; }

 private:
  void* bytes_ = nullptr;
  std::size_t size_ = 0;
};

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

// Says the bytes of an entry. Gives back a code when the whole archive is to be refused.
std::string_view say_content(archive* a, std::uint64_t declared) {
  std::uint64_t bytes = 0;
  while (true) {
    const void* block = nullptr;
    std::size_t size = 0;
    la_int64_t offset = static_cast<la_int64_t>(bytes);
    const int status = ::archive_read_data_block(a, &block, &size, &offset);
    if (status == ARCHIVE_FATAL || status == ARCHIVE_RETRY) return "archive_damaged";
    if (offset < 0 || static_cast<std::uint64_t>(offset) < bytes) return "archive_lies";
    const std::uint64_t hole = static_cast<std::uint64_t>(offset) - bytes;
    if (hole > declared - std::min(declared, bytes) || size > declared - std::min(declared, bytes + hole)) {
      return "archive_lies";
    }
    say_zeros(hole);
    if (size > 0) say_all('D', std::string_view(static_cast<const char*>(block), size));
    bytes += hole + size;
    if (status == ARCHIVE_EOF) break;
    if (status == ARCHIVE_OK) continue;
    // Of another size than it says, or else of this entry only: a bad checksum, a method that nobody knows.
    if (status == ARCHIVE_WARN && declared != kUnknownSize && bytes != declared) return "archive_lies";
    say('R', {});
    return {};
  }
  if (declared != kUnknownSize && bytes != declared) return "archive_lies";
  say('F', {});
  return {};
}

// A header that cannot be believed. libarchive would go on and look for the next one (RETRY), and so might find what is
// the content of a file.
bool is_broken(int status) { return status == ARCHIVE_RETRY || status < ARCHIVE_WARN; }

// Says the next entry. False at the end; a code in `refusal` when the whole archive is to be refused.
bool say_next(archive* a, std::uint64_t& entries, const Bounds& bounds, std::string_view& refusal) {
  archive_entry* entry = nullptr;
  const int status = ::archive_read_next_header(a, &entry);
  if (status == ARCHIVE_EOF) return false;
  if (entries == 0) {
    const std::string_view format = format_of(a);
    if (format.empty() || is_broken(status)) {
      refusal = ::archive_read_has_encrypted_entries(a) > 0 ? "archive_encrypted" : "archive_unreadable";
      return false;
    }
    say('A', format);
  }
  if (is_broken(status)) {
    refusal = ::archive_read_has_encrypted_entries(a) > 0 ? "archive_encrypted" : "archive_damaged";
    return false;
  }
  if (::archive_entry_is_encrypted(entry) != 0) {
    refusal = "archive_encrypted";
    return false;
  }
  if (++entries > bounds.zip.entries_max) {
    refusal = "archive_too_many_entries";
    return false;
  }
  const char kind = kind_of(entry);
  std::string head(1, kind);
  const std::uint64_t declared = size_of(entry);
  append_u64(head, declared);
  head.append(name_of(entry));
  say('E', head);
  if (kind == 'f') {
    refusal = say_content(a, declared);
    return refusal.empty();
  }
  say('F', {});
  return true;
}

bool begins_with(const MappedInput& input, std::initializer_list<unsigned char> front) {
  const auto bytes = input.bytes();
  return bytes.size() >= front.size() && std::equal(front.begin(), front.end(), bytes.begin());
}

void unpack(const Bounds& bounds, const MappedInput& input) {
  if (begins_with(input, {'P', 'K'}) && input.size() >= 4) {
    const ZipVerdict verdict = check_zip(input.bytes(), bounds.zip);
    if (verdict != ZipVerdict::good) return say('X', zip_verdict_code(verdict));
    // One without entries begins with its end, and is no archive to libarchive.
    if (input.bytes()[2] == 5) return say('Z', {});
  }
  std::unique_ptr<GzipInput> gzip;
  if (begins_with(input, {0x1f, 0x8b})) gzip = std::make_unique<GzipInput>();
  const Archive opened = open_archive(gzip.get());
  if (!opened) return say('X', "archive_unreadable");
  std::uint64_t entries = 0;
  std::string_view refusal;
  while (say_next(opened.get(), entries, bounds, refusal)) {
  }
  if (!refusal.empty()) return say('X', refusal);
  say('Z', {});
}

int run(const std::vector<std::string_view>& words) {
  const bool is_check = words.size() == 1 && words.front() == "check";
  const auto bounds = is_check ? Bounds{.zip = {}, .seconds_max = 5} : read_bounds(words);
  if (!bounds) return EXIT_FAILURE;
  const MappedInput input;
  const CageOptions options{.memory_bytes = kMemoryBytes + input.size(), .cpu_seconds = bounds->seconds_max};
  Cage cage;
  // libarchive's names are UTF-8 only where the locale is.
  if (std::setlocale(LC_CTYPE, "C.UTF-8") == nullptr) return EXIT_FAILURE;
  if (!leave_the_world(options, cage) || !lock_the_cage(options, cage)) return EXIT_FAILURE;
  if (is_check) {
    const bool bars[] = {cage.has_namespaces, cage.has_landlock, cage.has_system_calls};
    std::string answer;
    for (const bool bar : bars) answer.push_back(bar ? '1' : '0');
    say('C', answer);
  } else {
    unpack(*bounds, input);
  }
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace gbgreg::jail

int main(int argc, char** argv) {
  // Without the leave-taking of libraries: the kernel takes back all of it, and their ways out are not in the cage.
  ::_exit(gbgreg::jail::run(std::vector<std::string_view>(argv + 1, argv + argc)));
}
