#include "services/failovers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace gbgreg::services {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Failovers, CountsBackendsThatCameWithALaterConfiguration) {
  metrics::Registry registry(1);
  Failovers answers(registry, Work::answer), embeddings(registry, Work::embedding);
  EXPECT_THAT(registry.prometheus_text(), HasSubstr("# TYPE gbgreg_failovers_total counter\n"));
  EXPECT_THAT(registry.prometheus_text(), Not(HasSubstr("gbgreg_failovers_total{")));
  answers.count(0, "technical", "technical/m@new");
  answers.count(0, "technical", "technical/m@new");
  embeddings.count(0, "technical", "technical/m@new");
  const std::string text = registry.prometheus_text();
  const std::string series = "gbgreg_failovers_total{role=\"technical\",from=\"technical/m@new\",work=";
  EXPECT_THAT(text, HasSubstr(series + "\"answer\"} 2"));
  EXPECT_THAT(text, HasSubstr(series + "\"embedding\"} 1"));
}

TEST(Failovers, KeepsNoMoreSeriesThanItMay) {
  metrics::Registry registry(1);
  Failovers failovers(registry, Work::answer);
  constexpr std::size_t kMore = 3;
  for (std::size_t i = 0; i < Failovers::kBackendsMax + kMore; ++i) {
    failovers.count(0, "technical", "technical/m@" + std::to_string(i));
  }
  EXPECT_THAT(registry.prometheus_text(),
              HasSubstr("gbgreg_failovers_total{role=\"other\",from=\"other\",work=\"answer\"} 3"));
}

}  // namespace
}  // namespace gbgreg::services
