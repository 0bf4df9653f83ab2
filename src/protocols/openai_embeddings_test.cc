#include "protocols/openai_embeddings.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "protocols/base64.h"

namespace gbgreg::protocols::openai {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Result<EmbeddingsAsked> parse(std::string_view body, const Limits& limits = {}) {
  return parse_embeddings(body, limits);
}

std::vector<std::string> texts(const Result<EmbeddingsAsked>& asked) {
  std::vector<std::string> all;
  for (const auto& input : asked->request.inputs) all.push_back(std::get<std::string>(input));
  return all;
}

TEST(ParseEmbeddings, TakesATextOrTexts) {
  EXPECT_THAT(texts(parse(R"({"input":"Hello"})")), ElementsAre("Hello"));
  EXPECT_THAT(texts(parse(R"({"input":["größe 🙂"," "]})")), ElementsAre("größe 🙂", " "));
}

TEST(ParseEmbeddings, TakesTokensOrListsOfThem) {
  const auto one = parse(R"({"input":[1,22172,3186.0]})");
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_THAT(one->request.inputs, ElementsAre(llm::EmbedInput(llm::TokenIds{1, 22172, 3186})));
  const auto two = parse(R"({"input":[[1],[2,3]]})");
  ASSERT_TRUE(two) << two.error().message;
  EXPECT_THAT(two->request.inputs,
              ElementsAre(llm::EmbedInput(llm::TokenIds{1}), llm::EmbedInput(llm::TokenIds{2, 3})));
}

TEST(ParseEmbeddings, TakesNullForUnset) {
  const auto asked = parse(
      R"({"input":"x","model":null,"encoding_format":null,"dimensions":null,"user":null,"priority":null,"more":{}})");
  ASSERT_TRUE(asked) << asked.error().message;
  EXPECT_EQ(asked->request.model, "auto");
  EXPECT_EQ(asked->encoding, Encoding::numbers);
  EXPECT_EQ(asked->request.dimensions, std::nullopt);
  EXPECT_EQ(asked->request.too_long, llm::TooLong::refuse);
}

TEST(ParseEmbeddings, ReadsEverythingElse) {
  const auto asked = parse(
      R"({"input":"x","model":"m","encoding_format":"base64","dimensions":256,"user":"u","priority":"batch","deadline_ms":5})");
  ASSERT_TRUE(asked) << asked.error().message;
  EXPECT_EQ(asked->request.model, "m");
  EXPECT_EQ(asked->encoding, Encoding::base64);
  EXPECT_EQ(asked->request.dimensions, 256);
  EXPECT_EQ(asked->request.priority, llm::Priority::batch);
  EXPECT_EQ(asked->request.deadline_ms, 5);
  EXPECT_EQ(parse(R"({"input":"x","encoding_format":"float"})")->encoding, Encoding::numbers);
}

TEST(ParseEmbeddings, NamesTheFieldAtFault) {
  const struct {
    const char* body;
    const char* field;
  } cases[] = {
      {R"({})", R"({"field":"input"})"},
      {R"({"input":null})", R"({"field":"input"})"},
      {R"({"input":""})", R"({"field":"input"})"},
      {R"({"input":[]})", R"({"field":"input"})"},
      {R"({"input":["a",""]})", R"({"field":"input"})"},
      {R"({"input":[[1],[]]})", R"({"field":"input"})"},
      {R"({"input":{}})", R"({"field":"input"})"},
      {R"({"input":3})", R"({"field":"input"})"},
      {R"({"input":true})", R"({"field":"input"})"},
      {R"({"input":[null]})", R"({"field":"input"})"},
      {R"({"input":["a",1]})", R"({"field":"input"})"},
      {R"({"input":[1,"a"]})", R"({"field":"input"})"},
      {R"({"input":[[1],2]})", R"({"field":"input"})"},
      {R"({"input":[{"text":"a"}]})", R"({"field":"input"})"},
      {R"({"input":[-1]})", R"({"field":"input[0]"})"},
      {R"({"input":[1,1.5]})", R"({"field":"input[1]"})"},
      {R"({"input":[2147483648]})", R"({"field":"input[0]"})"},
      {R"({"input":[["a"]]})", R"({"field":"input[0][0]"})"},
      {R"({"input":[[[1]]]})", R"({"field":"input[0][0]"})"},
      {R"({"input":"x","encoding_format":"hex"})", R"({"field":"encoding_format"})"},
      {R"({"input":"x","encoding_format":1})", R"({"field":"encoding_format"})"},
      {R"({"input":"x","dimensions":0})", R"({"field":"dimensions"})"},
      {R"({"input":"x","dimensions":1.5})", R"({"field":"dimensions"})"},
      {R"({"input":"x","model":1})", R"({"field":"model"})"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.body);
    const auto asked = parse(c.body);
    ASSERT_FALSE(asked);
    EXPECT_EQ(asked.error().kind, Kind::malformed);
    EXPECT_EQ(asked.error().code, "invalid_field");
    EXPECT_EQ(asked.error().details_json, c.field);
  }
}

TEST(ParseEmbeddings, SaysWhichInputIsEmpty) {
  EXPECT_THAT(parse(R"({"input":["a","","b"]})").error().message, HasSubstr("Input 1"));
}

TEST(ParseEmbeddings, KeepsToItsBounds) {
  Limits limits;
  limits.inputs_max = 2;
  limits.input_bytes_max = 4;
  limits.text_bytes_max = 6;
  limits.input_tokens_max = 3;
  EXPECT_TRUE(parse(R"({"input":["abcd","ef"]})", limits));
  EXPECT_THAT(parse(R"({"input":["a","b","c"]})", limits).error().message, HasSubstr("at most 2 inputs"));
  EXPECT_THAT(parse(R"({"input":[[1],[2],[3]]})", limits).error().message, HasSubstr("at most 2 inputs"));
  EXPECT_EQ(parse(R"({"input":["a","bcdef"]})", limits).error().code, "input_too_large");
  EXPECT_EQ(parse(R"({"input":["abcd","efg"]})", limits).error().code, "text_too_large");
  EXPECT_TRUE(parse(R"({"input":[[1,2],[3]]})", limits));
  EXPECT_THAT(parse(R"({"input":[[1,2],[3,4]]})", limits).error().message, HasSubstr("at most 3 tokens"));
}

TEST(ParseEmbeddings, TakesAFieldThatIsGivenTwiceAsItWasGivenLast) {
  EXPECT_THAT(texts(parse(R"({"input":["a","b"],"input":"c"})")), ElementsAre("c"));
}

std::string written(Encoding encoding, const llm::Embeddings& made) {
  std::string out;
  EmbeddingsListWriter writer(encoding);
  writer.begin(out, made);
  for (std::size_t i = 0; i < made.vectors.size(); ++i) writer.vector(out, i, made.vectors[i]);
  writer.end(out, made);
  return out;
}

llm::Embeddings answer() {
  llm::Embeddings made = {.vectors = {{0.1F, -1}, {0.25F, 0}}, .prompt_tokens = 7};
  made.notes.model = "an \"embedder\"";
  return made;
}

TEST(EmbeddingsList, HasTheShapeOfTheProtocol) {
  EXPECT_EQ(boost::json::parse(written(Encoding::numbers, answer())), boost::json::parse(R"({"object":"list","data":[
    {"object":"embedding","index":0,"embedding":[0.10000000149011612,-1]},
    {"object":"embedding","index":1,"embedding":[0.25,0]}],
    "model":"an \"embedder\"","usage":{"prompt_tokens":7,"total_tokens":7}})"));
}

TEST(EmbeddingsList, HasTheVerySameNumbersAsLittleEndianFloats) {
  const auto list = boost::json::parse(written(Encoding::base64, answer()));
  EXPECT_EQ(list.at("data").at(0).at("embedding").as_string(), "zczMPQAAgL8=");
  EXPECT_EQ(list.at("data").at(1).at("embedding").as_string(), "AACAPgAAAAA=");
}

}  // namespace
}  // namespace gbgreg::protocols::openai
