#include "protocols/json_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace gbgreg::protocols {
namespace {

using testing::HasSubstr;

struct Read {
  std::string text = "unset";
  std::optional<bool> flag = {};
  std::optional<double> number = {};
  std::optional<int> integer = {};
  std::optional<std::int64_t> large = {};
  std::string raw = {};
  std::vector<std::string> names = {};
};

Result<Read> read(std::string_view json, const JsonBounds& bounds = {}) {
  Read out;
  auto read_inner = [&](std::string_view name, JsonValue& value) -> Result<void> {
    out.names.emplace_back(name);
    if (name == "number") return value.read_number(out.number, -1, 1);
    return {};
  };
  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "text") return value.read_text(out.text, 100);
    if (name == "flag") return value.read_boolean(out.flag);
    if (name == "number") return value.read_number(out.number, 0, 2);
    if (name == "integer") return value.read_integer(out.integer, -5, 5);
    if (name == "large") {
      return value.read_integer(out.large, std::numeric_limits<std::int64_t>::min(),
                                std::numeric_limits<std::int64_t>::max());
    }
    if (name == "raw") return value.read_raw(out.raw, 1000);
    if (name == "inner") return value.each_field(read_inner);
    if (name == "list") {
      return value.each_element([&](JsonValue& element) { return element.each_field(read_inner); });
    }
    return {};
  };
  if (auto done = read_json_object(json, bounds, read_field); !done) return std::unexpected(done.error());
  return out;
}

TEST(ReadJsonObject, ReadsEveryType) {
  const auto got =
      read(R"( {"text":"a\u00e4\ud83d\ude00\n","flag":true,"number":1.5,"integer":-3,"large":9223372036854775807,
                         "raw": {"a":[1, {"b":null}]} ,"inner":{"x":1,"number":0.5}} )");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->text, "aä😀\n");
  EXPECT_EQ(got->flag, true);
  EXPECT_EQ(got->number, 0.5);
  EXPECT_EQ(got->integer, -3);
  EXPECT_EQ(got->large, std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(got->raw, R"({"a":[1, {"b":null}]})");
  EXPECT_THAT(got->names, testing::ElementsAre("x", "number"));
}

TEST(ReadJsonObject, MistakesNameTheField) {
  struct Case {
    const char* json;
    const char* message;
  };
  const Case cases[] = {
      {R"({"text":5})", "\"text\" must be a string."},
      {R"({"text":["a"]})", "\"text\" must be a string."},
      {R"({"flag":"true"})", "\"flag\" must be true or false."},
      {R"({"number":"1"})", "\"number\" must be a number from 0 to 2."},
      {R"({"number":2.1})", "\"number\" must be a number from 0 to 2."},
      {R"({"number":-1e999})", "\"number\" must be a number from 0 to 2."},
      {R"({"integer":1.5})", "\"integer\" must be a whole number from -5 to 5."},
      {R"({"integer":6})", "\"integer\" must be a whole number from -5 to 5."},
      {R"({"integer":99999999999999999999})", "\"integer\" must be a whole number from -5 to 5."},
      {R"({"raw":"x"})", "\"raw\" must be an object or an array."},
      {R"({"inner":[]})", "\"inner\" must be an object."},
      {R"({"inner":{"number":7}})", "\"inner.number\" must be a number from -1 to 1."},
      {R"({"list":[{},{"number":7}]})", "\"list[1].number\" must be a number from -1 to 1."},
      {R"({"list":[{},4]})", "\"list[1]\" must be an object."},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.json);
    const auto got = read(c.json);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().kind, Kind::malformed);
    EXPECT_EQ(got.error().code, "invalid_field");
    EXPECT_EQ(got.error().message, c.message);
  }
  EXPECT_EQ(read(R"({"inner":{"number":7}})").error().details_json, R"({"field":"inner.number"})");
  EXPECT_THAT(read(R"({"text":")" + std::string(101, 'x') + "\"}").error().message, HasSubstr("at most 100 bytes"));
}

TEST(ReadJsonObject, WhatIsNotJsonIsMalformedWherever) {
  const std::string cases[] = {
      "",
      " ",
      "{",
      "}",
      "[]",
      "\"text\"",
      "5",
      "null",
      "{\"text\":\"a\"",
      "{\"text\":\"a",
      "{\"text\" \"a\"}",
      "{\"text\":\"a\",}",
      "{\"text\":\"a\"} x",
      "{\"text\":\"a\"}{}",
      "{text:\"a\"}",
      "{'text':'a'}",
      "{\"unknown\":tru}",
      "{\"unknown\":nul}",
      "{\"unknown\":01}",
      "{\"unknown\":1.}",
      "{\"unknown\":-}",
      "{\"unknown\":1 2}",
      "{\"unknown\":[1,]}",
      "{\"unknown\":[1 2]}",
      "{\"unknown\":{\"a\":}}",
      "{\"unknown\":\"\\x\"}",
      "{\"unknown\":\"\\ud800\"}",
      "{\"unknown\":\"\\udc00\\ud800\"}",
      "{\"\\ud800\":1}",
      "{\"unknown\":\"\n\"}",
      "{\"raw\":{\"a\":\"\\ud800\"}}",
      "{\"raw\":{\"a\":tru}}",
      "{\"raw\":[1,]}",
      "{\"unknown\":\"\xFF\"}",
      "{\"unknown\":NaN}",
  };
  for (const auto& json : cases) {
    SCOPED_TRACE(json);
    const auto got = read(json);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().kind, Kind::malformed);
    EXPECT_EQ(got.error().code, "invalid_json");
    EXPECT_TRUE(got.error().message.starts_with("The body ")) << got.error().message;
  }
}

