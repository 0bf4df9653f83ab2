#include "http/key_refusals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gbgreg::http {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(KeyRefusals, AreCountedByReasonAndNothingElseIs) {
  metrics::Registry registry(1);
  const KeyRefusals refusals(registry);
  EXPECT_THAT(registry.prometheus_text(), HasSubstr(R"(gbgreg_key_refusals_total{reason="key_expired"} 0)"));
  refusals.count(0, {.kind = Kind::unauthorized, .code = "key_invalid", .message = "No."});
  refusals.count(0, {.kind = Kind::malformed, .code = "key_invalid", .message = "No."});
  refusals.count(0, {.kind = Kind::forbidden, .code = "role_not_allowed", .message = "No."});
  refusals.count(0, {.kind = Kind::busy, .code = "tokens_per_day_exceeded", .message = "No."});
  refusals.count(0, {.kind = Kind::busy, .code = "queue_full", .message = "No."});
  const std::string text = registry.prometheus_text();
  EXPECT_THAT(text, HasSubstr(R"({reason="key_invalid"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"({reason="role_not_allowed"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"({reason="tokens_per_day_exceeded"} 1)"));
  EXPECT_THAT(text, Not(HasSubstr("queue_full")));
}

}  // namespace
}  // namespace gbgreg::http
