#include "services/answer_figures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace gbgreg::services {
namespace {

using testing::HasSubstr;
using testing::Not;

class AnswerFiguresTest : public testing::Test {
 protected:
  static llm::BackendView view(std::string role, std::string model, bool embeds) {
    llm::BackendView made;
    made.role = std::move(role);
    made.model = std::move(model);
    made.embeds = embeds;
    return made;
  }
  static llm::AnswerNotes took(double ttft_ms, double total_ms, int objective_ms) {
    llm::AnswerNotes notes;
    notes.objective_ms = objective_ms;
    notes.ttft_ms = ttft_ms;
    notes.total_ms = total_ms;
    return notes;
  }
  static Error failure(Kind kind) { return {.kind = kind, .code = "x", .message = "x"}; }
  std::string text() const { return registry_.prometheus_text(); }

  metrics::Registry registry_{1};
  std::vector<llm::BackendView> backends_{view("technical", "coder", false), view("embedding", "embedder", true),
                                          view("technical", "coder", false)};
  AnswerFigures answers_{registry_, backends_, Work::answer};
  AnswerFigures embeddings_{registry_, backends_, Work::embedding};
};

TEST_F(AnswerFiguresTest, HaveWhatIsConfiguredFromTheStart) {
  EXPECT_THAT(text(), HasSubstr(R"(gbgreg_model_requests_total{role="technical",model="coder",work="answer",)"
                                R"(outcome="answered"} 0)"));
  EXPECT_THAT(text(), HasSubstr(R"(gbgreg_prompt_tokens_total{role="embedding",model="embedder",work="embedding"} 0)"));
  EXPECT_THAT(text(), Not(HasSubstr(R"(model="embedder",work="answer")")));
  EXPECT_THAT(text(), Not(HasSubstr(R"(outcome="busy")")));
}

TEST_F(AnswerFiguresTest, CountAnAnswerWithItsTimesAndTokens) {
  AnswerFigures::Request request(answers_, 0);
  EXPECT_THAT(text(), HasSubstr(R"(gbgreg_model_requests_in_flight{role="none",model="none",work="answer"} 1)"));
  request.chosen("technical", "coder");
  EXPECT_THAT(text(), HasSubstr(R"(gbgreg_model_requests_in_flight{role="none",model="none",work="answer"} 0)"));
  EXPECT_THAT(text(), HasSubstr(R"(gbgreg_model_requests_in_flight{role="technical",model="coder",work="answer"} 1)"));
  request.placed(20);
  request.answered({.prompt_tokens = 7, .completion_tokens = 3}, took(200, 1'500, 1'000));
  const std::string labels = R"({role="technical",model="coder",work="answer"})";
  for (const char* line :
       {"gbgreg_model_requests_in_flight# 0", "gbgreg_prompt_tokens_total# 7", "gbgreg_completion_tokens_total# 3",
        "gbgreg_queue_seconds_sum# 0.02", "gbgreg_first_token_seconds_sum# 0.2", "gbgreg_answer_seconds_sum# 1.5",
        "gbgreg_objective_met_total# 0", "gbgreg_objective_missed_total# 1"}) {
    std::string wanted(line);
    wanted.replace(wanted.find('#'), 1, labels).append("\n");
    EXPECT_THAT(text(), HasSubstr(wanted));
  }
}

TEST_F(AnswerFiguresTest, CountEachRequestOnceByHowItEnded) {
  {
    const AnswerFigures::Request left(answers_, 0);
  }
  {
    AnswerFigures::Request busy(answers_, 0);
    busy.chosen("technical", "coder");
    busy.retried();
    EXPECT_EQ(busy.failed(failure(Kind::busy)).kind, Kind::busy);
    (void)busy.failed(failure(Kind::timed_out));
  }
  {
    (void)AnswerFigures::Request(answers_, 0).failed(failure(Kind::unsatisfiable));
  }
  {
    AnswerFigures::Request(answers_, 0).asked_nothing();
  }
  const std::string all = text();
  EXPECT_THAT(all, HasSubstr(R"(role="none",model="none",work="answer",outcome="cancelled"} 1)"));
  EXPECT_THAT(all, HasSubstr(R"(role="none",model="none",work="answer",outcome="internal"} 1)"));
  EXPECT_THAT(all, HasSubstr(R"(role="technical",model="coder",work="answer",outcome="busy"} 1)"));
  EXPECT_THAT(all, Not(HasSubstr(R"(outcome="timed_out")")));
  EXPECT_THAT(all, HasSubstr(R"(gbgreg_retries_total{role="technical",model="coder",work="answer"} 1)"));
  EXPECT_THAT(all, Not(testing::ContainsRegex("in_flight\\{[^\n]*\\} [^0]")));
}

TEST_F(AnswerFiguresTest, KeepABoundOnModelsThatCameLater) {
  for (std::size_t i = 0; i < AnswerFigures::kModelsMax + 10; ++i) {
    AnswerFigures::Request request(answers_, 0);
    request.chosen("technical", "model-" + std::to_string(i));
    (void)request.failed(failure(Kind::busy));
  }
  EXPECT_THAT(text(), HasSubstr(R"(model="model-0",work="answer",outcome="busy"} 1)"));
  // Two were there before.
  EXPECT_THAT(text(), HasSubstr(R"(role="other",model="other",work="answer",outcome="busy"} 12)"));
}

}  // namespace
}  // namespace gbgreg::services
