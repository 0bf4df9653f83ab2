#include "services/attached.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <utility>

namespace gbgreg::services {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Counts a token for so many bytes of the messages, or says that it cannot.
class CountingBackend final : public backends::Backend {
 public:
  std::optional<int> bytes_a_token = 1;
  int counts = 0;

  Task<Result<int>> count_tokens(net::IoThread&, const llm::Request& request) override {
    ++counts;
    if (!bytes_a_token) co_return fail(Kind::unsupported, "no", "No.");
    std::size_t bytes = 0;
    for (const auto& message : request.messages) bytes += message.text.size();
    co_return static_cast<int>(bytes) / *bytes_a_token;
  }
  Task<Result<llm::Completion>> generate(net::IoThread&, const llm::Request&, llm::Sink&) override {
    co_return llm::Completion{};
  }
  Task<Result<llm::EmbedBatch>> embed(net::IoThread&, std::span<const llm::EmbedInput>, SteadyTime,
                                      std::string_view) override {
    co_return llm::EmbedBatch{};
  }
  Task<Result<llm::TokenIds>> tokens(net::IoThread&, std::string_view, SteadyTime) override {
    co_return llm::TokenIds{};
  }
  Task<Result<void>> post(net::IoThread&, const backends::Post&, backends::ByteSink&) override {
    co_return Result<void>{};
  }
  Task<Result<protocols::ServerModels>> check(net::IoThread&, SteadyTime) override {
    co_return protocols::ServerModels{};
  }
};

std::string lines(int count) {
  std::string text;
  for (int i = 1; i <= count; ++i) text += "line " + std::to_string(i) + "\n";
  return text;
}

class AttachedTest : public testing::Test {
 protected:
  AttachedTest() { request_.messages = {{.text = "What is in them?"}}; }

  void add(const std::string& id, const std::string& path, const std::string& text) {
    const Fenced file = fenced(path, text);
    attached_.texts.push_back({.upload_id = id,
                               .path = path,
                               .offset = texts_.size() + file.offset,
                               .bytes = text.size(),
                               .note_bytes = file.note_bytes,
                               .size_bytes = text.size()});
    texts_ += file.text;
    request_.messages[0].text = texts_ + "\nWhat is in them?";
  }
  void fit_into(int context_tokens) {
    std::optional<bool> done;
    auto story = [](AttachedTest& test, int tokens, std::optional<bool>& ended) -> Task<void> {
      co_await fit(test.io_, test.request_, test.attached_, test.backend_, tokens);
      ended = true;
    };
    spawn(io_.executor(), "test", story(*this, context_tokens, done));
    io_.context().restart();
    auto guard = asio::make_work_guard(io_.context());
    while (!done) io_.context().run_one();
  }
  const std::string& message() { return request_.messages[0].text; }
  std::string text_of(std::size_t which) {
    return message().substr(attached_.texts[which].offset, attached_.texts[which].bytes);
  }
  llm::AnswerNotes told() {
    llm::AnswerNotes notes;
    tell(attached_, request_, notes);
    return notes;
  }

