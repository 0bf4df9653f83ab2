#include "http/call.h"

#include <gtest/gtest.h>

#include "http/fake_exchange.h"

namespace gbgreg::http {
namespace {

constexpr std::uint64_t kBodyMax = 100'000;

Result<JsonBody> read(FakeExchange& exchange, BodyBudget& budget) {
  IoContext context;
  std::optional<Result<JsonBody>> result;
  auto store_result = [&]() -> Task<void> { result.emplace(co_await read_json_body(exchange, kBodyMax, budget)); };
  spawn(context.get_executor(), "test", store_result());
  context.run();
  return std::move(*result);
}

FakeExchange post(std::size_t bytes, net::Framing framing) {
  FakeExchange exchange("POST", {}, "", std::string(bytes, ' '));
  exchange.mutable_head().framing = framing;
  if (framing == net::Framing::chunked) exchange.mutable_head().content_length = 0;
  exchange.piece_bytes = 16'000;
  return exchange;
}

TEST(ReadJsonBody, HoldsAShareOfTheBudgetAsLongAsTheBodyLives) {
  for (const net::Framing framing : {net::Framing::length, net::Framing::chunked}) {
    BodyBudget budget(200'000);
    FakeExchange exchange = post(90'000, framing);
    {
      auto body = read(exchange, budget);
      ASSERT_TRUE(body);
      EXPECT_EQ(body->text.size(), 90'000U);
      EXPECT_GE(budget.held(), body->text.capacity());
      body->drop_text();
      EXPECT_EQ(body->text.capacity(), std::string().capacity());
      EXPECT_EQ(budget.held(), 90'000U) << "what was parsed from it is still held";
    }
    EXPECT_EQ(budget.held(), 0U);
  }
}

TEST(ReadJsonBody, IsRefusedForAWhileWhenTheBudgetIsSpent) {
  for (const net::Framing framing : {net::Framing::length, net::Framing::chunked}) {
    BodyBudget budget(150'000);
    FakeExchange first = post(90'000, framing);
    FakeExchange second = post(90'000, framing);
    {
      const auto held = read(first, budget);
      ASSERT_TRUE(held);
      const auto refused = read(second, budget);
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().kind, Kind::unavailable);
      EXPECT_TRUE(refused.error().retry_after_seconds);
    }
    EXPECT_EQ(budget.held(), 0U) << "a refused body gives back what it had";
    FakeExchange third = post(90'000, framing);
    EXPECT_TRUE(read(third, budget));
  }
}

TEST(ReadJsonBody, TakesFromTheBudgetWhatHasComeAndNotWhatIsDeclared) {
  BodyBudget budget(100'000);
  FakeExchange exchange = post(10, net::Framing::length);
  exchange.mutable_head().content_length = kBodyMax;
  const auto body = read(exchange, budget);
  ASSERT_TRUE(body);
  EXPECT_LE(budget.held(), 64U * 1024U);
}

TEST(ReadJsonBody, RefusesMoreThanItsBound) {
  BodyBudget budget(1'000'000);
  FakeExchange declared = post(kBodyMax + 1, net::Framing::length);
  EXPECT_EQ(read(declared, budget).error().kind, Kind::too_large);
  EXPECT_EQ(declared.body_bytes_read(), 0U);
  FakeExchange chunked = post(kBodyMax + 1, net::Framing::chunked);
  EXPECT_EQ(read(chunked, budget).error().kind, Kind::too_large);
  FakeExchange largest = post(kBodyMax, net::Framing::chunked);
  EXPECT_TRUE(read(largest, budget));
}

TEST(BodyBudget, NeverOverflows) {
  BodyBudget budget(100);
  BodyBudget::Share share(budget);
  EXPECT_FALSE(share.resize(UINT64_MAX));
  EXPECT_TRUE(share.resize(100));
  EXPECT_FALSE(share.resize(101));
  EXPECT_TRUE(share.resize(0));
  EXPECT_EQ(budget.held(), 0U);
}

}  // namespace
}  // namespace gbgreg::http
