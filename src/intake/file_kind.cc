#include "intake/file_kind.h"

#include <fcntl.h>
#include <magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

#include "core/utf8.h"
#include "intake/languages.h"

namespace gbgreg::intake {
namespace {

constexpr std::array<std::string_view, 6> kContentNames = {"text", "code", "image", "archive", "document", "data"};
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// libmagic's compiled database, mapped once for all threads and for as long as the process lives. Each handle would map
// and dirty 8 MB of its own otherwise.
struct MagicDatabase {
  void* bytes = nullptr;
  std::size_t size = 0;
};

MagicDatabase map_file(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  MagicDatabase database;
  struct stat status{};
  if (::fstat(file, &status) == 0 && status.st_size > 0) {
    database.size = static_cast<std::size_t>(status.st_size);
    database.bytes = ::mmap(nullptr, database.size, PROT_READ, MAP_SHARED, file, 0);
    if (database.bytes == MAP_FAILED) database = {};
  }
  ::close(file);
  return database;
}

// libmagic searches "a:b" for a.mgc and b.mgc.
MagicDatabase find_magic_database() {
  const char* search_path = ::magic_getpath(nullptr, 0);
  std::string_view rest = search_path == nullptr ? "" : search_path;
  while (!rest.empty()) {
    const std::string_view entry = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), entry.size() + 1));
    const MagicDatabase database = map_file(std::string(entry) + ".mgc");
    if (database.bytes != nullptr) return database;
  }
  return {};
}

const MagicDatabase& magic_database() {
  static const MagicDatabase database = find_magic_database();
  return database;
}

struct CloseMagic {
  void operator()(magic_set* handle) const { ::magic_close(handle); }
};
using Magic = std::unique_ptr<magic_set, CloseMagic>;

// The parsers that are switched off have the longest list of faults behind them, and tell us nothing that we use.
constexpr int kMagicFlags =
    MAGIC_MIME | MAGIC_NO_CHECK_COMPRESS | MAGIC_NO_CHECK_ELF | MAGIC_NO_CHECK_CDF | MAGIC_NO_CHECK_APPTYPE;

Magic open_magic() {
  MagicDatabase database = magic_database();
  if (database.bytes == nullptr) return nullptr;
  Magic handle(::magic_open(kMagicFlags));
  if (!handle || ::magic_load_buffers(handle.get(), &database.bytes, &database.size, 1) != 0) return nullptr;
  return handle;
}

// What libmagic says: "text/x-c; charset=us-ascii" in two parts.
struct Verdict {
  std::string media_type = "application/octet-stream";
  std::string charset = "binary";
};

bool is_media_type(std::string_view text) {
  const auto is_token = [](std::string_view part) {
    return !part.empty() && std::ranges::all_of(part, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             std::string_view("!#$&-^_.+").contains(c);
    });
  };
  const std::size_t slash = text.find('/');
  return slash != std::string_view::npos && text.size() <= 127 && is_token(text.substr(0, slash)) &&
         is_token(text.substr(slash + 1));
}

Verdict ask_magic(std::string_view sample) {
  thread_local const Magic handle = open_magic();
  const char* answer = handle ? ::magic_buffer(handle.get(), sample.data(), sample.size()) : nullptr;
  if (answer == nullptr) return {};
  const std::string_view text(answer);
  const std::size_t end = text.find(';');
  Verdict verdict;
  if (is_media_type(text.substr(0, end))) verdict.media_type = text.substr(0, end);
  const std::size_t charset = text.find("charset=");
  if (charset != std::string_view::npos) verdict.charset = text.substr(charset + 8);
  return verdict;
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> names) {
  return std::ranges::find(names, text) != names.end();
}

bool begins_with_one_of(std::string_view text, std::initializer_list<std::string_view> names) {
  return std::ranges::any_of(names, [text](std::string_view name) { return text.starts_with(name); });
}

bool is_archive(std::string_view media_type) {
  return is_one_of(media_type, {"application/zip", "application/gzip", "application/zstd", "application/x-tar",
                                "application/x-7z-compressed", "application/x-bzip2", "application/x-xz",
                                "application/x-lzma", "application/x-lz4", "application/x-compress",
                                "application/x-rar", "application/vnd.rar", "application/x-cpio", "application/x-rpm",
                                "application/java-archive", "application/vnd.debian.binary-package"});
}