  net::Options net_options_;
  net::IoThread io_{0, net_options_};
  CountingBackend backend_;
  llm::Request request_;
  Attached attached_;
  std::string texts_;
};

TEST(Fenced, NoTextEndsItsOwnFence) {
  EXPECT_EQ(fenced("a.txt", "hello").text, "\nFile a.txt:\n```\nhello\n```\n");
  EXPECT_EQ(fenced("a.md", "```\n````\n").text, "\nFile a.md:\n`````\n```\n````\n`````\n");
  EXPECT_EQ(fenced("a", "").text, "\nFile a:\n```\n\n```\n");
  for (const char* text : {"hello", "hello\n", "````", ""}) {
    const Fenced file = fenced("a.txt", text);
    EXPECT_EQ(file.text.substr(file.offset).find(text), 0U);
  }
}

TEST(FairShares, LeavesWhatSmallOnesDoNotNeedToTheLargeOnes) {
  EXPECT_THAT(fair_shares({10, 1000, 20}, 2000), ElementsAre(10, 1000, 20));
  EXPECT_THAT(fair_shares({10, 1000, 20, 500}, 430), ElementsAre(10, 200, 20, 200));
  EXPECT_THAT(fair_shares({300, 300}, 1), ElementsAre(0, 1));
  EXPECT_THAT(fair_shares({300, 300}, 0), ElementsAre(0, 0));
  EXPECT_THAT(fair_shares({}, 7), ElementsAre());
}

TEST_F(AttachedTest, LargeTextsAreCutBehindALineAndSaySo) {
  add("u1", "small.txt", lines(3));
  add("u2", "large.log", lines(200));
  add("u3", "last.txt", "no line's end");
  const std::string small = lines(3), large = lines(200);
  keep_bytes(attached_, request_, 500);
  EXPECT_EQ(text_of(0), small);
  EXPECT_EQ(text_of(2), "no line's end");
  const std::string kept = text_of(1);
  EXPECT_LE(attached_.text_bytes(), 500U);
  EXPECT_GT(kept.size(), 300U);
  EXPECT_TRUE(kept.ends_with("\n"));
  EXPECT_TRUE(large.starts_with(kept));
  EXPECT_THAT(message(),
              HasSubstr(kept + "[Cut here: " + std::to_string(kept.size()) + " of " + std::to_string(large.size()) +
                        " bytes. The rest does not fit into the model's context.]\n```\n\nFile last.txt:"));
  EXPECT_TRUE(message().ends_with("```\n\nWhat is in them?"));

  // Once more, and the note does not stand there twice.
  keep_bytes(attached_, request_, 200);
  EXPECT_EQ(message().find("[Cut here"), message().rfind("[Cut here"));
  EXPECT_EQ(text_of(0), small);
  EXPECT_TRUE(message().ends_with("```\n\nWhat is in them?"));
}

TEST_F(AttachedTest, ALineWithoutAnEndIsCutBetweenTwoCharacters) {
  std::string euros;
  for (int i = 0; i < 100; ++i) euros += "\u20AC";
  add("u1", "one-line.txt", euros);
  keep_bytes(attached_, request_, 100);
  EXPECT_EQ(attached_.texts[0].bytes, 99U);
  EXPECT_THAT(message(), HasSubstr("\u20AC\n[Cut here: 99 of 300 bytes."));
}

TEST_F(AttachedTest, WhatHasFewerBytesThanTheContextHasTokensIsNotCounted) {
  add("u1", "a.txt", lines(20));
  const std::string before = message();
  fit_into(4096);
  EXPECT_EQ(backend_.counts, 0);
  EXPECT_EQ(message(), before);
  EXPECT_EQ(told().dropped_tokens, 0);
  ASSERT_EQ(told().sources.size(), 1U);
  EXPECT_EQ(told().sources[0].last_line, 20);
}

TEST_F(AttachedTest, WhatDoesNotFitIsCutAndCounted) {
  add("u1", "small.txt", lines(2));
  add("u2", "large.log", lines(5000));
  for (const auto& [bytes_a_token, context] : {std::pair(1, 2048), {3, 1024}, {7, 512}}) {
    SCOPED_TRACE(bytes_a_token);
    Attached attached = attached_;
    llm::Request request = request_;
    backend_.bytes_a_token = bytes_a_token;
    const int before = static_cast<int>(message().size()) / bytes_a_token;
    fit_into(context);
    const int after = static_cast<int>(message().size()) / bytes_a_token;
    const int room = context - std::min(512, context / 4);
    EXPECT_LE(after, room);
    EXPECT_GE(after, room * 3 / 4) << "much more was cut than had to be";
    // What was cut before anything was counted is known by its bytes only.
    EXPECT_NEAR(told().dropped_tokens, before - after, before / 50.0);
    EXPECT_EQ(text_of(0), lines(2));
    EXPECT_EQ(told().sources[1].path, "large.log");
    EXPECT_LT(told().sources[1].last_line, 5000);
    EXPECT_GT(told().sources[1].last_line, 1);
    attached_ = std::move(attached);
    request_ = std::move(request);
  }
}

TEST_F(AttachedTest, ABackendThatCannotCountGetsWhatTheRouterEstimatesWithRoomToSpare) {
  add("u1", "large.log", lines(5000));
  backend_.bytes_a_token = std::nullopt;
  fit_into(1000);
  EXPECT_LE(message().size(), 4U * 600);
  EXPECT_GE(message().size(), 4U * 300);
  EXPECT_GT(told().dropped_tokens, 5000);
}

TEST_F(AttachedTest, ABackendWithASmallerContextGetsLessOfIt) {
  add("u1", "large.log", lines(5000));
  const int all = static_cast<int>(message().size());
  fit_into(4096);
  fit_into(1024);
  EXPECT_LE(message().size(), 768U);
  EXPECT_NEAR(told().dropped_tokens, all - static_cast<int>(message().size()), all / 50.0);
  const std::size_t before = attached_.text_bytes();
  EXPECT_TRUE(keep_less(attached_, request_));
  EXPECT_LE(attached_.text_bytes(), before * 2 / 3);
}

TEST_F(AttachedTest, APromptThatIsTooLongByItselfKeepsNothingOfTheFiles) {
  add("u1", "a.txt", lines(50));
  request_.messages[0].text += std::string(5000, 'x');
  fit_into(1024);
  EXPECT_EQ(attached_.text_bytes(), 0U);
  EXPECT_TRUE(told().sources.empty());
  EXPECT_FALSE(keep_less(attached_, request_));
  EXPECT_THAT(message(), HasSubstr("[Cut here: 0 of "));
}

TEST_F(AttachedTest, WithoutAContextNothingIsCut) {
  add("u1", "large.log", lines(5000));
  const std::string before = message();
  fit_into(0);
  EXPECT_EQ(message(), before);
}

}  // namespace
}  // namespace gbgreg::services
