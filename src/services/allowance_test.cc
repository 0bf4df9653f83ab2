#include "services/allowance.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace gbgreg::services {
namespace {

class TestCaller final : public llm::Caller {
 public:
  explicit TestCaller(std::vector<std::string> roles = {}) : roles_(std::move(roles)) {}
  llm::CallerId id() const override { return {}; }
  bool is_restricted() const override { return !roles_.empty(); }
  bool may_use(std::string_view role) const override {
    return roles_.empty() || std::ranges::find(roles_, role) != roles_.end();
  }
  void spent(std::int64_t tokens) override { told.push_back(tokens); }
  std::vector<std::int64_t> told;

 private:
  std::vector<std::string> roles_;
};

Backends three_roles() {
  std::vector<llm::BackendView> views;
  views.reserve(4);
  for (const char* role : {"a", "b", "c", "b"}) {
    views.emplace_back();
    views.back().role = role;
  }
  return std::make_shared<const std::vector<llm::BackendView>>(std::move(views));
}

TEST(OpenTo, IsThePictureItselfWhereNothingIsClosed) {
  const Backends all = three_roles();
  const TestCaller anybody;
  EXPECT_EQ(open_to(nullptr, all), all);
  EXPECT_EQ(open_to(&anybody, all), all);
}

TEST(OpenTo, LeavesOutWhatIsClosed) {
  const TestCaller caller({"b", "nowhere"});
  const Backends open = open_to(&caller, three_roles());
  ASSERT_EQ(open->size(), 2U);
  for (const auto& view : *open) EXPECT_EQ(view.role, "b");
  EXPECT_EQ(role_closed(caller, "a", *three_roles()).error().message,
            "This key may not use the role a, which would answer that. It may use: b.");
  EXPECT_NE(role_closed(TestCaller({"x"}), "a", *three_roles()).error().message.find("none"), std::string::npos);
}

llm::Request request_of(TestCaller* caller) {
  llm::Request request;
  request.messages = {{.text = std::string(400, 'x')}, {.text = "", .images = {{}, {}}}};
  request.caller = caller;
  return request;
}

TEST(TokensExpected, AreThoseOfThePromptAndOfAnAnswerThatIsBounded) {
  llm::Request request = request_of(nullptr);
  EXPECT_EQ(tokens_expected(request), 101 + 1 + 2 * 256);
  request.sampling.tokens_max = 1000;
  EXPECT_EQ(tokens_expected(request), 1000 + 614);
  request.sampling.tokens_max = -1;  // As many as it likes.
  EXPECT_EQ(tokens_expected(request), 614);
  const llm::EmbedRequest texts{.inputs = {std::string(5, 'x'), llm::TokenIds{1, 2, 3}}};
  EXPECT_EQ(tokens_expected(texts), 2 + 3);
}

TEST(Spending, TellsOnceWhatItTook) {
  constexpr std::int64_t kPrompt = 614;
  struct Case {
    const char* what;
    void (*happens)(Spending&);
    std::vector<std::int64_t> told;
  };
  const Case cases[] = {
      {"it never had a slot", [](Spending&) {}, {}},
      {"its client left while it waited for the first word", [](Spending& s) { s.begin_attempt(); }, {kPrompt}},
      {"its client left in the middle",
       [](Spending& s) {
         s.begin_attempt();
         s.piece_came();
         s.piece_came(6);
       },
       {kPrompt + 7}},
      {"the worker broke down at once",
       [](Spending& s) {
         s.begin_attempt();
         s.spared();
       },
       {}},
      {"the second attempt is whole",
       [](Spending& s) {
         s.begin_attempt();
         s.piece_came(5);
         s.begin_attempt();
         EXPECT_FALSE(s.has_come());
         s.told({.prompt_tokens = 10, .completion_tokens = 20});
       },
       {30}},
      {"a server says nothing of figures",
       [](Spending& s) {
         s.begin_attempt();
         s.piece_came(5);
         s.told({});
       },
       {kPrompt + 5}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    TestCaller caller;
    const llm::Request request = request_of(&caller);
    {
      Spending spending(request);
      c.happens(spending);
    }
    EXPECT_EQ(caller.told, c.told);
  }
  const llm::Request nobodys = request_of(nullptr);
  Spending spending(nobodys);
  spending.begin_attempt();
  spending.told({.prompt_tokens = 1});
}

}  // namespace
}  // namespace gbgreg::services
