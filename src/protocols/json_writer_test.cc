#include "protocols/json_writer.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <limits>
#include <string>

#include "core/utf8.h"

namespace gbgreg::protocols {
namespace {

std::string written(std::string_view text) {
  std::string out;
  append_json_text(out, text);
  return out;
}

TEST(AppendJsonText, EscapesWhatJsonAsksFor) {
  struct Case {
    std::string_view text;
    const char* want;
  };
  const Case cases[] = {
      {"", R"("")"},
      {"plain", R"("plain")"},
      {"a\"b\\c", R"("a\"b\\c")"},
      {"\n\r\t\b\f", R"("\n\r\t\b\f")"},
      {std::string_view("\0\x1f", 2), R"("\u0000\u001f")"},
      {"käse 猫 🐈", R"("käse 猫 🐈")"},
      {"1234567\"", R"("1234567\"")"},
      {"12345678\"", R"("12345678\"")"},
      {"\x7f", "\"\x7f\""},
  };
  for (const auto& c : cases) EXPECT_EQ(written(c.text), c.want);
}

TEST(AppendJsonText, ReplacesWhatIsNotUtf8) {
  struct Case {
    const char* name;
    std::string_view text;
    const char* want;
  };
  const Case cases[] = {
      {"lone continuation", "a\x80z", "\"a\uFFFDz\""},
      {"cut character", "\xE7\x8C", "\"\uFFFD\""},
      {"overlong slash", "\xC0\xAF", "\"\uFFFD\uFFFD\""},
      {"surrogate", "\xED\xA0\x80", "\"\uFFFD\uFFFD\uFFFD\""},
      {"past the end", "\xF4\x90\x80\x80", "\"\uFFFD\uFFFD\uFFFD\uFFFD\""},
      {"good beside bad", "猫\xFF猫", "\"猫\uFFFD猫\""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(written(c.text), c.want);
    EXPECT_TRUE(is_valid_utf8(written(c.text)));
  }
}

TEST(AppendJsonText, EveryByteAtEveryPlaceReadsBackAsItself) {
  for (int length = 1; length < 20; ++length) {
    for (int place = 0; place < length; ++place) {
      for (int byte = 0; byte < 128; ++byte) {
        std::string text(static_cast<std::size_t>(length), 'x');
        text[static_cast<std::size_t>(place)] = static_cast<char>(byte);
        ASSERT_EQ(boost::json::parse(written(text)).as_string(), text);
      }
    }
  }
}

TEST(JsonWriter, PutsCommasWhereTheyBelong) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("a").open_array();
  json.number(1);
  json.open_object();
  json.close_object();
  json.open_array();
  json.close_array();
  json.text("x");
  json.null();
  json.close_array();
  json.key("b").boolean(true);
  json.key("c").raw("{\"d\":1}");
  json.key("e").number_or_null(std::optional<int>{});
  json.key("f").rounded_or_null(1.23456);
  json.close_object();
  EXPECT_EQ(out, R"({"a":[1,{},[],"x",null],"b":true,"c":{"d":1},"e":null,"f":1.235})");
}

TEST(JsonWriter, WritesNumbersThatReadBack) {
  std::string out;
  JsonWriter json(out);
  json.open_array();
  json.number(std::numeric_limits<std::int64_t>::min());
  json.number(0.1);
  json.number(1e300);
  json.number(std::numeric_limits<double>::quiet_NaN());
  json.number(std::numeric_limits<double>::infinity());
  json.rounded(2);
  json.rounded(-0.0001);
  json.rounded(1e15);
  json.close_array();
  EXPECT_EQ(out, "[-9223372036854775808,0.1,1e+300,null,null,2,0,1e+15]");
}

}  // namespace
}  // namespace gbgreg::protocols
