// Which language a text is in, by the end of its name, by its whole name, or by its first line. Only asked about
// content that is known to be text. Pure.
#pragma once

#include <optional>
#include <string_view>

namespace gbgreg::intake {

struct Language {
  std::string_view name;  // As people write it: "C++", "Python", "Markdown".
  bool is_code;           // Prose and data have a language too, and are kind text.
  std::string_view media_type;
};

// By name ("CMakeLists.txt", "Dockerfile"), then extension, then a "#!" line at the front of `text`.
std::optional<Language> language_of(std::string_view filename, std::string_view text);

// By the media type that libmagic found, for files whose name says nothing.
std::optional<Language> language_of_media_type(std::string_view media_type);

}  // namespace gbgreg::intake
