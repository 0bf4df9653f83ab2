// Which failures are blamed on a worker, and which are tried again: with a real fleet, whose engine only says that it
// is ready, and a backend that fails as it is told.
#include "services/generate.h"

#include <gmock/gmock.h>

#include <deque>
#include <optional>

#include "services/test_fleet.h"

namespace gbgreg::services {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using testing::HasSubstr;

// What happens to the next requests, one after another; those after the last are answered.
struct Script {
  JumpingClock& clock;
  std::deque<Error> failures = {};
  milliseconds failure_takes{0};
  std::vector<std::string> asked = {};  // The address of each worker that was.
};

class ScriptedBackend final : public backends::Backend {
 public:
  ScriptedBackend(Script& script, std::string address) : script_(script), address_(std::move(address)) {}

  // A failure of the code "deadline_passed" comes when the request's deadline does.
  Task<Result<llm::Completion>> generate(net::IoThread&, const llm::Request& request, llm::Sink&) override {
    script_.asked.push_back(address_);
    if (script_.failures.empty()) co_return llm::Completion{};
    const Error failure = std::move(script_.failures.front());
    script_.failures.pop_front();
    script_.clock.jump(script_.failure_takes);
    if (failure.code == "deadline_passed") script_.clock.jump_to(request.deadline);
    co_return std::unexpected(failure);
  }
  Task<Result<int>> count_tokens(net::IoThread&, const llm::Request&) override { co_return 0; }
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

 private:
  Script& script_;  // Used on the test's thread alone.
  std::string address_;
};

class ForgetfulSink final : public AnswerSink {
 public:
  void chosen(const llm::AnswerNotes&) override {}
  Task<Result<void>> delta(const llm::Delta&) override { co_return Result<void>{}; }
  bool start_over() override { return true; }
};

class GenerateTest : public FleetTest {
 public:
  GenerateTest() { add_worker("technical", "demo"); }
  ~GenerateTest() override { fleet_.reset(); }  // Its backends use the script.

 protected:
  Result<llm::Answer> answer(std::optional<int> deadline_ms = {}, Attached* attached = nullptr) {
    fleet::Fleet& fleet = start_fleet();
    if (!generate_) generate_ = std::make_unique<Generate>(fleet, registry_, jumping_clock_);
    llm::Request request;
    request.model = model_;
    request.caller = caller_;
    request.deadline_ms = deadline_ms;
    request.messages.push_back({.text = "Hello"});
    if (attached != nullptr) attached->texts = {{.upload_id = "u", .path = "a.txt", .bytes = 5, .size_bytes = 5}};
    std::optional<Result<llm::Answer>> result;
    auto story = [](Generate& generate, net::IoThread& io, llm::Request asked, Attached* with,
                    std::optional<Result<llm::Answer>>& out) -> Task<void> {
      ForgetfulSink sink;
      out.emplace(co_await generate.answer(io, std::move(asked), sink, with));
    };
    spawn(io_.executor(), "test", story(*generate_, io_, std::move(request), attached, result));
    return wait_for(result);
  }

  int figure(const std::string& name) {
    const std::string series = name + R"({role="technical",model="demo",work="answer"})";
    return std::stoi(metric(series).substr(series.size()));
  }

  // Asks while the only slot is held, and takes another configuration before it is given back.
  template <class Change>
  Result<llm::Answer> answer_after(Change change) {
    options_.workers[0].slots = 1;
    fleet::Fleet& fleet = start_fleet();
    Leased held;
    ask_for_lease(held);
    auto lease = wait_for(held);
    EXPECT_TRUE(lease);
    std::thread reconfiguring([&] {
      while (fleet.snapshot()->front().queued == 0) std::this_thread::yield();
      change(options_.workers);
      EXPECT_TRUE(fleet.reconfigure(options_));
      while (fleet.snapshot()->front().model == "demo") std::this_thread::yield();
      *lease = fleet::Lease();
    });
    auto told = answer();
    reconfiguring.join();
    return told;
  }

  using Leased = std::optional<Result<fleet::Lease>>;
  // `out` must outlive the wait.
  void ask_for_lease(Leased& out) {
    auto story = [](fleet::Fleet& fleet, Leased& result) -> Task<void> {
      const SteadyTime deadline = SystemClock().steady() + std::chrono::minutes(1);
      result.emplace(co_await fleet.lease("technical/demo", llm::Priority::interactive, deadline));
    };
    spawn(io_.executor(), "test", story(start_fleet(), out));
  }

