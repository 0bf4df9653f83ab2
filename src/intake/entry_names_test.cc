#include "intake/entry_names.h"

#include <gtest/gtest.h>

namespace gbgreg::intake {
namespace {

constexpr std::size_t kDepth = 4;

std::string path_or_code(std::string_view name, OtherBytes other = OtherBytes::are_faults) {
  const auto path = entry_path(name, kDepth, other);
  return path ? *path : "!" + std::string(path.error().code);
}

TEST(EntryPath, KeepsWhatIsGoodAndRefusesWhatIsNot) {
  struct Case {
    std::string_view name;
    std::string_view want;
  };
  const std::string long_component(256, 'a');
  const std::string fits(255, 'a');
  const std::string long_path = fits + "/" + fits + "/" + fits + "/" + fits + "b";
  const Case cases[] = {
      {"a/b.txt", "a/b.txt"},
      {"./a//b/./c", "a/b/c"},
      {"a/", "a"},
      {"a\\b\\c.txt", "a/b/c.txt"},
      {"", ""},
      {"./", ""},
      {"...", "..."},
      {"a..b/..c", "a..b/..c"},
      {"aux.c", "aux.c"},  // Good on most systems, and no path on ours.
      {"a:b", "!name_absolute"},
      {"1:b", "1:b"},
      {"/etc/passwd", "!name_absolute"},
      {"\\\\server\\share", "!name_absolute"},
      {"\\etc", "!name_absolute"},
      {"C:\\x", "!name_absolute"},
      {"c:x", "!name_absolute"},
      {"./C:x", "!name_absolute"},
      {".//./c:/x", "!name_absolute"},
      {"a/C:x", "a/C:x"},
      {"..", "!name_traversal"},
      {"../x", "!name_traversal"},
      {"a/../../x", "!name_traversal"},
      {"a\\..\\..\\x", "!name_traversal"},
      {"a/..", "!name_traversal"},
      {"..\xC0\xAF..\xC0\xAFx", "!name_not_utf8"},  // Overlong slashes.
      {"\xC0\xAE\xC0\xAE/x", "!name_not_utf8"},     // Overlong dots.
      {"a\xED\xA0\x80", "!name_not_utf8"},          // Half of a surrogate pair.
      {std::string_view("a\0b", 3), "!name_hidden_characters"},
      {"a\nb", "!name_hidden_characters"},
      {"a\xE2\x80\xAEgpj.exe", "!name_hidden_characters"},  // From right to left.
      {"a\xE2\x80\x8B", "!name_hidden_characters"},         // No width.
      {"u\xCC\x88.txt", "\xC3\xBC.txt"},                    // u and dots become one letter.
      {"1/2/3/4", "1/2/3/4"},
      {"1/2/3/4/5", "!name_too_deep"},
      {fits, fits},
      {long_component, "!name_too_long"},
      {long_path, "!name_too_long"},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.name);
    EXPECT_EQ(path_or_code(each.name), each.want);
  }
  EXPECT_EQ(path_or_code(std::string(10'000, '/') + "x"), "!name_too_long");
}

TEST(EntryPath, ReadsTheFirstPcsCharactersWhereTheyAreMeant) {
  EXPECT_EQ(path_or_code("M\x81ller.txt", OtherBytes::are_cp437), "M\xC3\xBCller.txt");
  EXPECT_EQ(path_or_code("\xC3\xBC.txt", OtherBytes::are_cp437), "\xC3\xBC.txt");  // UTF-8 without its mark.
  EXPECT_EQ(path_or_code("..\xC0\xAFx", OtherBytes::are_cp437), "..\xE2\x94\x94\xC2\xBBx");
}

TEST(EntryNames, RefusesWhatSomeSystemTakesForTheSame) {
  EntryNames names;
  EXPECT_TRUE(names.take_file("src/Main.cc"));
  EXPECT_EQ(names.take_file("src/Main.cc").error().code, "name_conflict");
  EXPECT_EQ(names.take_file("src/main.CC").error().code, "name_conflict");
  EXPECT_TRUE(names.take_file("SRC/other.cc"));  // The folder is the same one, and nothing of it is lost.
  EXPECT_TRUE(
      names.take_file("stra\xC3\x9F"
                      "e"));
  EXPECT_EQ(names.take_file("STRASSE").error().code, "name_conflict");
  EXPECT_TRUE(names.take_file("\xC3\x84"));
  EXPECT_EQ(names.take_file("\xC3\xA4").error().code, "name_conflict");
}

TEST(EntryNames, RefusesWhatWouldBeFileAndFolderAtOnce) {
  EntryNames names;
  EXPECT_TRUE(names.take_file("a/b"));
  EXPECT_EQ(names.take_file("a/b/c").error().code, "path_conflict");
  EXPECT_EQ(names.take_file("A/B/c/d").error().code, "path_conflict");
  EXPECT_EQ(names.take_file("a").error().code, "path_conflict");
  EXPECT_TRUE(names.take_folder("a"));
  EXPECT_TRUE(names.take_folder("a"));
  EXPECT_EQ(names.take_folder("a/b").error().code, "path_conflict");
  EXPECT_TRUE(names.take_folder("x/y"));
  EXPECT_EQ(names.take_file("x/Y").error().code, "path_conflict");
}

}  // namespace
}  // namespace gbgreg::intake