bool is_document(std::string_view media_type) {
  return is_one_of(media_type,
                   {"application/pdf", "application/postscript", "application/rtf", "text/rtf", "application/msword",
                    "application/epub+zip", "application/x-ole-storage", "application/CDFV2"}) ||
         begins_with_one_of(media_type,
                            {"application/vnd.ms-excel", "application/vnd.ms-powerpoint", "application/vnd.ms-word",
                             "application/vnd.openxmlformats-officedocument.", "application/vnd.oasis.opendocument."});
}

// UTF-8 with nothing in it that a text does not have.
bool is_plain_text(std::string_view sample) {
  const bool has_odd_control = std::ranges::any_of(sample, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 && !std::string_view("\t\n\v\f\r\b\x1b").contains(c);
  });
  return !has_odd_control && begins_valid_utf8(sample);
}

FileKind in_language(const Language& language) {
  return {.content = language.is_code ? Content::code : Content::text,
          .media_type = std::string(language.media_type),
          .language = std::string(language.name)};
}

FileKind kind_of_text(std::string_view sample, std::string_view filename) {
  // Two formats of documents that may be all ASCII.
  const bool is_text_by_form_only = begins_with_one_of(sample, {"%PDF-", "{\\rtf", "%!PS"});
  if (!is_text_by_form_only) {
    if (const auto language = language_of(filename, sample)) return in_language(*language);
  }
  const Verdict verdict = ask_magic(sample);
  if (is_document(verdict.media_type)) return {.content = Content::document, .media_type = verdict.media_type};
  if (const auto language = language_of_media_type(verdict.media_type)) return in_language(*language);
  return {.content = Content::text, .media_type = "text/plain"};
}

FileKind kind_of_binary(std::string_view sample, std::string_view filename) {
  const Verdict verdict = ask_magic(sample);
  // Text in another encoding than UTF-8.
  if (verdict.charset != "binary" && verdict.media_type.starts_with("text/")) {
    const auto language = language_of(filename, sample);
    if (language) return in_language(*language);
    return {.content = Content::text, .media_type = "text/plain"};
  }
  FileKind kind{.content = Content::data, .media_type = verdict.media_type};
  if (is_archive(verdict.media_type)) kind.content = Content::archive;
  if (is_document(verdict.media_type)) kind.content = Content::document;
  // An SVG is a program that draws, not an image that can be shown.
  if (verdict.media_type.starts_with("image/") && verdict.media_type != "image/svg+xml") kind.content = Content::image;
  return kind;
}

}  // namespace

std::string_view content_name(Content content) { return kContentNames[static_cast<std::size_t>(content)]; }

std::optional<Content> content_named(std::string_view name) {
  const auto found = std::ranges::find(kContentNames, name);
  if (found == kContentNames.end()) return std::nullopt;
  return static_cast<Content>(found - kContentNames.begin());
}

FileKind file_kind(std::string_view sample, std::string_view filename) {
  sample = sample.substr(0, kSampleBytes);
  return is_plain_text(sample) ? kind_of_text(sample, filename) : kind_of_binary(sample, filename);
}

bool is_unknown_binary(Content content, std::string_view media_type) {
  return content == Content::data &&
         is_one_of(media_type,
                   {"application/octet-stream", "application/x-executable", "application/x-pie-executable",
                    "application/x-sharedlib", "application/x-object", "application/x-coredump",
                    "application/x-mach-binary", "application/vnd.microsoft.portable-executable",
                    "application/x-dosexec", "application/x-msdownload", "application/x-ms-dos-executable"});
}

std::string text_preview(std::string_view sample) {
  if (sample.starts_with(kByteOrderMark)) sample.remove_prefix(kByteOrderMark.size());
  if (!begins_valid_utf8(sample)) return {};
  std::string preview;
  for (std::size_t characters = 0; characters < kPreviewCharacters && !sample.empty(); ++characters) {
    const CodePoint next = first_code_point(sample);
    if (!next.is_valid) break;  // The last character goes on behind the sample.
    append_utf8(preview, next.value == 0 ? kReplacement : next.value);
    sample.remove_prefix(next.bytes);
  }
  return preview;
}

bool has_magic_database() { return magic_database().bytes != nullptr; }

}  // namespace gbgreg::intake
