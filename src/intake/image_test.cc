#include "intake/image.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <vector>

namespace gbgreg::intake {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kHead = "\x80\x07\0\0\x38\x04\0\0\x20\x06\0\0\x72\x03\0\0"sv;
constexpr std::string_view kPng = "\x89PNG\r\n\x1a\n and so on"sv;

using Messages = std::vector<JailMessage>;

Result<SeenImage> report_of(const Messages& messages) {
  ImageReport report(ImageLimits{});
  for (const JailMessage& message : messages) {
    auto taken = report.take(message);
    if (!taken) return std::unexpected(taken.error());
  }
  return report.end();
}

TEST(ImageReport, PutsTogetherWhatIsSaid) {
  const auto seen = report_of(
      {{'I', kHead}, {'P', kPng.substr(0, 9)}, {'P', kPng.substr(9)}, {'T', "File "}, {'T', "Edit"}, {'Z', ""}});
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->width, 1920U);
  EXPECT_EQ(seen->height, 1080U);
  EXPECT_EQ(seen->shown_width, 1568U);
  EXPECT_EQ(seen->shown_height, 882U);
  EXPECT_EQ(seen->png, kPng);
  EXPECT_EQ(seen->text, "File Edit");
}

TEST(ImageReport, TextIsAlwaysUtf8) {
  const auto seen = report_of({{'I', kHead}, {'P', kPng}, {'T', "a\xff\0b"sv}, {'Z', ""}});
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->text,
            "a\xef\xbf\xbd\xef\xbf\xbd"
            "b");
}

TEST(ImageReport, SaysWhyAnImageIsNotTaken) {
  struct Case {
    std::string_view code;
    Kind want;
  };
  for (const Case& c : {Case{"image_type_unknown", Kind::unsupported_type}, Case{"image_damaged", Kind::refused},
                        Case{"image_too_large", Kind::refused}, Case{"text_reader_missing", Kind::unavailable}}) {
    const auto seen = report_of({{'X', c.code}});
    ASSERT_FALSE(seen);
    EXPECT_EQ(seen.error().code, c.code);
    EXPECT_EQ(seen.error().kind, c.want);
  }
  EXPECT_TRUE(report_of({{'X', "image_too_large"}}).error().details_json.contains("40000000"));
}

TEST(ImageReport, BelievesNothingThatTheJailWouldNotSay) {
  const std::string much(kJailMessageBytesMax, 'x');
  Messages too_much_text{{'I', kHead}, {'T', much}, {'T', "x"}, {'Z', ""}};
  Messages too_much_png{{'I', kHead}};
  constexpr std::uint64_t kPngBytesMax = 4ULL * 1'568 * 1'568 + 64ULL * 1024;
  for (std::uint64_t bytes = 0; bytes <= kPngBytesMax; bytes += much.size()) too_much_png.push_back({'P', much});
  struct Case {
    const char* name;
    Messages messages;
  };
  const Case cases[] = {{"nothing", {}},
                        {"no head", {{'P', kPng}, {'Z', ""}}},
                        {"two heads", {{'I', kHead}, {'I', kHead}, {'P', kPng}, {'Z', ""}}},
                        {"a short head", {{'I', kHead.substr(1)}, {'P', kPng}, {'Z', ""}}},
                        {"a long head", {{'I', much}, {'P', kPng}, {'Z', ""}}},
                        {"no sides", {{'I', "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"sv}, {'P', kPng}, {'Z', ""}}},
                        {"no PNG", {{'I', kHead}, {'Z', ""}}},
                        {"another image", {{'I', kHead}, {'P', "GIF89a"}, {'Z', ""}}},
                        {"no end", {{'I', kHead}, {'P', kPng}}},
                        {"more behind the end", {{'I', kHead}, {'P', kPng}, {'Z', ""}, {'T', "x"}}},
                        {"a refusal in the middle", {{'I', kHead}, {'X', "image_damaged"}}},
                        {"a refusal of its own", {{'X', "because"}}},
                        {"another type", {{'I', kHead}, {'?', ""}}},
                        {"too much text", too_much_text},
                        {"too large a PNG", too_much_png}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const auto seen = report_of(c.messages);
    ASSERT_FALSE(seen);
    EXPECT_EQ(seen.error().code, "jail_garbled");
    EXPECT_EQ(seen.error().kind, Kind::refused);
  }
}

// A program that a test writes, in the place of the jail.
class LookAtImageTest : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Result<SeenImage> look(const std::string& script) {
    const auto program = folder_ / "jail.sh";
    std::ofstream(program) << "#!/bin/sh\n" << script << "\n";
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    return look_at_image(program, STDIN_FILENO, {}, is_stopping_);
  }

  std::filesystem::path folder_ = testing::TempDir() + "look_at_image_" + std::to_string(::getpid());
  std::atomic<bool> is_stopping_ = false;
};

TEST_F(LookAtImageTest, ReadsWhatTheProgramSays) {
  const auto seen = look(
      R"(printf 'I\020\000\000\000\002\000\000\000\001\000\000\000\002\000\000\000\001\000\000\000')"
      R"(; printf 'P\010\000\000\000\211PNG\r\n\032\n'; printf 'T\002\000\000\000Hi'; printf 'Z\000\000\000\000')");
  ASSERT_TRUE(seen) << seen.error().detail;
  EXPECT_EQ(seen->width, 2U);
  EXPECT_EQ(seen->height, 1U);
  EXPECT_EQ(seen->text, "Hi");
}

TEST_F(LookAtImageTest, ACrashRefusesTheImage) {
  const auto seen = look("kill -SEGV $$");
  ASSERT_FALSE(seen);
  EXPECT_EQ(seen.error().kind, Kind::refused);
  EXPECT_EQ(seen.error().code, "jail_crashed");
}

TEST_F(LookAtImageTest, AProgramThatIsMissingIsOurFault) {
  const auto seen = look_at_image((folder_ / "nowhere").string(), STDIN_FILENO, {}, is_stopping_);
  ASSERT_FALSE(seen);
  EXPECT_EQ(seen.error().kind, Kind::unavailable);
  EXPECT_EQ(seen.error().code, "jail_missing");
}

TEST_F(LookAtImageTest, EndsWhenTheGatewayStops) {
  is_stopping_ = true;
  const auto seen = look("exec sleep 1000");
  ASSERT_FALSE(seen);
  EXPECT_EQ(seen.error().code, "shutting_down");
}

}  // namespace
}  // namespace gbgreg::intake
