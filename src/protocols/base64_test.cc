#include "protocols/base64.h"

#include <gtest/gtest.h>

#include <string>

namespace gbgreg::protocols {
namespace {

TEST(Base64, IsWrittenAndReadByTheBook) {
  struct Case {
    const char* bytes;
    const char* text;
  };
  const Case cases[] = {{"f", "Zg=="},        {"fo", "Zm8="},        {"foo", "Zm9v"},
                        {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
  for (const Case& c : cases) {
    std::string text;
    append_base64(text, c.bytes);
    EXPECT_EQ(text, c.text);
    EXPECT_TRUE(is_base64(c.text)) << c.text;
    EXPECT_EQ(from_base64(c.text), c.bytes);
  }
}

TEST(Base64, HoldsEveryByteBehindWhatIsThere) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  for (std::size_t size = 1; size <= bytes.size(); ++size) {
    std::string text = "before:";
    append_base64(text, bytes.substr(0, size));
    ASSERT_TRUE(text.starts_with("before:"));
    ASSERT_TRUE(is_base64(text.substr(7)));
    ASSERT_EQ(from_base64(text.substr(7)), bytes.substr(0, size));
  }
}

TEST(Base64, IsTakenOnlyWhenItIsStrict) {
  for (const char* text : {"", "Zg", "Zg=", "Zg==Zg==", "Z===", "====", "Zm9v ", "Zm 9v", "Zm9-", "Zh==", "Zm9="}) {
    EXPECT_FALSE(is_base64(text)) << text;
  }
}

}  // namespace
}  // namespace gbgreg::protocols
