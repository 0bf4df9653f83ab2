#include "intake/file_kind.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace gbgreg::intake {
namespace {

using namespace std::string_literals;

const std::string kPng = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\10\6\0\0\0\x1f\x15\xc4\x89\0\0\0\nIDATx\x9c"s;
const std::string kZip = "PK\3\4\x14\0\0\0\0\0\x67\x0c\x78\x5d\x86\xa6\x10\x36\5\0\0\0\5\0\0\0\5\0\0\0"s + "a.txt" +
                         "hello" + std::string(20, '\0');

std::string tar_of_one_file() {
  std::string header(512, '\0');
  header.replace(0, 5, "a.txt");
  header.replace(100, 8, "0000644\0"s);
  header.replace(124, 12, "00000000005\0"s);
  header.replace(136, 12, "00000000000\0"s);
  header.replace(148, 8, "        ");
  header.replace(257, 8, "ustar\00000"s);
  header[156] = '0';
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  char digits[8];
  std::snprintf(digits, sizeof digits, "%06o", sum);
  header.replace(148, 8, digits + "\0 "s);
  return header + "hello" + std::string(507 + 1024, '\0');
}

TEST(FileKindOf, LooksAtTheContentFirst) {
  struct Case {
    const char* name;
    std::string sample;
    std::string_view filename;
    Content content;
    std::string_view media_type;
    std::string_view language;
  };
  const Case cases[] = {
      {"prose", "Dear all,\nhello.\n", "letter.txt", Content::text, "text/plain", ""},
      {"prose without a name", "Dear all,\nhello.\n", "", Content::text, "text/plain", ""},
      {"empty", "", "__init__.py", Content::code, "text/x-python", "Python"},
      {"empty without a name", "", "x", Content::text, "text/plain", ""},
      {"C++", "int main() {}\n", "main.CC", Content::code, "text/x-c++", "C++"},
      {"markdown", "# Title\n", "README.md", Content::text, "text/markdown", "Markdown"},
      {"JSON", "{\"a\":1}\n", "a.json", Content::text, "application/json", "JSON"},
      {"JSON by content", "{\"a\":1}\n", "a", Content::text, "application/json", "JSON"},
      {"CMake by its whole name", "project(x)\n", "CMakeLists.txt", Content::code, "text/x-cmake", "CMake"},
      {"Dockerfile", "FROM debian\n", "Dockerfile", Content::code, "text/x-dockerfile", "Dockerfile"},
      {"Dockerfile with a suffix", "FROM debian\n", "Dockerfile.dev", Content::code, "text/x-dockerfile", "Dockerfile"},
      {"Makefile", "all:\n\ttrue\n", "Makefile", Content::code, "text/x-makefile", "Makefile"},
      {"shebang", "#!/bin/sh\ntrue\n", "configure", Content::code, "text/x-shellscript", "Shell"},
      {"shebang with env", "#!/usr/bin/env -S python3.11 -u\n", "tool", Content::code, "text/x-python", "Python"},
      {"shebang without an end", "#!", "tool", Content::text, "text/plain", ""},
      {"byte order mark", "\xEF\xBB\xBFint a;\n", "a.c", Content::code, "text/x-c", "C"},
      {"UTF-16", "\xFF\xFEh\0e\0l\0l\0o\0\n\0"s, "a.txt", Content::text, "text/plain", ""},
      {"Latin-1", "caf\xE9 au lait, s'il vous pla\xEEt\n", "a.txt", Content::text, "text/plain", ""},
      {"HTML", "<!DOCTYPE html><html><script>alert(1)</script>", "x", Content::code, "text/html", "HTML"},
      {"SVG is no image", "<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "a.png", Content::text, "image/svg+xml",
       "SVG"},
      {"PNG", kPng, "a.png", Content::image, "image/png", ""},
      {"PNG that says it is C++", kPng, "a.cc", Content::image, "image/png", ""},
      {"JPEG", "\xFF\xD8\xFF\xE0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"s, "", Content::image, "image/jpeg", ""},
      {"GIF", "GIF89a\1\0\1\0\x80\0\0\0\0\0\xFF\xFF\xFF!"s, "", Content::image, "image/gif", ""},
      {"WebP", "RIFF\x24\0\0\0WEBPVP8 \x18\0\0\0"s, "", Content::image, "image/webp", ""},
      {"zip", kZip, "a.zip", Content::archive, "application/zip", ""},
      {"zip that says it is text", kZip, "a.txt", Content::archive, "application/zip", ""},
      {"gzip", "\x1f\x8b\x08\0\0\0\0\0\0\3"s, "a.tgz", Content::archive, "application/gzip", ""},
      {"tar", tar_of_one_file(), "a.tar", Content::archive, "application/x-tar", ""},
      {"PDF", "%PDF-1.7\n%\xE2\xE3\xCF\xD3\n", "a.pdf", Content::document, "application/pdf", ""},
      {"PDF of ASCII that says it is Python", "%PDF-1.7\n1 0 obj\n", "a.py", Content::document, "application/pdf", ""},
      {"RTF", "{\\rtf1\\ansi hello}", "a.rtf", Content::document, "text/rtf", ""},
      {"SQLite", "SQLite format 3\0\x10\0\1\1\0\x40\x20\x20"s, "", Content::data, "application/vnd.sqlite3", ""},
      {"program",
       "\x7f"
       "ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0>\0\1\0\0\0"s,
       "a.txt", Content::data, "application/x-executable", ""},
      {"nothing that is known", "\1\2\3\xFF\xFE\0\0\x80\x81\x82"s, "a.cc", Content::data, "application/octet-stream",
       ""},
  };
  ASSERT_TRUE(has_magic_database());
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const FileKind kind = file_kind(c.sample, c.filename);
    EXPECT_EQ(content_name(kind.content), content_name(c.content));
    EXPECT_EQ(kind.media_type, c.media_type);
    EXPECT_EQ(kind.language, c.language);
  }
}

