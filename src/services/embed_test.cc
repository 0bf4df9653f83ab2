// What is asked of a backend for many texts, for long ones and for shorter vectors, and what becomes of its answers and
// failures.
#include "services/embed.h"

#include <gmock/gmock.h>

#include <chrono>
#include <cmath>
#include <deque>
#include <functional>
#include <limits>
#include <optional>
#include <thread>

#include "services/test_fleet.h"

namespace gbgreg::services {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using Inputs = std::vector<llm::EmbedInput>;
using Vectors = std::vector<llm::Vector>;

llm::EmbedInput text(const std::string& words) { return words; }

// What the backends are asked, and what they answer unless they are told something else.
struct Script {
  std::vector<Inputs> asked = {};
  std::vector<std::string> cut = {};  // Texts of which the tokens were wanted.
  std::deque<std::function<Result<llm::EmbedBatch>(const Inputs&)>> next = {};
  std::size_t numbers = 2;
  std::size_t tokens_max = 1000;
  llm::TokenIds before = {1}, behind = {2};  // What the model puts around a text.
};

// A token is a character: its vector begins with the number of the first token that is none of those around a text.
class ScriptedEmbedder final : public backends::Backend {
 public:
  explicit ScriptedEmbedder(Script& script) : script_(script) {}

  Task<Result<llm::EmbedBatch>> embed(net::IoThread&, std::span<const llm::EmbedInput> inputs, SteadyTime,
                                      std::string_view) override {
    script_.asked.emplace_back(inputs.begin(), inputs.end());
    if (!script_.next.empty()) {
      const auto answer = std::move(script_.next.front());
      script_.next.pop_front();
      co_return answer(script_.asked.back());
    }
    llm::EmbedBatch batch;
    for (const llm::EmbedInput& input : inputs) {
      const llm::TokenIds tokens = tokens_of(input);
      if (tokens.size() > script_.tokens_max) co_return fail(Kind::malformed, "prompt_too_long", "Too long.");
      llm::Vector vector(script_.numbers, 1);
      vector.front() = static_cast<float>(tokens[script_.before.size()]);
      batch.vectors.push_back(std::move(vector));
      batch.prompt_tokens += static_cast<int>(tokens.size());
    }
    co_return batch;
  }
  Task<Result<llm::TokenIds>> tokens(net::IoThread&, std::string_view words, SteadyTime) override {
    script_.cut.emplace_back(words);
    co_return tokens_of(std::string(words));
  }

  Task<Result<llm::Completion>> generate(net::IoThread&, const llm::Request&, llm::Sink&) override {
    co_return llm::Completion{};
  }
  Task<Result<int>> count_tokens(net::IoThread&, const llm::Request&) override { co_return 0; }
  Task<Result<void>> post(net::IoThread&, const backends::Post&, backends::ByteSink&) override {
    co_return Result<void>{};
  }
  Task<Result<protocols::ServerModels>> check(net::IoThread&, SteadyTime) override {
    co_return protocols::ServerModels{};
  }

 private:
  llm::TokenIds tokens_of(const llm::EmbedInput& input) const {
    if (const auto* tokens = std::get_if<llm::TokenIds>(&input)) return *tokens;
    llm::TokenIds tokens = script_.before;
    for (const char letter : std::get<std::string>(input)) tokens.push_back(letter);
    tokens.insert(tokens.end(), script_.behind.begin(), script_.behind.end());
    return tokens;
  }

  Script& script_;  // Used on the test's thread alone.
};

class EmbedTest : public FleetTest {
 public:
  EmbedTest() {
    add_worker("technical", "coder");
    add_worker("embedding", "embedder").embeds = true;
  }
  ~EmbedTest() override { fleet_.reset(); }  // Its backends use the script.

 protected:
  fleet::WorkerOptions& embedder() { return options_.workers[1]; }

  Result<llm::Embeddings> embed(llm::EmbedRequest request) {
    fleet::Fleet& fleet = start_fleet();
    if (!embed_) embed_ = std::make_unique<Embed>(fleet, registry_, jumping_clock_, embed_options_);
    std::optional<Result<llm::Embeddings>> result;
    auto story = [](Embed& service, net::IoThread& io, llm::EmbedRequest asked, llm::AnswerNotes& chosen,
                    std::optional<Result<llm::Embeddings>>& out) -> Task<void> {
      out.emplace(co_await service.embed(io, std::move(asked), chosen));
    };
    chosen_ = {};
    spawn(io_.executor(), "test", story(*embed_, io_, std::move(request), chosen_, result));
    return wait_for(result);
  }
  Result<llm::Embeddings> embed(Inputs inputs) { return embed({.id = "r", .inputs = std::move(inputs)}); }

