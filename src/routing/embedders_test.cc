#include "routing/embedders.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "routing/features.h"
#include "routing/policy.h"

namespace gbgreg::routing {
namespace {

using testing::HasSubstr;

llm::BackendView backend(const std::string& role, const std::string& model, bool embeds) {
  return {.id = role + "/" + model,
          .role = role,
          .model = model,
          .state = llm::BackendState::ready,
          .embeds = embeds,
          .slots_total = 2,
          .slots_free = 2};
}

std::vector<llm::BackendView> mixed() {
  return {backend("technical", "coder:7b", false), backend("embedding", "small:latest", true),
          backend("long", "large", true), backend("spare", "small:latest", true)};
}

TEST(ChooseEmbedder, TakesTheFirstThatIsConfigured) {
  const auto backends = mixed();
  for (const char* asked : {"", "auto"}) {
    const auto decision = choose_embedder(asked, backends);
    ASSERT_TRUE(decision);
    EXPECT_EQ(decision->backend, "embedding/small:latest");
    EXPECT_EQ(decision->role, "embedding");
    EXPECT_FALSE(decision->reason.empty());
  }
}

TEST(ChooseEmbedder, TakesARoleAModelOrAModelWithoutItsTag) {
  const auto backends = mixed();
  EXPECT_EQ(choose_embedder("long", backends)->model, "large");
  EXPECT_EQ(choose_embedder("large:latest", backends)->model, "large");
  EXPECT_EQ(choose_embedder("small", backends)->model, "small:latest");
  EXPECT_EQ(choose_embedder("spare", backends)->backend, "spare/small:latest");
}

// Another model's vectors would be of no use to whoever asks for "auto".
TEST(ChooseEmbedder, ChangesTheBackendButNeverTheModelWhenOneFails) {
  auto backends = mixed();
  backends[1].state = llm::BackendState::failed;
  EXPECT_EQ(choose_embedder("auto", backends)->backend, "spare/small:latest");
  EXPECT_EQ(choose_embedder("embedding", backends)->backend, "embedding/small:latest");
  backends[3].state = llm::BackendState::failed;
  EXPECT_EQ(choose_embedder("auto", backends)->model, "small:latest");
}

TEST(ChooseEmbedder, NamesThoseThatEmbedWhenAnotherWasAsked) {
  const auto backends = mixed();
  for (const char* asked : {"technical", "coder:7b"}) {
    const auto refused = choose_embedder(asked, backends);
    ASSERT_FALSE(refused) << asked;
    EXPECT_EQ(refused.error().kind, Kind::malformed);
    EXPECT_EQ(refused.error().code, "model_cannot_embed");
    EXPECT_THAT(refused.error().message, HasSubstr(R"("small:latest", "large")"));
    EXPECT_EQ(refused.error().details_json, R"({"field":"model","embedding_models":["small:latest","large"]})");
  }
}

TEST(ChooseEmbedder, KnowsNoOtherNames) {
  const auto refused = choose_embedder("text-embedding-3-small", mixed());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::not_found);
  EXPECT_THAT(refused.error().details_json, HasSubstr("\"large\""));
}

TEST(ChooseEmbedder, SaysWhatToConfigureWhenThereIsNone) {
  const std::vector<llm::BackendView> backends = {backend("technical", "coder:7b", false)};
  for (const char* asked : {"auto", "technical"}) {
    const auto refused = choose_embedder(asked, backends);
    ASSERT_FALSE(refused) << asked;
    EXPECT_EQ(refused.error().kind, Kind::refused);
    EXPECT_EQ(refused.error().code, "no_embedding_model");
    EXPECT_THAT(refused.error().message, HasSubstr("`embeddings: true`"));
  }
  EXPECT_EQ(choose_embedder("auto", {}).error().code, "no_embedding_model");
}

// ---- And the other way round: prompts never go to a model that embeds.

TEST(Choose, NeverTakesAModelThatEmbeds) {
  const std::vector<llm::BackendView> only = {backend("coordinator", "small", true)};
  EXPECT_EQ(choose(read_features("Hello"), "auto", only).error().code, "no_model");
  auto backends = mixed();
  backends[0].state = llm::BackendState::failed;
  for (const char* prompt : {"Hello", "Write a poem", "def f(): pass"}) {
    EXPECT_EQ(choose(read_features(prompt), "auto", backends)->role, "technical") << prompt;
  }
  const auto decision = choose(read_features("Hello"), "auto", backends);
  EXPECT_TRUE(decision->alternatives.empty());
  EXPECT_THAT(choose(read_features("what is this", 1), "auto", backends).error().code, "no_vision_model");
}

TEST(Choose, SaysThatAModelOnlyEmbeds) {
  for (const char* asked : {"embedding", "large", "small"}) {
    const auto refused = choose(read_features("Hello"), asked, mixed());
    ASSERT_FALSE(refused) << asked;
    EXPECT_EQ(refused.error().kind, Kind::malformed);
    EXPECT_EQ(refused.error().code, "model_only_embeds");
    EXPECT_THAT(refused.error().message, HasSubstr("/v1/embeddings"));
  }
}

}  // namespace
}  // namespace gbgreg::routing
