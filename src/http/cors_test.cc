#include "http/cors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "http/fake_exchange.h"

namespace gbgreg::http {
namespace {

using testing::Contains;
using testing::Key;
using testing::Not;
using testing::Pair;

std::map<std::string, std::string> answered(std::vector<net::Field> sent, const std::string& methods = "POST") {
  net::RequestHead head;
  head.method = "OPTIONS";
  head.fields = std::move(sent);
  std::map<std::string, std::string> fields;
  for (net::HeaderField& field : options_fields(head, methods))
    fields[std::string(field.name)] = std::move(field.value);
  return fields;
}

std::map<std::string, std::string> preflight(std::vector<net::Field> more) {
  more.push_back({"Origin", "http://localhost:5173"});
  more.push_back({"Access-Control-Request-Method", "POST"});
  return answered(std::move(more));
}

TEST(Cors, SaysWhatAPathTakesToWhoeverAsks) {
  EXPECT_EQ(answered({}, "GET, HEAD"), (std::map<std::string, std::string>{{"Allow", "GET, HEAD, OPTIONS"}}));
  EXPECT_EQ(answered({}, ""), (std::map<std::string, std::string>{{"Allow", "OPTIONS"}}));
  // Half a preflight is none.
  EXPECT_THAT(answered({{"Origin", "http://localhost"}}), Not(Contains(Key("Access-Control-Allow-Methods"))));
  EXPECT_THAT(answered({{"Access-Control-Request-Method", "PUT"}}), Not(Contains(Key("Access-Control-Allow-Methods"))));
}

TEST(Cors, NamesTheFieldsThatThePageWantsToSend) {
  constexpr std::string_view kWanted =
      "authorization,content-type, x-api-key ,anthropic-version,anthropic-beta,"
      "anthropic-dangerous-direct-browser-access,x-stainless-lang,x-stainless-retry-count,x-request-id";
  const auto fields = preflight({{"Access-Control-Request-Headers", kWanted}});
  EXPECT_EQ(fields.at("Access-Control-Allow-Headers"),
            "authorization, content-type, x-api-key, anthropic-version, anthropic-beta, "
            "anthropic-dangerous-direct-browser-access, x-stainless-lang, x-stainless-retry-count, x-request-id");
  EXPECT_EQ(fields.at("Access-Control-Allow-Methods"), "POST");
  EXPECT_THAT(fields, Contains(Key("Access-Control-Max-Age")));
  EXPECT_THAT(fields, Not(Contains(Key("Access-Control-Allow-Credentials"))));
}

TEST(Cors, SaysNothingBackThatIsNoNameOfAField) {
  EXPECT_EQ(preflight({{"Access-Control-Request-Headers", "a b, x: y, ,\xc3\xa4, (c), ok"}})
                .at("Access-Control-Allow-Headers"),
            "ok");
  EXPECT_THAT(preflight({{"Access-Control-Request-Headers", "a b, "}}),
              Not(Contains(Key("Access-Control-Allow-Headers"))));
  EXPECT_THAT(preflight({}), Not(Contains(Key("Access-Control-Allow-Headers"))));
}

TEST(Cors, BoundsWhatItSaysBack) {
  std::string many;
  for (int i = 0; i < 5000; ++i) many += "x,";
  const auto fields = preflight({{"Access-Control-Request-Headers", many}});
  EXPECT_EQ(std::ranges::count(fields.at("Access-Control-Allow-Headers"), 'x'), 100);
}

TEST(Cors, LetsAPageIntoTheHouseOnlyWhenItAsks) {
  EXPECT_THAT(preflight({{"Access-Control-Request-Private-Network", "true"}}),
              Contains(Pair("Access-Control-Allow-Private-Network", "true")));
  EXPECT_THAT(preflight({{"Access-Control-Request-Private-Network", "maybe"}}),
              Not(Contains(Key("Access-Control-Allow-Private-Network"))));
  EXPECT_THAT(preflight({}), Not(Contains(Key("Access-Control-Allow-Private-Network"))));
}

TEST(Cors, LetsAPageReadWhatTellsItHowItWent) {
  FakeExchange exchange("GET", {}, "", "");
  add_cors_fields(exchange, "https://app.example.org");
  EXPECT_EQ(exchange.answer_fields.at("Access-Control-Allow-Origin"), "https://app.example.org");
  EXPECT_EQ(exchange.answer_fields.at("Vary"), "Origin");
  const std::string& exposed = exchange.answer_fields.at("Access-Control-Expose-Headers");
  for (const char* name : {"X-Request-Id", "request-id", "Retry-After", "X-Gbgreg-Role", "X-Gbgreg-Model",
                           "X-Gbgreg-Backend", "X-Gbgreg-Device", "X-Gbgreg-Complexity", "X-Gbgreg-Reason"}) {
    EXPECT_THAT(exposed, testing::HasSubstr(name));
  }
  EXPECT_FALSE(exchange.answer_fields.contains("Access-Control-Allow-Credentials"));
}

}  // namespace
}  // namespace gbgreg::http