  std::shared_ptr<backends::Backend> make_backend(const std::string&) override {
    return std::make_shared<ScriptedEmbedder>(script_);
  }

  void answer_once(Vectors vectors) {
    script_.next.emplace_back([vectors = std::move(vectors)](const Inputs&) {
      return llm::EmbedBatch{.vectors = vectors, .prompt_tokens = 1};
    });
  }
  void fail_once(Error error) {
    script_.next.emplace_back([error = std::move(error)](const Inputs&) { return std::unexpected(error); });
  }
  static Error broke() { return {.kind = Kind::backend_failed, .code = "backend_failed", .message = "It broke."}; }

  int figure(const std::string& name) {
    const std::string series = name + R"({role="embedding",model="embedder",work="embedding"})";
    return std::stoi(metric(series).substr(series.size()));
  }

  Script script_;
  EmbedOptions embed_options_;
  llm::AnswerNotes chosen_;
  std::unique_ptr<Embed> embed_;
};

TEST_F(EmbedTest, AsksTheModelThatEmbedsAndSaysSo) {
  const auto answer = embed(Inputs{text("a")});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->notes.role, "embedding");
  EXPECT_EQ(answer->notes.model, "embedder");
  EXPECT_EQ(answer->notes.backend, "embedding/embedder");
  EXPECT_EQ(answer->notes.request_id, "r");
  EXPECT_EQ(answer->notes.kept_tokens, 3);
  EXPECT_EQ(answer->notes.dropped_tokens, 0);
  EXPECT_EQ(answer->prompt_tokens, 3);
  EXPECT_EQ(chosen_.model, "embedder");
  EXPECT_GT(answer->notes.total_ms, 0);
  EXPECT_EQ(metric("gbgreg_embedded_inputs_total"), "gbgreg_embedded_inputs_total 1");
  EXPECT_EQ(figure("gbgreg_prompt_tokens_total"), 3);
  EXPECT_EQ(figure("gbgreg_objective_met_total"), 1);
  EXPECT_EQ(figure("gbgreg_queue_seconds_count"), 1);
}

TEST_F(EmbedTest, AsksForAFewAtATimeAndKeepsTheirOrder) {
  embed_options_.inputs_at_once = 3;
  const auto answer = embed(Inputs{text("a"), text("bbb"), text("c"), text("d"), text("eee"), text("f"), text("g")});
  ASSERT_TRUE(answer);
  EXPECT_THAT(script_.asked, ElementsAre(SizeIs(3), SizeIs(3), SizeIs(1)));
  EXPECT_EQ(answer->prompt_tokens, 7 * 2 + 11);
  ASSERT_THAT(answer->vectors, SizeIs(7));
  for (std::size_t i = 0; i < 7; ++i) {
    EXPECT_FLOAT_EQ(answer->vectors[i][0] / answer->vectors[i][1], static_cast<float>('a' + i));
  }
}

TEST_F(EmbedTest, MakesVectorsOfUnitLength) {
  constexpr float kMax = std::numeric_limits<float>::max();
  answer_once({{3, 4}, {kMax, kMax}, {0, -1e-40F}});
  const auto answer = embed(Inputs{text("a"), text("b"), text("c")});
  ASSERT_TRUE(answer);
  EXPECT_THAT(answer->vectors[0], ElementsAre(0.6F, 0.8F));
  EXPECT_FLOAT_EQ(answer->vectors[1][0], std::sqrt(0.5F));
  EXPECT_THAT(answer->vectors[2], ElementsAre(0, -1));
}

TEST_F(EmbedTest, OnlyLoadsTheModelWhenNothingIsAsked) {
  // Asleep, or it could be ready before it is asked.
  fleet::Fleet& fleet = start_fleet();
  const auto wait_for_state = [&fleet](llm::BackendState state) {
    while (fleet.views()[1].state != state) std::this_thread::yield();
  };
  wait_for_state(llm::BackendState::ready);
  fleet.tell({"embedding/embedder"}, fleet::Order::unload);
  wait_for_state(llm::BackendState::sleeping);
  const auto answer = embed(Inputs{});
  ASSERT_TRUE(answer);
  EXPECT_THAT(answer->vectors, IsEmpty());
  EXPECT_THAT(script_.asked, IsEmpty());
  EXPECT_GT(answer->load.count(), 0);
  // The slot is given back; the fleet's thread may still be at the picture that shows it.
  const auto all_free = [this] {
    const auto view = start_fleet().views()[1];
    return view.slots_free == view.slots_total;
  };
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{30};
  while (!all_free() && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  EXPECT_TRUE(all_free());
}

// ---- Texts that are too long.

TEST_F(EmbedTest, RefusesATextThatIsTooLong) {
  script_.tokens_max = 5;
  embedder().context_tokens = 5;
  const auto refused = embed(Inputs{text("abc"), text("abcdef")});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::malformed);
  EXPECT_EQ(refused.error().code, "prompt_too_long");
  EXPECT_THAT(refused.error().message, HasSubstr("5 tokens"));
  EXPECT_EQ(refused.error().details_json, R"({"field":"input","context_tokens":5})");
  EXPECT_THAT(script_.cut, IsEmpty());
  EXPECT_THAT(script_.asked, SizeIs(1)) << "it is not tried again";
}

