#include "intake/sanitise.h"

#include <gtest/gtest.h>

#include "core/utf8.h"

namespace gbgreg::intake {
namespace {

TEST(SafeFilename, KeepsHonestNamesAndDefusesTheOthers) {
  struct Case {
    const char* name;
    std::string_view from;
    std::string_view want;
  };
  const Case cases[] = {
      {"plain", "report.pdf", "report.pdf"},
      {"other scripts", "\u65E5\u672C\u8A9E \u00E9t\u00E9.txt", "\u65E5\u672C\u8A9E \u00E9t\u00E9.txt"},
      {"decomposed, as macOS writes it", "e\u0301te\u0301 Ko\u0308ln.txt", "\u00E9t\u00E9 K\u00F6ln.txt"},
      {"decomposed Hangul", "\u1112\u1161\u11AB.txt", "\uD55C.txt"},
      {"composed once what hid between is gone", "e\u200B\u0301.txt", "\u00E9.txt"},
      {"a sign that composes to a reserved one", "a\u037E.txt", "a;.txt"},
      {"what has no composed form", "q\u0301.txt", "q\u0301.txt"},
      {"what is only written decomposed", "\u0958.txt", "\u0915\u093C.txt"},
      {"a sign that looks reserved", "a<\u0338b", "a_\u0338b"},
      {"hidden file", ".gitignore", ".gitignore"},
      {"path", "../../etc/passwd", "passwd"},
      {"absolute path", "/etc/shadow", "shadow"},
      {"a path of Windows", "C:\\Users\\me\\notes.txt", "notes.txt"},
      {"drive", "C:notes.txt", "C_notes.txt"},
      {"dot", ".", "upload"},
      {"dot dot", "..", "upload"},
      {"dots at the end", "a.txt...", "a.txt"},
      {"folder", "dir/", "upload"},
      {"empty", "", "upload"},
      {"blanks", "   ", "upload"},
      {"blanks around", "  a b.txt ", "a b.txt"},
      {"header injection", "a\r\nSet-Cookie: x=y.txt", "aSet-Cookie_ x=y.txt"},
      {"NUL hides an extension", std::string_view("a.txt\0.exe", 10), "a.txt.exe"},
      {"right-to-left override", "photo\u202Egpj.exe", "photogpj.exe"},
      {"zero width", "a\u200Bb\uFEFF.txt", "ab.txt"},
      {"emoji of several people", "\U0001F468\u200D\U0001F469.png", "\U0001F468\u200D\U0001F469.png"},
      {"quotes and others", "a\"b<c>d|e?f*.txt", "a_b_c_d_e_f_.txt"},
      {"invalid bytes",
       "a\xFF"
       "b.txt",
       "a\uFFFDb.txt"},
      {"overlong slash",
       "..\xC0\xAF"
       "x",
       "..\uFFFD\uFFFDx"},
      {"device", "con", "_con"},
      {"device with extension", "NUL.tar.gz", "_NUL.tar.gz"},
      {"device with a blank", "Com1 .txt", "_Com1 .txt"},
      {"no device", "console.log", "console.log"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(safe_filename(c.from), c.want);
  }
}

TEST(SafeFilename, CutsLongNamesAndKeepsTheExtension) {
  const std::string name = safe_filename(std::string(300, 'a') + ".tar.gz");
  EXPECT_EQ(name.size(), kNameBytesMax);
  EXPECT_TRUE(name.ends_with("aaaa.gz"));

  std::string euros;
  for (int i = 0; i < 200; ++i) euros += "\u20AC";
  EXPECT_LE(safe_filename(euros + ".txt").size(), kNameBytesMax);
  EXPECT_TRUE(is_valid_utf8(safe_filename(euros + ".txt")));
  EXPECT_TRUE(safe_filename(euros + ".txt").ends_with("\u20AC.txt"));
  EXPECT_EQ(safe_filename("a." + std::string(300, 'x')).size(), kNameBytesMax);
  EXPECT_EQ(safe_filename("con" + std::string(300, ' ') + "x"), "_con");
  EXPECT_EQ(safe_filename(std::string(300, '.') + "x" + std::string(40, 'y')), "upload");
  EXPECT_EQ(safe_filename("nul." + std::string(251, 'x')).size(), kNameBytesMax);
}

TEST(SafeFilename, IsAlreadySafeTheSecondTime) {
  for (const std::string_view name :
       {"../con", " . a", "a\u202E.", "\xFF\xFE", "x/\\", "nul. ", ". . .", "con/..\\aux."}) {
    const std::string once = safe_filename(name);
    EXPECT_EQ(safe_filename(once), once) << name;
    EXPECT_FALSE(once.empty());
  }
}

TEST(OriginalFilename, KeepsTheNameAsDataWithinItsBound) {
  EXPECT_EQ(original_filename("../a\\b\r\n.txt"), "../a\\b\r\n.txt");
  EXPECT_EQ(original_filename("a\xFF"), "a\uFFFD");
  EXPECT_EQ(original_filename(std::string(5000, 'a')).size(), kOriginalNameBytesMax);
  const std::string broken = original_filename(std::string(5000, '\xFF'));
  EXPECT_LE(broken.size(), kOriginalNameBytesMax);
  EXPECT_TRUE(is_valid_utf8(broken));
}

TEST(ExtensionOf, IsLowerCaseAndBehindTheLastDot) {
  EXPECT_EQ(extension_of("a.TAR.GZ"), "gz");
  EXPECT_EQ(extension_of("Makefile"), "");
  EXPECT_EQ(extension_of(".bashrc"), "");
  EXPECT_EQ(extension_of("a."), "");
}

}  // namespace
}  // namespace gbgreg::intake