TEST(ReadJsonObject, SaysWhereTheMistakeIs) {
  EXPECT_EQ(read("{\"text\":\"ab\xFF\"}").error().message, "The body is not valid UTF-8 (at byte 11).");
  EXPECT_EQ(read("{\"text\":\"" + std::string(1000, 'x') + "猫\xE7\x8C\"}").error().message,
            "The body is not valid UTF-8 (at byte 1012).");
  EXPECT_THAT(read("{\"text\" \"a\"}").error().message, HasSubstr("(at byte "));
  EXPECT_EQ(read("").error().message, "The body is empty.");
  EXPECT_EQ(read("[]").error().message, "The body must be a JSON object.");
}

TEST(ReadJsonObject, UnknownFieldsAreToleratedWhateverTheyHold) {
  const auto got =
      read(R"({"a":[1,[2,{"b":[]}]],"c":1e999,"d":99999999999999999999999,"e":null,"f":"x","g":-0.5E+3,"text":"t"})");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->text, "t");
}

TEST(ReadJsonObject, NullIsAsAbsent) {
  const auto got = read(R"({"text":null,"flag":null,"number":null,"integer":null})");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->text, "unset");
  EXPECT_FALSE(got->flag || got->number || got->integer);
}

TEST(ReadJsonObject, AFieldGivenTwiceCountsAsItWasGivenLast) {
  EXPECT_EQ(read(R"({"text":"first","text":"last"})")->text, "last");
}

TEST(ReadJsonObject, AFieldNameMayBeEscaped) { EXPECT_EQ(read(R"({"te\u0078t":"x"})")->text, "x"); }

TEST(ReadJsonObject, ANumberWithoutFractionIsWhole) {
  EXPECT_EQ(read(R"({"integer":3.0})")->integer, 3);
  EXPECT_EQ(read(R"({"integer":3e0})")->integer, 3);
}

TEST(ReadJsonObject, KnowsWhereAValueOfAnyTypeBeginsAndEndsOnceItIsRead) {
  for (const std::string value :
       {R"("a\"b")", "true", "1.5", "-3", "4", "4.0", "4e0", "0", "null", R"({"x":[1,{}]})", R"([1,"]",{"y":2}])"}) {
    for (const std::string rest : {"}", ",\"last\":1}", " }", " ,\"last\":1}"}) {
      SCOPED_TRACE(value + rest);
      std::string json = R"({"first":0,"value": )";
      json.append(value).append(rest);
      std::string seen;
      auto read_value = [&](JsonValue& field) -> Result<void> {
        std::string text;
        std::optional<bool> flag;
        std::optional<double> number;
        std::optional<std::int64_t> integer;
        switch (field.type()) {
          case JsonType::text:
            return field.read_text(text);
          case JsonType::boolean:
            return field.read_boolean(flag);
          case JsonType::number:
            return value == "1.5" ? field.read_number(number, 0, 9) : field.read_integer(integer, -9, 9);
          default:
            return field.skip();
        }
      };
      auto read_field = [&](std::string_view name, JsonValue& field) -> Result<void> {
        if (name != "value") return {};
        const std::size_t begin = field.begin_offset();
        auto read = read_value(field);
        seen = json.substr(begin, field.end_offset() - begin);
        return read;
      };
      const auto done = read_json_object(json, {}, read_field);
      ASSERT_TRUE(done) << done.error().message;
      while (seen.ends_with(' ')) seen.pop_back();
      EXPECT_EQ(seen, value);
    }
  }
}

TEST(ReadJsonObject, DepthIsBounded) {
  const auto nested = [](std::size_t depth, const char* field) {
    return std::string("{\"") + field + "\":" + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  EXPECT_TRUE(read(nested(63, "unknown"))) << "the object itself is the first level";
  EXPECT_TRUE(read(nested(63, "raw")));
  for (const std::size_t depth : {64UL, 1000UL, 200'000UL}) {
    for (const char* field : {"unknown", "raw"}) {
      const auto got = read(nested(depth, field));
      ASSERT_FALSE(got) << depth;
      EXPECT_EQ(got.error().kind, Kind::malformed);
    }
  }
  EXPECT_THAT(read(nested(64, "unknown")).error().message, HasSubstr("deeper than 64"));
  EXPECT_FALSE(read(std::string(200'000, '[')));
  EXPECT_FALSE(read(std::string(100'000, '{')));
}

TEST(ReadJsonObject, SizeIsBounded) {
  const auto got = read(R"({"text":"abc"})", {.bytes_max = 10, .depth_max = 64});
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().kind, Kind::too_large);
  EXPECT_THAT(got.error().message, HasSubstr("10 bytes"));
}

TEST(ReadJsonObject, GoesOnWorkingAfterFailuresAndLargeTexts) {
  for (int i = 0; i < 50; ++i) {
    EXPECT_FALSE(read("{\"text\":"));
    EXPECT_TRUE(read("{\"unknown\":\"" + std::string(300'000, 'x') + "\",\"text\":\"t\"}"));
    EXPECT_EQ(read(R"({"text":"small"})")->text, "small");
  }
}

TEST(ReadJsonObject, ALongFieldNameIsShownInPart) {
  JsonBounds bounds;
  const std::string name(10'000, 'n');
  auto read_field = [](std::string_view, JsonValue& value) -> Result<void> { return value.must_be("something else"); };
  const auto got = read_json_object("{\"" + name + "\":1}", bounds, read_field);
  ASSERT_FALSE(got);
  EXPECT_LT(got.error().message.size(), 120U);
}

}  // namespace
}  // namespace gbgreg::protocols