TEST_F(EmbedTest, CutsTextsThatAreTooLongAndSaysByHowMuch) {
  script_.tokens_max = 5;
  embedder().context_tokens = 5;
  embed_options_.inputs_at_once = 3;
  llm::EmbedRequest request = {.inputs = {text("abc"), text("abcdef"), text("ab"), text("x")}};
  request.too_long = llm::TooLong::cut;
  const auto answer = embed(request);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_THAT(answer->vectors, SizeIs(4));
  EXPECT_EQ(answer->notes.dropped_tokens, 3);
  EXPECT_EQ(answer->notes.kept_tokens, 5 + 5 + 4 + 3);
  // What the model wants around a text stays; what fits is sent as it is.
  EXPECT_THAT(script_.asked[1],
              ElementsAre(text("abc"), llm::EmbedInput(llm::TokenIds{1, 'a', 'b', 'c', 2}), text("ab")));
  EXPECT_THAT(script_.cut, ElementsAre("", "abc", "abcdef", "ab"));
}

TEST_F(EmbedTest, CutsWhateverTheModelWantsAroundAText) {
  const struct {
    llm::TokenIds before, behind, sent;
  } cases[] = {{{1}, {}, {1, 'a', 'b', 'c'}}, {{}, {2}, {'a', 'b', 'c', 2}}, {{}, {}, {'a', 'b', 'c', 'd'}}};
  embedder().context_tokens = 4;
  script_.tokens_max = 4;
  llm::EmbedRequest request = {.inputs = {text("abcdefg")}};
  request.too_long = llm::TooLong::cut;
  for (const auto& c : cases) {
    script_.before = c.before;
    script_.behind = c.behind;
    ASSERT_TRUE(embed(request));
    EXPECT_THAT(script_.asked.back(), ElementsAre(llm::EmbedInput(c.sent)));
  }
}

TEST_F(EmbedTest, RefusesWhatIsTooLongEvenWhenCut) {
  embedder().context_tokens = 9;
  script_.tokens_max = 5;
  llm::EmbedRequest request = {.inputs = {text("abcdefghijkl")}};
  request.too_long = llm::TooLong::cut;
  EXPECT_EQ(embed(request).error().code, "prompt_too_long");
  EXPECT_THAT(script_.asked, SizeIs(2));
}

// ---- Shorter vectors.

TEST_F(EmbedTest, CutsVectorsOfModelsThatAreMadeForIt) {
  embedder().dimensions_min = 2;
  script_.numbers = 4;
  const auto answer = embed({.inputs = {text("a"), text("b")}, .dimensions = 3});
  ASSERT_TRUE(answer) << answer.error().message;
  for (const auto& vector : answer->vectors) {
    ASSERT_THAT(vector, SizeIs(3));
    EXPECT_NEAR(std::hypot(vector[0], vector[1], vector[2]), 1, 1e-6);
  }
  EXPECT_THAT(embed({.inputs = {text("a")}, .dimensions = 4})->vectors[0], SizeIs(4));
}

TEST_F(EmbedTest, RefusesDimensionsThatTheModelCannotHave) {
  script_.numbers = 4;
  EXPECT_TRUE(embed({.inputs = {text("a")}, .dimensions = 4}));
  const auto refused = [&](int dimensions) {
    const auto answer = embed({.inputs = {text("a")}, .dimensions = dimensions});
    if (answer) return std::string("it was answered");
    EXPECT_EQ(answer.error().kind, Kind::malformed);
    EXPECT_EQ(answer.error().details_json, R"({"field":"dimensions"})");
    return answer.error().message;
  };
  EXPECT_THAT(refused(5), HasSubstr("at most 4"));
  EXPECT_THAT(refused(3), HasSubstr("must be 4, or left out"));
}