TEST(FileKindOf, ACharacterCutAtTheEndOfTheSampleIsStillText) {
  std::string sample;
  while (sample.size() < kSampleBytes + 3) sample += "\u20AC";
  for (std::size_t size = kSampleBytes - 3; size <= kSampleBytes + 3; ++size) {
    EXPECT_EQ(file_kind(std::string_view(sample).substr(0, size), "a.md").language, "Markdown");
  }
}

TEST(FileKindOf, AnswersOnManyThreadsAtOnce) {
  std::vector<std::jthread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      for (int round = 0; round < 50; ++round) EXPECT_EQ(file_kind(kPng, "").media_type, "image/png");
    });
  }
}

TEST(IsUnknownBinary, IsWhatNobodyKnowsAndProgramsOfAnyMachine) {
  // A program of Windows: at 0x3c stands where its own head begins.
  std::string windows("MZ\x90\0\3\0\0\0\4\0\0\0\xFF\xFF\0\0"s);
  windows.resize(0x3c);
  windows +=
      "\x40\0\0\0"s + "PE\0\0\x64\x86\1\0"s + std::string(12, '\0') + "\xF0\0\x22\0\x0B\2"s + std::string(238, '\0');
  struct Case {
    const char* name;
    std::string sample;
    bool want;
  };
  const Case cases[] = {
      {"noise", "\1\2\3\xFF\xFE\0\0\x80\x81\x82"s, true},
      {"ELF",
       "\x7f"
       "ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0>\0\1\0\0\0"s,
       true},
      {"ELF library",
       "\x7f"
       "ELF\2\1\1\0\0\0\0\0\0\0\0\0\3\0>\0\1\0\0\0"s,
       true},
      {"PE", windows, true},
      {"DOS", "MZ\x90\0\3\0\0\0\4\0\0\0\xFF\xFF\0\0"s + std::string(64, '\0'), true},
      {"Mach-O", "\xCF\xFA\xED\xFE\7\0\0\1\3\0\0\0\2\0\0\0\x10\0\0\0"s + std::string(64, '\0'), true},
      {"text", "hello\n", false},
      {"nothing", "", false},
      {"a script", "#!/bin/sh\necho hello\n", false},
      {"PNG", kPng, false},
      {"zip", kZip, false},
      {"SQLite", "SQLite format 3\0\x10\0\1\1\0\x40\x20\x20"s, false},
      {"sound", "RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0"s, false},
  };
  ASSERT_TRUE(has_magic_database());
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const FileKind kind = file_kind(c.sample, "a.bin");
    EXPECT_EQ(is_unknown_binary(kind.content, kind.media_type), c.want) << kind.media_type;
  }
}

TEST(ContentNamed, KnowsTheNamesOfEveryContentAndNoOther) {
  for (int i = 0; i <= static_cast<int>(Content::data); ++i) {
    EXPECT_EQ(content_named(content_name(static_cast<Content>(i))), static_cast<Content>(i));
  }
  EXPECT_EQ(content_named("Text"), std::nullopt);
  EXPECT_EQ(content_named(""), std::nullopt);
}

TEST(TextPreview, HasAtMost500CharactersAndNotBytes) {
  EXPECT_EQ(text_preview("hello\n"), "hello\n");
  std::string euros;
  for (int i = 0; i < 600; ++i) euros += "\u20AC";
  EXPECT_EQ(text_preview(euros).size(), 1500U);
  EXPECT_EQ(text_preview("a\xE2\x82"), "a");
  EXPECT_EQ(text_preview("\xEF\xBB\xBFhello"), "hello");
  EXPECT_EQ(text_preview("a\0b"s), "a\uFFFDb");
  EXPECT_EQ(text_preview("caf\xE9 x"), "");
}

}  // namespace
}  // namespace gbgreg::intake
