#include "http/caller.h"

#include <gtest/gtest.h>

#include "http/fake_exchange.h"

namespace gbgreg::http {
namespace {

llm::CallerId caller(std::vector<net::Field> fields, std::string peer) {
  FakeExchange exchange("POST", std::move(fields), "", "");
  exchange.peer_text = std::move(peer);
  return ExchangeCaller(exchange).id();
}

TEST(ExchangeCaller, IsWhoeverHasTheSameKeyWhereverItComesFrom) {
  const auto one = caller({{"Authorization", "Bearer sk-1"}}, "10.0.0.1:5000");
  EXPECT_EQ(one, caller({{"authorization", "bearer sk-1"}}, "10.0.0.2:6000"));
  EXPECT_EQ(one, caller({{"x-api-key", "sk-1"}}, "[::1]:6000"));
  EXPECT_NE(one, caller({{"x-api-key", "sk-2"}}, "10.0.0.1:5000"));
  EXPECT_NE(one, caller({}, "10.0.0.1:5000"));
}

TEST(ExchangeCaller, IsWithoutAKeyWhoeverHasTheSameAddress) {
  const auto one = caller({}, "10.0.0.1:5000");
  EXPECT_EQ(one, caller({}, "10.0.0.1:6000"));
  EXPECT_NE(one, caller({}, "10.0.0.2:5000"));
  EXPECT_EQ(caller({}, "[::1]:5000"), caller({}, "[::1]:6000"));
  EXPECT_NE(caller({}, "[fe80::1]:5000"), caller({}, "[fe80::2]:5000"));
  EXPECT_NE(caller({}, "unix:1000"), caller({}, "unix:1001"));
  EXPECT_EQ(caller({}, "unix:1000"), caller({}, "unix:1000"));
}

TEST(ExchangeCaller, DoesNotTakeAKeyForAnAddress) {
  EXPECT_NE(caller({{"x-api-key", "10.0.0.1"}}, "10.0.0.9:1"), caller({}, "10.0.0.1:1"));
}

}  // namespace
}  // namespace gbgreg::http
