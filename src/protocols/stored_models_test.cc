#include "protocols/stored_models.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace gbgreg::protocols {
namespace {

const WallTime kNow{std::chrono::seconds{1'700'000'000}};
const std::string kDigest(64, 'a');

bool is_equal(std::string_view one, std::string_view other) { return one == other; }

std::string ollama_line(const PullStep& step) {
  std::string out;
  ollama::write_pull_step(out, step);
  return out;
}

TEST(PullSteps, AreSaidAsOllamaSaysThem) {
  using Stage = PullStep::Stage;
  EXPECT_EQ(ollama_line({.stage = Stage::manifest}), "{\"status\":\"pulling manifest\"}\n");
  EXPECT_EQ(ollama_line({.stage = Stage::blob, .label = kDigest, .completed_bytes = 0, .total_bytes = 9}),
            "{\"status\":\"pulling aaaaaaaaaaaa\",\"digest\":\"sha256:" + kDigest + "\",\"total\":9}\n");
  EXPECT_EQ(
      ollama_line({.stage = Stage::blob, .label = kDigest, .completed_bytes = 3, .total_bytes = 9}),
      "{\"status\":\"pulling aaaaaaaaaaaa\",\"digest\":\"sha256:" + kDigest + "\",\"total\":9,\"completed\":3}\n");
  EXPECT_EQ(ollama_line({.stage = Stage::verifying}), "{\"status\":\"verifying sha256 digest\"}\n");
  EXPECT_EQ(ollama_line({.stage = Stage::writing}), "{\"status\":\"writing manifest\"}\n");
  EXPECT_EQ(ollama_line({.stage = Stage::done}), "{\"status\":\"success\"}\n");
}

TEST(PullSteps, AreSaidInOurWordsWithTheirUnits) {
  std::string out;
  native::write_pull_step(out, {.stage = PullStep::Stage::blob, .label = "m.gguf", .completed_bytes = 3});
  EXPECT_EQ(out, "{\"stage\":\"fetching\",\"blob\":\"m.gguf\",\"completed_bytes\":3,\"total_bytes\":null}\n");
}

TEST(ParsePull, TakesEitherWordForTheModelAndStreamsUnlessToldOtherwise) {
  const Limits limits;
  EXPECT_EQ(parse_pull(R"({"name":"a","model":"b"})", limits)->model, "b");
  EXPECT_EQ(parse_pull(R"({"name":"a"})", limits)->model, "a");
  EXPECT_TRUE(parse_pull(R"({"model":"b","insecure":true})", limits)->stream);
  EXPECT_FALSE(parse_pull(R"({"model":"b","stream":false})", limits)->stream);
  for (const char* body : {"{}", "[]", R"({"model":5})", R"({"model":"b","stream":"no"})", ""}) {
    EXPECT_FALSE(parse_pull(body, limits)) << body;
  }
}

TEST(Tags, HaveEachModelOnceAndWhatTheStoreKnowsOfIt) {
  std::vector<llm::BackendView> backends(4);
  const char* const names[] = {"stored", "file", "file", "alike"};
  for (std::size_t i = 0; i < backends.size(); ++i) {
    backends[i].model = names[i];
    backends[i].role = "r" + std::to_string(i);
    backends[i].model_bytes = 7;
  }
  std::vector<StoredModel> stored(3);
  stored[0] = {.name = "stored", .digest = kDigest, .size_bytes = 100, .family = "llama", .roles = {"r0"}};
  // A role has a file of its own that is called so, too.
  stored[1] = {.name = "alike", .digest = kDigest, .size_bytes = 200};
  stored[2] = {.name = "other", .digest = kDigest, .size_bytes = 300, .sees_images = true};
  const auto models = boost::json::parse(ollama::write_tags(backends, stored, is_equal, kNow)).at("models").as_array();
  ASSERT_EQ(models.size(), 5U);
  EXPECT_EQ(models[0].at("size"), 100);
  EXPECT_EQ(models[0].at("digest"), boost::json::string(kDigest));
  EXPECT_EQ(models[0].at("details").at("family"), "llama");
  EXPECT_EQ(models[1].at("size"), 7);
  EXPECT_EQ(models[2].at("name"), "alike");
  EXPECT_EQ(models[2].at("size"), 7);
  EXPECT_EQ(models[3].at("name"), "alike");
  EXPECT_EQ(models[3].at("size"), 200);
  EXPECT_EQ(models[4].at("details").at("families").as_array().at(0), "clip");
}

TEST(Models, AreShownWithWhatTheirLayersSay) {
  const StoredModel model{.name = "m",
                          .family = "bert",
                          .template_text = "{{ .Prompt }}",
                          .parameters = "num_ctx 9",
                          .system = "Be brief.",
                          .license = "MIT",
                          .context_tokens = 512,
                          .embedding_numbers = 64,
                          .embeds = true};
  const auto shown = boost::json::parse(ollama::write_model(model));
  EXPECT_EQ(shown.at("template"), "{{ .Prompt }}");
  EXPECT_EQ(shown.at("parameters"), "num_ctx 9");
  EXPECT_EQ(shown.at("system"), "Be brief.");
  EXPECT_EQ(shown.at("license"), "MIT");
  EXPECT_EQ(shown.at("model_info").at("bert.context_length"), 512);
  EXPECT_EQ(shown.at("capabilities").as_array().at(0), "embedding");
}

}  // namespace
}  // namespace gbgreg::protocols
