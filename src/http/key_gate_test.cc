#include "http/key_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "http/fake_exchange.h"
#include "http/handlers/keys.h"
#include "http/pipeline.h"
#include "net/io_thread.h"
#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::http {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

struct HandClock final : Clock {
  SteadyTime steady() const override { return SteadyTime{1h} + passed; }
  WallTime wall() const override { return WallTime{std::chrono::days{20'000} + 12h} + passed; }
  std::chrono::milliseconds passed{0};
};

class KeyGateTest : public testing::Test {
 protected:
  KeyGateTest() { EXPECT_TRUE(keys_.load()); }
  void TearDown() override { pool_.join(); }

  std::string made(const keys::Rights& rights) {
    const auto key = services::make_key({.name = "ada", .rights = rights}, clock_.wall());
    EXPECT_TRUE(stores_.keys.insert(key->row));
    EXPECT_TRUE(keys_.look());
    id_ = key->row.id;
    return key->secret;
  }

  // Asks GET /x, where `access` may come in; the handler does `work` with the call.
  FakeExchange asked(std::vector<net::Field> fields, Access access = Access::key,
                     std::function<Task<Result<void>>(Call&)> work = {}) {
    FakeExchange exchange("GET", std::move(fields), "", "");
    exchange.mutable_head().path = "/x";
    exchange.thread = &io_;
    const Handle handle = [&work](Call& call) -> Task<Result<void>> {
      if (work) {
        auto worked = co_await work(call);
        if (!worked) co_return worked;
      }
      co_return co_await call.exchange.respond(200, "text/plain", "in");
    };
    std::vector<Route> routes{{"GET", "/x", handle, Dialect::openai, access}};
    metrics::Registry registry(1);
    Pipeline pipeline(std::move(routes), {}, registry, clock_, &gate_);
    spawn(io_.executor(), "test", pipeline.handle(exchange));
    io_.context().restart();
    io_.context().run();
    return exchange;
  }
  FakeExchange asked_with(const std::string& secret, Access access = Access::key,
                          std::function<Task<Result<void>>(Call&)> work = {}) {
    return asked({{"Authorization", secret_field_ = "Bearer " + secret}}, access, std::move(work));
  }

  HandClock clock_;
  storage::TestFolder folder_;
  storage::Disk disk_;
  storage::TestStores stores_{folder_.path(), disk_, clock_};
  asio::thread_pool pool_{1};
  services::Keys keys_{pool_, stores_.keys, clock_, 1};
  KeyGate gate_{keys_, clock_};
  net::Options net_options_;
  net::IoThread io_{0, net_options_};
  std::string id_;            // Of the key made last.
  std::string secret_field_;  // What the head's view shows.
};

TEST_F(KeyGateTest, LetsWhoeverComesInWhereNoKeysAreAskedFor) {
  for (const Access access : {Access::key, Access::admin, Access::open}) {
    EXPECT_EQ(asked({}, access).status(), 200);
    EXPECT_EQ(asked_with("sk-anything", access).status(), 200);
  }
  EXPECT_EQ(asked({}, Access::keys).status(), 401) << "strangers make themselves no keys";
}

TEST_F(KeyGateTest, TakesTheKeyFromEitherField) {
  const std::string secret = made({});
  const std::string bearer = "Bearer " + secret, lower = "bearer  " + secret, basic = "Basic eDp5";
  EXPECT_EQ(asked({{"Authorization", bearer}}).status(), 200);
  EXPECT_EQ(asked({{"authorization", lower}}).status(), 200);
  EXPECT_EQ(asked({{"x-api-key", secret}}).status(), 200);
  EXPECT_EQ(asked({{"Authorization", basic}, {"x-api-key", secret}}).status(), 200);
  EXPECT_EQ(asked({{"Authorization", secret}}).status(), 401) << "no scheme";
}

TEST_F(KeyGateTest, SaysWhyAKeyDoesNotCount) {
  const std::string revoked = made({});
  ASSERT_TRUE(stores_.keys.revoke(id_, rfc3339(clock_.wall())));
  const std::string expired = made({.expires_at = clock_.wall() + 1h});
  clock_.passed += 1h;
  ASSERT_TRUE(keys_.look());
  struct Case {
    std::string secret;
    const char* code;
  };
  const Case cases[] = {{"", "key_missing"},
                        {"sk-none", "key_invalid"},
                        {keys::make_secret(), "key_invalid"},
                        {expired, "key_expired"},
                        {revoked, "key_revoked"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.code);
    const FakeExchange refused = asked_with(c.secret);
    EXPECT_EQ(refused.status(), 401);
    EXPECT_THAT(refused.answer, HasSubstr(c.code));
    EXPECT_THAT(refused.answer, HasSubstr("authentication_error"));
    EXPECT_EQ(refused.answer_fields.at("WWW-Authenticate"), "Bearer realm=\"gbgreg\"");
    if (!c.secret.empty()) EXPECT_EQ(refused.answer.find(c.secret), std::string::npos);
  }
  EXPECT_EQ(asked({}, Access::open).status(), 200);
}

TEST_F(KeyGateTest, LetsOnlyAdminsDoWhatChangesThings) {
  const std::string plain = made({});
  const auto is_admin = [](Call& call) -> Task<Result<void>> {
    EXPECT_FALSE(call.caller.is_admin());
    EXPECT_EQ(call.caller.key()->name, "ada");
    co_return Result<void>{};
  };
  EXPECT_EQ(asked_with(plain, Access::key, is_admin).status(), 200);
  for (const Access access : {Access::admin, Access::keys}) {
    EXPECT_EQ(asked_with(plain, access).status(), 403);
    EXPECT_THAT(asked_with(plain, access).answer, HasSubstr("admin_only"));
  }
  const std::string admin = made({.is_admin = true});
  for (const Access access : {Access::admin, Access::keys}) EXPECT_EQ(asked_with(admin, access).status(), 200);
}

TEST_F(KeyGateTest, RefusesARequestTooManyAndSaysWhenToComeBack) {
  const std::string secret = made({.limits = {.requests_per_minute = 2}});
  FakeExchange answer = asked_with(secret);
  EXPECT_EQ(answer.answer_fields.at("x-ratelimit-limit-requests"), "2");
  EXPECT_EQ(answer.answer_fields.at("x-ratelimit-remaining-requests"), "1");
  EXPECT_EQ(answer.answer_fields.at("x-ratelimit-reset-requests"), "30s");
  EXPECT_FALSE(answer.answer_fields.contains("x-ratelimit-limit-tokens"));
  EXPECT_EQ(asked_with(secret).status(), 200);
  clock_.passed += 500ms;
  FakeExchange refused = asked_with(secret);
  EXPECT_EQ(refused.status(), 429);
  EXPECT_THAT(refused.answer, HasSubstr("requests_per_minute_exceeded"));
  EXPECT_EQ(refused.answer_fields.at("Retry-After"), "30");
  EXPECT_EQ(refused.answer_fields.at("x-ratelimit-remaining-requests"), "0");
  EXPECT_EQ(refused.answer_fields.at("x-ratelimit-reset-requests"), "59.5s");
  clock_.passed += 29'500ms;
  EXPECT_EQ(asked_with(secret).status(), 200);
}

TEST_F(KeyGateTest, ReservesTokensAndSettlesThemWhenTheRequestIsOver) {
  const std::string secret = made({.limits = {.tokens_per_minute = 600, .tokens_per_day = 1000}});
  const auto asks_model = [](std::int64_t expected, std::int64_t spent) {
    return [=](Call& call) -> Task<Result<void>> {
      EXPECT_TRUE(call.caller.is_metered());
      const auto may = call.caller.expect(expected);
      if (!may) co_return fail(Kind::internal, "unexpected", "nobody is to be asked");
      if (!*may) co_return *may;
      call.caller.spent(spent);
      co_return Result<void>{};
    };
  };
  EXPECT_EQ(asked_with(secret).answer_fields.at("x-ratelimit-remaining-tokens"), "600");
  const FakeExchange first = asked_with(secret, Access::key, asks_model(500, 100));
  EXPECT_EQ(first.status(), 200);
  EXPECT_EQ(first.answer_fields.at("x-ratelimit-limit-tokens"), "600");
  EXPECT_EQ(first.answer_fields.at("x-ratelimit-remaining-tokens"), "100") << "what it may take is reserved";
  EXPECT_EQ(asked_with(secret).answer_fields.at("x-ratelimit-remaining-tokens"), "500");

  const FakeExchange refused = asked_with(secret, Access::key, asks_model(501, 0));
  EXPECT_EQ(refused.status(), 429);
  EXPECT_THAT(refused.answer, HasSubstr("tokens_per_minute_exceeded"));
  EXPECT_EQ(refused.answer_fields.at("Retry-After"), "1");
  const FakeExchange huge = asked_with(secret, Access::key, asks_model(601, 0));
  EXPECT_EQ(huge.status(), 413);
  EXPECT_THAT(huge.answer, HasSubstr("request_over_limit"));

  clock_.passed += 1min;
  EXPECT_EQ(asked_with(secret, Access::key, asks_model(600, 890)).status(), 200);
  clock_.passed += 10min;
  FakeExchange spent = asked_with(secret, Access::key, asks_model(11, 0));
  EXPECT_THAT(spent.answer, HasSubstr("tokens_per_day_exceeded"));
  EXPECT_EQ(spent.answer_fields.at("x-ratelimit-limit-tokens"), "1000");
  EXPECT_EQ(spent.answer_fields.at("x-ratelimit-remaining-tokens"), "10");
  EXPECT_EQ(spent.answer_fields.at("x-ratelimit-reset-tokens"), "11h49m0s");
  EXPECT_EQ(spent.answer_fields.at("Retry-After"), std::to_string(12 * 3600 - 660));
}

TEST_F(KeyGateTest, CountsWhatIsNotLimitedToo) {
  const std::string secret = made({});
  asked_with(secret, Access::key, [](Call& call) -> Task<Result<void>> {
    EXPECT_FALSE(call.caller.is_metered());
    call.caller.spent(42);
    co_return Result<void>{};
  });
  const auto account = keys::look_up(keys_.table(0), secret, clock_.wall()).key->account;
  EXPECT_EQ(account->usage(keys::now_by(clock_)).tokens, 42);
  EXPECT_EQ(account->usage(keys::now_by(clock_)).requests, 1);
}

TEST_F(KeyGateTest, AKeyIsOneCallerWhereverItsRequestsComeFrom) {
  std::vector<llm::CallerId> callers;
  const auto note = [&](Call& call) -> Task<Result<void>> {
    callers.push_back(call.caller.id());
    co_return Result<void>{};
  };
  const std::string one = made({}), other = made({});
  for (const std::string& secret : {one, one, other}) asked_with(secret, Access::key, note);
  ASSERT_EQ(callers.size(), 3U);
  EXPECT_EQ(callers[0], callers[1]);
  EXPECT_NE(callers[0], callers[2]);
}

TEST(ParseWantedKey, ReadsAKeyAndRefusesWhatIsNoneOfIt) {
  const auto wanted = parse_wanted_key(
      R"({"name":"ada","roles":["technical"],"requests_per_minute":1,"tokens_per_minute":2,"tokens_per_day":3,
          "expires_at":"2026-12-31T00:00:00Z","admin":true})",
      {});
  ASSERT_TRUE(wanted) << wanted.error().message;
  EXPECT_EQ(wanted->name, "ada");
  EXPECT_EQ(wanted->rights.roles, std::vector<std::string>{"technical"});
  EXPECT_EQ(wanted->rights.limits,
            (keys::Limits{.requests_per_minute = 1, .tokens_per_minute = 2, .tokens_per_day = 3}));
  EXPECT_TRUE(wanted->rights.is_admin && wanted->rights.expires_at);
  const auto plain = parse_wanted_key(R"({"name":"ada","roles":null,"expires_at":null,"tokens_per_day":null})", {});
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->rights, keys::Rights{});
  for (const char* body : {"", "[]", R"({"name":1})", R"({"roles":"all"})", R"({"roles":[1]})", R"({"admin":"yes"})",
                           R"({"requests_per_minute":0})", R"({"tokens_per_day":1.5})", R"({"expires_at":"soon"})",
                           R"({"requests_per_minut":5})", R"({"is_admin":true})"}) {
    EXPECT_FALSE(parse_wanted_key(body, {})) << body;
  }
}

}  // namespace
}  // namespace gbgreg::http
