#include "protocols/ollama_embeddings.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <string>

namespace gbgreg::protocols::ollama {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Result<llm::EmbedRequest> parse(std::string_view body, EmbedForm form = EmbedForm::several) {
  auto asked = parse_embed(body, {}, form);
  if (!asked) return std::unexpected(std::move(asked.error()));
  return std::move(asked->request);
}

llm::EmbedInput text(const char* words) { return std::string(words); }

TEST(ParseEmbed, TakesATextOrTexts) {
  EXPECT_THAT(parse(R"({"model":"m","input":"Hello"})")->inputs, ElementsAre(text("Hello")));
  EXPECT_THAT(parse(R"({"model":"m","input":["a","","b"]})")->inputs, ElementsAre(text("a"), text(""), text("b")));
  EXPECT_THAT(parse(R"({"model":"m","prompt":"Hello"})", EmbedForm::one)->inputs, ElementsAre(text("Hello")));
}

TEST(ParseEmbed, CutsLongTextsUnlessItIsToldNotTo) {
  EXPECT_EQ(parse(R"({"input":"a"})")->too_long, llm::TooLong::cut);
  EXPECT_EQ(parse(R"({"input":"a","truncate":null})")->too_long, llm::TooLong::cut);
  EXPECT_EQ(parse(R"({"input":"a","truncate":true})")->too_long, llm::TooLong::cut);
  EXPECT_EQ(parse(R"({"input":"a","truncate":false})")->too_long, llm::TooLong::refuse);
}

TEST(ParseEmbed, TakesNothingForAWishToLoad) {
  for (const char* body : {R"({"model":"m"})", R"({"model":"m","input":null})", R"({"model":"m","input":""})",
                           R"({"model":"m","input":[]})", R"({"model":"m","prompt":"of the other form"})"}) {
    const auto asked = parse(body);
    ASSERT_TRUE(asked) << body;
    EXPECT_THAT(asked->inputs, IsEmpty()) << body;
  }
  EXPECT_THAT(parse(R"({"model":"m","prompt":""})", EmbedForm::one)->inputs, IsEmpty());
  EXPECT_EQ(parse(R"({"input":""})").error().code, "prompt_missing");
  EXPECT_THAT(parse("{}", EmbedForm::one).error().message, HasSubstr("\"prompt\""));
  EXPECT_TRUE(parse_embed(R"({"model":"m","keep_alive":0})", {}, EmbedForm::several)->leaves_at_once);
  EXPECT_TRUE(parse_embed(R"({"input":"a","keep_alive":"0"})", {}, EmbedForm::several)->leaves_at_once);
  EXPECT_FALSE(parse_embed(R"({"model":"m","keep_alive":5})", {}, EmbedForm::several)->leaves_at_once);
}

TEST(ParseEmbed, ReadsEverythingElse) {
  const auto asked = parse(R"({"name":"m","input":"a","dimensions":64,"keep_alive":"5m","priority":"batch",
    "deadline_ms":9,"options":{"num_ctx":99,"temperature":0.5,"unknown":1},"unknown":[]})");
  ASSERT_TRUE(asked) << asked.error().message;
  EXPECT_EQ(asked->model, "m");
  EXPECT_EQ(asked->dimensions, 64);
  EXPECT_EQ(asked->priority, llm::Priority::batch);
  EXPECT_EQ(asked->deadline_ms, 9);
  EXPECT_THAT(asked->ignored_options, ElementsAre("num_ctx"));
  EXPECT_EQ(parse(R"({"name":"old","model":"new","input":"a"})")->model, "new");
  EXPECT_EQ(parse(R"({"input":"a"})")->model, "auto");
}

TEST(ParseEmbed, NamesTheFieldAtFault) {
  const struct {
    const char* body;
    EmbedForm form;
    const char* says;
  } cases[] = {
      {R"({"input":1})", EmbedForm::several, "\"input\" must be a string or an array of strings"},
      {R"({"input":[1]})", EmbedForm::several, "\"input[0]\" must be a string"},
      {R"({"input":[null]})", EmbedForm::several, "\"input[0]\" must be a string"},
      {R"({"prompt":["a"]})", EmbedForm::one, "\"prompt\" must be a string"},
      {R"({"input":"a","truncate":"no"})", EmbedForm::several, "\"truncate\" must be true or false"},
      {R"({"input":"a","dimensions":-1})", EmbedForm::several, "\"dimensions\" must be"},
      {R"({"input":"a","options":{"temperature":9}})", EmbedForm::several, "\"options.temperature\" must be"},
      {R"({"input":"a","keep_alive":"soon"})", EmbedForm::several, "\"keep_alive\" must be"},
      {R"({"input":"a")", EmbedForm::several, "JSON"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.body);
    const auto asked = parse(c.body, c.form);
    ASSERT_FALSE(asked);
    EXPECT_EQ(asked.error().kind, Kind::malformed);
    EXPECT_THAT(asked.error().message, HasSubstr(c.says));
  }
}

boost::json::object written(EmbedForm form, const llm::Embeddings& answer) {
  std::string out;
  EmbedWriter writer(form);
  writer.begin(out, answer);
  for (std::size_t i = 0; i < answer.vectors.size(); ++i) writer.vector(out, i, answer.vectors[i]);
  writer.end(out, answer);
  return boost::json::parse(out).as_object();
}

TEST(EmbedWriter, HasTheShapeOfTheProtocol) {
  llm::Embeddings answer = {.vectors = {{0.6F, 0.8F}, {1, 0}}, .prompt_tokens = 9, .load = std::chrono::nanoseconds{5}};
  answer.notes.model = "m";
  answer.notes.total_ms = 1.5;
  answer.notes.dropped_tokens = 3;
  auto several = written(EmbedForm::several, answer);
  EXPECT_EQ(several["model"], "m");
  EXPECT_EQ(several["embeddings"].at(0).at(0), 0.6F);
  EXPECT_EQ(several["embeddings"].as_array().size(), 2U);
  EXPECT_EQ(several["total_duration"], 1'500'000);
  EXPECT_EQ(several["load_duration"], 5);
  EXPECT_EQ(several["prompt_eval_count"], 9);
  EXPECT_EQ(several["gbgreg"].at("truncated").at("dropped_tokens"), 3);
  EXPECT_FALSE(several.contains("embedding"));

  answer.vectors.resize(1);
  auto one = written(EmbedForm::one, answer);
  EXPECT_EQ(one["embedding"].as_array().size(), 2U);
  EXPECT_FALSE(one.contains("embeddings"));
}

TEST(EmbedWriter, HasNoVectorsWhereAModelWasLoaded) {
  EXPECT_TRUE(written(EmbedForm::several, {})["embeddings"].as_array().empty());
  EXPECT_TRUE(written(EmbedForm::one, {})["embedding"].as_array().empty());
}

}  // namespace
}  // namespace gbgreg::protocols::ollama