  std::shared_ptr<backends::Backend> make_backend(const std::string& address) override {
    return std::make_shared<ScriptedBackend>(script_, address);
  }
  // Of the worker's first life, and of its second.
  std::string first() { return "unix:" + (options_.run_folder / "w0-1.sock").string(); }
  std::string second() { return "unix:" + (options_.run_folder / "w0-2.sock").string(); }

  static Error failed() { return {.kind = Kind::backend_failed, .code = "backend_failed", .message = "It broke."}; }
  static Error unreachable() {
    return {.kind = Kind::unavailable, .code = "backend_unreachable", .message = "Nobody."};
  }
  static Error silent() { return {.kind = Kind::timed_out, .code = "backend_silent", .message = "It hangs."}; }
  static Error too_long() { return {.kind = Kind::malformed, .code = "prompt_too_long", .message = "Shorten it."}; }
  static Error late() { return {.kind = Kind::timed_out, .code = "deadline_passed", .message = "Too late."}; }

  Script script_{.clock = jumping_clock_};
  std::unique_ptr<Generate> generate_;
  std::string model_ = "technical";
  llm::Caller* caller_ = nullptr;
};

// May use one role, and so many tokens at a time.
class BoundCaller final : public llm::Caller {
 public:
  explicit BoundCaller(std::string role, std::int64_t tokens = 1'000'000) : role_(std::move(role)), tokens_(tokens) {}
  llm::CallerId id() const override { return {}; }
  bool is_restricted() const override { return true; }
  bool may_use(std::string_view role) const override { return role == role_; }
  bool is_metered() const override { return true; }
  std::optional<Result<void>> expect(std::int64_t tokens) override {
    if (tokens <= tokens_) return Result<void>{};
    return fail(Kind::busy, "tokens_per_minute_exceeded", "Too many.");
  }

 private:
  std::string role_;
  std::int64_t tokens_;
};

TEST_F(GenerateTest, AnswersOnlyByRolesThatTheCallerMayUse) {
  add_worker("documentation", "other");
  BoundCaller writer("documentation"), stranger("vision");
  for (const char* model : {"technical", "demo"}) {
    caller_ = &writer;
    model_ = model;
    EXPECT_EQ(answer().error().code, "role_not_allowed") << model;
    EXPECT_EQ(answer().error().kind, Kind::forbidden) << model;
  }
  model_ = "nobody";
  EXPECT_EQ(answer().error().code, "model_not_found");
  EXPECT_TRUE(script_.asked.empty());
  for (const char* model : {"auto", "documentation", "other"}) {
    model_ = model;
    const auto answered = answer();
    ASSERT_TRUE(answered) << model;
    EXPECT_EQ(answered->notes.role, "documentation") << model;
  }
  model_ = "auto";
  caller_ = &stranger;
  EXPECT_EQ(answer().error().code, "role_not_allowed");
}

TEST_F(GenerateTest, AsksNoModelForMoreTokensThanTheCallerMayUse) {
  BoundCaller poor("technical", 2);  // "Hello" is thought to be three.
  caller_ = &poor;
  EXPECT_EQ(answer().error().code, "tokens_per_minute_exceeded");
  EXPECT_TRUE(script_.asked.empty());
}

TEST_F(GenerateTest, DoesNotBlameAWorkerForADeadlineThatPassed) {
  options_.failures_until_restart = 1;
  script_.failures = {late(), late()};
  for (int i = 0; i < 2; ++i) {
    const auto refused = answer(60'000);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, Kind::timed_out);
  }
  EXPECT_TRUE(answer());
  EXPECT_THAT(script_.asked, testing::ElementsAre(first(), first(), first()));
}

TEST_F(GenerateTest, BlamesAWorkerForItsSilence) {
  options_.failures_until_restart = 1;
  script_.failures = {silent()};
  EXPECT_EQ(answer().error().code, "backend_silent");
  EXPECT_TRUE(answer());
  EXPECT_THAT(script_.asked, testing::ElementsAre(first(), second()));
}

TEST_F(GenerateTest, TriesAgainAfterAWorkerBrokeDown) {
  script_.failures = {failed()};
  EXPECT_TRUE(answer());
  EXPECT_EQ(script_.asked.size(), 2U);
  EXPECT_EQ(figure("gbgreg_retries_total"), 1);
}

TEST_F(GenerateTest, GivesUpOnARequestThatBrokeTwoWorkersDown) {
  script_.failures = {failed(), failed(), failed()};
  const auto refused = answer();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::backend_failed);
  EXPECT_EQ(refused.error().code, "backend_failed_again");
  EXPECT_THAT(refused.error().message, HasSubstr("not tried again"));
  EXPECT_EQ(script_.asked.size(), 2U);
  EXPECT_EQ(figure("gbgreg_retries_total"), 1);
}

TEST_F(GenerateTest, SendsLessOfTheFilesToAModelThatRefusesThem) {
  Attached attached;
  script_.failures = {too_long()};
  const auto answered = answer({}, &attached);
  ASSERT_TRUE(answered) << answered.error().message;
  EXPECT_EQ(script_.asked.size(), 2U);
  EXPECT_EQ(attached.text_bytes(), 0U);
  EXPECT_EQ(figure("gbgreg_retries_total"), 0);
  // There is nothing left of them to cut; and without files it is the client's business at once.
  for (Attached* with : {&attached, static_cast<Attached*>(nullptr)}) {
    script_.asked.clear();
    script_.failures = {too_long(), too_long(), too_long()};
    const auto refused = answer({}, with);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, "prompt_too_long");
    EXPECT_EQ(script_.asked.size(), with == nullptr ? 1U : 2U);
  }
}

