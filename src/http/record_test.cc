#include "http/record.h"

#include <gtest/gtest.h>

#include "http/fake_exchange.h"

namespace gbgreg::http {
namespace {

const Route kAsk{.method = "POST", .pattern = "/api/generate", .handle = {}};

TEST(Record, IsOfEveryRouteButThoseOfWhoWatches) {
  for (const char* watched : {"/", "/health", "/health/live", "/metrics", "/api/version", "/openapi.json",
                              "/api/analytics/summary", "/api/analytics/events", "/api/audit"}) {
    EXPECT_FALSE(is_on_record({.method = "GET", .pattern = watched, .handle = {}}, 200)) << watched;
  }
  for (const int status : {200, 400, 403, 404, 429, 499, 500}) EXPECT_TRUE(is_on_record(kAsk, status)) << status;
}

TEST(Record, IsNotOfStrangersWhoCouldFillTheDisk) { EXPECT_FALSE(is_on_record(kAsk, 401)); }

TEST(Record, HasWhatTheCallHas) {
  FakeExchange exchange("POST", {}, "", "");
  Call call{.exchange = exchange, .request_id = "r-1", .arrived = {}};
  call.use = {.role = "technical",
              .model = "demo",
              .backend = "technical/demo",
              .device = "CPU",
              .complexity = 2,
              .objective_ms = 5'000,
              .queue_ms = 1,
              .ttft_ms = 2,
              .prompt_tokens = 3,
              .completion_tokens = 4};
  const WallTime now{std::chrono::seconds(7)};
  const records::Ended ended = record_of(call, "POST /api/generate", 200, 5, {}, now);
  EXPECT_EQ(ended.at, now);
  const records::RowView expected{.request_id = "r-1",
                                  .route = "POST /api/generate",
                                  .role = "technical",
                                  .model = "demo",
                                  .backend = "technical/demo",
                                  .device = "CPU",
                                  .status = 200,
                                  .complexity = 2,
                                  .prompt_tokens = 3,
                                  .completion_tokens = 4,
                                  .queue_ms = 1,
                                  .ttft_ms = 2,
                                  .total_ms = 5,
                                  .objective_ms = 5'000};
  EXPECT_EQ(ended.row, expected);
}

TEST(Record, AnAnswerThatBrokeOffIsAnError) {
  FakeExchange exchange("POST", {}, "", "");
  Call call{.exchange = exchange, .request_id = "r", .arrived = {}};
  const Result<void> broken = fail(Kind::backend_failed, "backend_died", "It died.");
  const records::Ended ended = record_of(call, "POST /api/generate", 200, 5, broken, {});
  EXPECT_EQ(ended.row.status, 502);
  EXPECT_EQ(ended.row.error_code, "backend_died");
}

}  // namespace
}  // namespace gbgreg::http