TEST_F(EmbedTest, RefusesVectorsThatAreTooShortForTheModel) {
  embedder().dimensions_min = 3;
  script_.numbers = 4;
  const auto refused = embed({.inputs = {text("a")}, .dimensions = 2});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("from 3 to 4"));
}

TEST_F(EmbedTest, RefusesMoreThanItMayHold) {
  embed_options_.numbers_max = 5;
  EXPECT_TRUE(embed(Inputs{text("a"), text("b")}));
  const auto refused = embed(Inputs{text("a"), text("b"), text("c")});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::too_large);
  EXPECT_EQ(refused.error().code, "embeddings_too_large");
}

// ---- What goes wrong.

TEST_F(EmbedTest, TakesNoAnswerThatIsNone) {
  embed_options_.inputs_at_once = 2;
  const struct {
    const char* name;
    std::vector<Vectors> answers;
  } cases[] = {
      {"no direction", {{{0, 0}, {1, 0}}}},
      {"too few", {{{1, 0}}}},
      {"several lengths", {{{1, 0}, {1, 0, 0}}}},
      {"other lengths later", {{{1, 0}, {0, 1}}, {{1, 0, 0}}}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    for (int attempt = 0; attempt < 2; ++attempt) {
      for (const auto& vectors : c.answers) answer_once(vectors);
    }
    const auto refused = embed(Inputs{text("a"), text("b"), text("c")});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, Kind::backend_failed);
    EXPECT_THAT(script_.next, IsEmpty());
  }
}

TEST_F(EmbedTest, BeginsAnewAfterAWorkerBrokeDown) {
  embed_options_.inputs_at_once = 1;
  answer_once({{1, 0}});
  fail_once(broke());
  const auto answer = embed(Inputs{text("a"), text("b")});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_THAT(answer->vectors, SizeIs(2));
  EXPECT_EQ(answer->prompt_tokens, 6);
  EXPECT_THAT(script_.asked, ElementsAre(ElementsAre(text("a")), ElementsAre(text("b")), ElementsAre(text("a")),
                                         ElementsAre(text("b"))));
  EXPECT_EQ(figure("gbgreg_retries_total"), 1);
}

TEST_F(EmbedTest, GivesUpOnARequestThatBrokeTwoWorkersDown) {
  for (int i = 0; i < 3; ++i) fail_once(broke());
  const auto refused = embed(Inputs{text("a")});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "backend_failed_again");
  EXPECT_THAT(script_.asked, SizeIs(2));
  EXPECT_EQ(chosen_.model, "embedder");
}

TEST_F(EmbedTest, DoesNotTryAgainWhatTheWorkerRefuses) {
  fail_once({.kind = Kind::malformed, .code = "unknown_tokens", .message = "No such token."});
  EXPECT_EQ(embed(Inputs{llm::TokenIds{99}}).error().code, "unknown_tokens");
  EXPECT_THAT(script_.asked, SizeIs(1));
}

TEST_F(EmbedTest, HandsOnWhatRoutingSays) {
  EXPECT_EQ(embed({.model = "coder", .inputs = {text("a")}}).error().code, "model_cannot_embed");
  EXPECT_EQ(embed({.model = "none", .inputs = {text("a")}}).error().code, "model_not_found");
  EXPECT_THAT(script_.asked, IsEmpty());
}

TEST_F(EmbedTest, ChoosesAgainWhenItsModelIsTakenOutOfTheConfiguration) {
  embedder().slots = 1;
  fleet::Fleet& fleet = start_fleet();
  std::optional<Result<fleet::Lease>> held;
  auto hold = [](fleet::Fleet& of, std::optional<Result<fleet::Lease>>& out) -> Task<void> {
    const SteadyTime deadline = SystemClock().steady() + std::chrono::minutes(1);
    out.emplace(co_await of.lease("embedding/embedder", llm::Priority::interactive, deadline));
  };
  spawn(io_.executor(), "test", hold(fleet, held));
  auto lease = wait_for(held);
  ASSERT_TRUE(lease);
  std::thread reconfiguring([&] {
    while (fleet.snapshot()->back().queued == 0) std::this_thread::yield();
    embedder().model = "other";
    EXPECT_TRUE(fleet.reconfigure(options_));
    while (fleet.snapshot()->back().model == "embedder") std::this_thread::yield();
  });
  const auto answer = embed(Inputs{text("a")});
  reconfiguring.join();
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->notes.model, "other");
  *lease = fleet::Lease();
}

}  // namespace
}  // namespace gbgreg::services