TEST_F(GenerateTest, TriesAgainHoweverFullTheQueueIs) {
  options_.queue_max = 0;  // The worker is under suspicion for a moment, so the second attempt has to wait.
  options_.workers[0].slots = 1;
  become_ready();
  script_.failures = {failed()};
  EXPECT_TRUE(answer());
  EXPECT_EQ(script_.asked.size(), 2U);
}

TEST_F(GenerateTest, TakesAFailedAttemptNeitherForWaitingNorForLoadingNorForTheSlotOfTheNext) {
  options_.queue_max = 1;
  options_.workers[0].slots = 1;
  script_.failures = {failed()};
  script_.failure_takes = milliseconds(30'000);
  const auto answered = answer();
  ASSERT_TRUE(answered);
  EXPECT_GE(answered->notes.total_ms, 30'000);
  EXPECT_LT(answered->notes.queue_ms, 30'000);
  EXPECT_LT(answered->load, milliseconds(30'000));

  // The slot of the retry comes back by the fleet's thread; from here on the first who asks has it.
  while (!fleet_->try_lease("technical/demo")) std::this_thread::yield();
  Leased held, waiting, refused;
  for (Leased* out : {&held, &waiting, &refused}) ask_for_lease(*out);
  const auto error = wait_for(refused).error();
  EXPECT_EQ(error.code, "queue_full");
  EXPECT_EQ(error.retry_after_seconds, 1);  // For one slot that is held for no time at all.
  held.reset();
  EXPECT_TRUE(wait_for(waiting));
}

TEST_F(GenerateTest, CountsARequestThatFailedTwiceOnce) {
  options_.failures_until_restart = 2;
  script_.failures = {failed(), failed()};
  EXPECT_FALSE(answer());
  EXPECT_TRUE(answer());
  EXPECT_THAT(script_.asked, testing::Each(first()));
}

TEST_F(GenerateTest, TriesAWorkerThatWasNotReachedUpToTheBound) {
  script_.failures = {unreachable(), unreachable()};
  EXPECT_TRUE(answer());
  EXPECT_EQ(script_.asked.size(), 3U);
  script_.failures = {unreachable(), unreachable(), unreachable()};
  EXPECT_EQ(answer().error().code, "backend_unreachable");
  EXPECT_EQ(script_.asked.size(), 6U);
}

TEST_F(GenerateTest, DoesNotTryAgainWhatTheFleetRefuses) {
  fs::remove(options_.workers[0].model_file);
  const auto refused = answer();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::unavailable);
  EXPECT_TRUE(script_.asked.empty());
  EXPECT_EQ(figure("gbgreg_retries_total"), 0);
}

TEST_F(GenerateTest, ChoosesAgainWhenItsModelIsTakenOutOfTheConfiguration) {
  const auto told = answer_after([&](auto& workers) {
    workers.clear();
    add_worker("technical", "other");
    add_worker("technical", "third");
  });
  ASSERT_TRUE(told) << told.error().message;
  EXPECT_THAT(told->notes.model, testing::AnyOf("other", "third"));
  EXPECT_EQ(script_.asked.size(), 1U);
}

TEST_F(GenerateTest, SaysThatItsModelIsGoneWhereThereIsNoOther) {
  const auto told = answer_after([&](auto& workers) {
    workers.clear();
    add_worker("documentation", "other");
  });
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().kind, Kind::not_found);
  EXPECT_EQ(told.error().code, fleet::kModelRemoved);
}

}  // namespace
}  // namespace gbgreg::services
