#include "protocols/engine_embeddings.h"

#include <gmock/gmock.h>

#include <bit>
#include <limits>
#include <string>
#include <vector>

#include "protocols/base64.h"
#include "protocols/engine_wire.h"

namespace gbgreg::protocols::engine_wire {
namespace {

using testing::ElementsAre;

std::string base64_of(const std::vector<float>& numbers) {
  std::string bytes;
  for (const float number : numbers) {
    const auto bits = std::bit_cast<std::uint32_t>(number);
    for (const unsigned shift : {0U, 8U, 16U, 24U}) bytes += static_cast<char>(bits >> shift & 0xFFU);
  }
  std::string text;
  append_base64(text, bytes);
  return text;
}

std::string element(int index, const std::vector<float>& numbers) {
  return R"({"embedding":")" + base64_of(numbers) + R"(","index":)" + std::to_string(index) +
         R"(,"object":"embedding","encoding_format":"base64"})";
}

std::string answer(const std::string& elements, const std::string& usage = R"({"prompt_tokens":7,"total_tokens":7})") {
  return R"({"model":"m","object":"list","usage":)" + usage + R"(,"data":[)" + elements + "]}";
}

TEST(EmbedRequest, AsksForTextsAndForTokens) {
  const std::vector<llm::EmbedInput> inputs = {std::string("a \"b\"\n"), llm::TokenIds{1, 2147483647}};
  EXPECT_EQ(write_embed_request(inputs),
            "{\"encoding_format\":\"base64\",\"input\":[\"a \\\"b\\\"\\n\",[1,2147483647]]}");
}

TEST(EmbedAnswer, GivesTheVeryNumbersInTheOrderOfTheInputs) {
  const std::vector<float> first = {0.1F, -1e-42F, std::numeric_limits<float>::max()};
  const std::vector<float> second = {-0.0F, 1, 2};
  for (const auto& elements :
       {element(0, first) + "," + element(1, second), element(1, second) + "," + element(0, first)}) {
    const auto read = read_embeddings(answer(elements), 2);
    ASSERT_TRUE(read) << read.error().detail;
    EXPECT_THAT(read->vectors, ElementsAre(first, second));
    EXPECT_EQ(read->prompt_tokens, 7);
  }
}

TEST(EmbedAnswer, IsNoneWhenItIsNotWhatWasAskedFor) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::string good = element(0, {1, 2});
  const struct {
    const char* name;
    std::string body;
  } cases[] = {
      {"not a number", answer(good + "," + element(1, {1, kNan}))},
      {"infinite", answer(good + "," + element(1, {-kInfinity, 1}))},
      {"too few", answer(good)},
      {"too many", answer(good + "," + element(1, {1, 2}) + "," + element(2, {1, 2}))},
      {"the same twice", answer(good + "," + good)},
      {"a negative index", answer(good + "," + element(-1, {1, 2}))},
      {"of another length", answer(good + "," + element(1, {1, 2, 3}))},
      {"empty", answer(good + "," + element(1, {}))},
      {"without an index", answer(good + R"(,{"embedding":")" + base64_of({1, 2}) + "\"}")},
      {"numbers in the open", answer(good + R"(,{"embedding":[1,2],"index":1})")},
      {"null", answer(good + R"(,{"embedding":null,"index":1})")},
      {"not base64", answer(good + R"(,{"embedding":"AAA","index":1})")},
      {"half a float", answer(good + R"(,{"embedding":"AAAAAAA=","index":1})")},
      {"no list", R"({"usage":{"prompt_tokens":1},"data":{}})"},
      {"no count of tokens", R"({"data":[)" + good + "," + element(1, {1, 2}) + "]}"},
      {"a count that is none", answer(good + "," + element(1, {1, 2}), R"({"prompt_tokens":-1})")},
      {"an error", R"({"error":{"message":"x"}})"},
      {"no JSON", "<html>"},
      {"nothing", ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto read = read_embeddings(c.body, 2);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().kind, Kind::backend_failed);
    EXPECT_EQ(read.error().code, "backend_failed");
  }
}

TEST(Tokens, AreAskedForWithThoseAroundTheText) {
  EXPECT_EQ(write_tokenize_request("a\"b"), "{\"add_special\":true,\"content\":\"a\\\"b\"}");
  EXPECT_THAT(*read_tokens(R"({"tokens":[1,22172,0]})"), ElementsAre(1, 22172, 0));
  EXPECT_TRUE(read_tokens(R"({"tokens":[]})")->empty());
}

TEST(Tokens, AreNoneWhenTheyAreNotTokens) {
  for (const char* body : {"", "{}", R"({"tokens":null})", R"({"tokens":["a"]})", R"({"tokens":[-1]})",
                           R"({"tokens":[1.5]})", R"({"tokens":[4294967296]})"}) {
    const auto read = read_tokens(body);
    ASSERT_FALSE(read) << body;
    EXPECT_EQ(read.error().code, "backend_failed");
  }
}

TEST(EmbedError, SaysWhatIsWrongWithTheInputs) {
  const struct {
    int status;
    const char* type;
    const char* message;
    const char* code;
  } cases[] = {
      {400, "invalid_request_error", "Prompt contains invalid tokens", "unknown_tokens"},
      {400, "invalid_request_error", "Input content cannot be empty", "input_empty"},
      {400, "exceed_context_size_error",
       "input (513 tokens) is larger than the max context size (512 tokens). skipping", "prompt_too_long"},
      {500, "server_error",
       "input (513 tokens) is too large to process. increase the physical batch size (current batch size: 512)",
       "prompt_too_long"},
  };
  for (const auto& c : cases) {
    const std::string body =
        R"({"error":{"type":")" + std::string(c.type) + R"(","message":")" + std::string(c.message) + R"("}})";
    const Error error = read_error(c.status, body);
    EXPECT_EQ(error.kind, Kind::malformed) << c.code;
    EXPECT_EQ(error.code, c.code);
  }
}

}  // namespace
}  // namespace gbgreg::protocols::engine_wire
