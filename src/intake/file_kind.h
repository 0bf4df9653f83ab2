// What a file is, told by its first bytes: libmagic for what is binary, our own tables for the languages of text. The
// name only ever chooses among languages, once the content is known to be text.
//
// Any thread may call it. libmagic's handles are not thread-safe, so each thread that asks gets its own and keeps it
// (about 1 MB); they share one read-only mapping of its database.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gbgreg::intake {

// How much of a file is looked at.
inline constexpr std::size_t kSampleBytes = 64 * 1024;
inline constexpr std::size_t kPreviewCharacters = 500;

enum class Content : std::uint8_t { text, code, image, archive, document, data };

// "text", "code" … as API.md and the database spell it.
std::string_view content_name(Content content);
std::optional<Content> content_named(std::string_view name);

struct FileKind {
  Content content = Content::data;
  std::string media_type = "application/octet-stream";  // Always a plain type/subtype, fit for a header.
  std::string language = {};                            // "C++", "Markdown", or empty.

  bool operator==(const FileKind&) const = default;
};

// `sample` is the front of the file, at most kSampleBytes. What nobody knows is data, application/octet-stream.
FileKind file_kind(std::string_view sample, std::string_view filename);

// A binary that nobody can make use of here, or that is a program for some machine: data of no known type, and what
// Linux, Windows and macOS run. Of other data the media type says what it is good for. Pure.
bool is_unknown_binary(Content content, std::string_view media_type);

// The first 500 characters of a text, valid UTF-8 without NUL. Empty when the sample is not UTF-8.
std::string text_preview(std::string_view sample);

// Whether libmagic's database could be loaded; without it every binary is data. It is loaded by the first call of this
// or of file_kind.
bool has_magic_database();

}  // namespace gbgreg::intake
