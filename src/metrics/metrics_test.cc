#include "metrics/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace gbgreg::metrics {
namespace {

using testing::HasSubstr;

TEST(Counter, AddsUpWhatEveryLaneCounted) {
  Counter counter(2);
  std::thread first([&] {
    for (int i = 0; i < 1000; ++i) counter.add(0);
  });
  std::thread second([&] {
    for (int i = 0; i < 1000; ++i) counter.add(1, 2);
  });
  counter.add(kOtherLane, 5);
  first.join();
  second.join();
  EXPECT_EQ(counter.total(), 3005U);
}

TEST(Gauge, IsWhatCameAndHasNotGone) {
  Gauge gauge(2);
  gauge.add(0, 3);
  gauge.add(1, -1);  // One that came on another lane.
  gauge.add(kOtherLane);
  EXPECT_EQ(gauge.value(), 3);
  gauge.add(1, -5);
  EXPECT_EQ(gauge.value(), 0);
}

TEST(Histogram, PutsEachValueIntoTheFirstBucketThatHoldsIt) {
  Histogram histogram(1);
  histogram.observe(0, 0.001);  // On the border: belongs below it.
  histogram.observe(0, 0.0011);
  histogram.observe(0, 1000);
  const auto totals = histogram.totals();
  EXPECT_EQ(totals.buckets[0], 1U);
  EXPECT_EQ(totals.buckets[1], 1U);
  EXPECT_EQ(totals.buckets.back(), 1U);
  EXPECT_EQ(totals.count, 3U);
  EXPECT_NEAR(totals.sum_seconds, 1000.0021, 0.001);
}

TEST(PrometheusText, HasHelpTypeAndCumulativeBuckets) {
  Registry registry(1);
  registry.counter("gbgreg_things_total", "Things seen.", label("kind", "a")).add(0, 3);
  registry.counter("gbgreg_things_total", "Things seen.", label("kind", "b")).add(0);
  Histogram& histogram = registry.histogram("gbgreg_wait_seconds", "Waiting.");
  histogram.observe(0, 0.0005);
  histogram.observe(0, 0.2);
  registry.gauge("gbgreg_under_way", "Under way.", label("role", "a")).add(0, 2);
  registry.sampled("gbgreg_free", "Free.", "gauge", [] { return std::vector<Sample>{{"", 1.5}}; });
  const std::string text = registry.prometheus_text();
  EXPECT_THAT(text, HasSubstr("# HELP gbgreg_things_total Things seen.\n# TYPE gbgreg_things_total counter\n"
                              "gbgreg_things_total{kind=\"a\"} 3\ngbgreg_things_total{kind=\"b\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("gbgreg_wait_seconds_bucket{le=\"0.1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("gbgreg_wait_seconds_bucket{le=\"+Inf\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("gbgreg_wait_seconds_count 2\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE gbgreg_under_way gauge\ngbgreg_under_way{role=\"a\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("gbgreg_free 1.5\n"));
}

TEST(PrometheusText, LeavesOutWhatIsOnlyShownOnceItCounted) {
  Registry registry(1);
  Counter& counter = registry.counter("gbgreg_things_total", "Things.", label("kind", "a"), Shown::once_counted);
  Histogram& histogram = registry.histogram("gbgreg_wait_seconds", "Waiting.", {}, Shown::once_counted);
  EXPECT_EQ(registry.prometheus_text(),
            "# HELP gbgreg_things_total Things.\n# TYPE gbgreg_things_total counter\n"
            "# HELP gbgreg_wait_seconds Waiting.\n# TYPE gbgreg_wait_seconds histogram\n");
  counter.add(0);
  histogram.observe(0, 1);
  EXPECT_THAT(registry.prometheus_text(), HasSubstr("gbgreg_things_total{kind=\"a\"} 1\n"));
  EXPECT_THAT(registry.prometheus_text(), HasSubstr("gbgreg_wait_seconds_count 1\n"));
}

TEST(Registry, RefusesASeriesThatIsMadeTwice) {
  Registry registry(1);
  registry.counter("gbgreg_things_total", "Things.", label("kind", "a"));
  EXPECT_THROW(registry.counter("gbgreg_things_total", "Things.", label("kind", "a")), std::logic_error);
  registry.gauge("gbgreg_under_way", "Under way.");
  EXPECT_THROW(registry.gauge("gbgreg_under_way", "Under way."), std::logic_error);
  registry.histogram("gbgreg_wait_seconds", "Waiting.");
  EXPECT_THROW(registry.histogram("gbgreg_wait_seconds", "Waiting."), std::logic_error);
}

TEST(Registry, MakesSeriesWhileOthersRead) {
  Registry registry(1);
  std::thread maker([&] {
    for (int i = 0; i < 200; ++i) {
      registry.counter("gbgreg_things_total", "Things.", label("kind", std::to_string(i))).add(kOtherLane);
    }
  });
  std::string text;
  do {
    text = registry.prometheus_text();
  } while (text.find("kind=\"199\"} 1\n") == std::string::npos);
  maker.join();
  EXPECT_THAT(text, HasSubstr("gbgreg_things_total{kind=\"0\"} 1\n"));
}

TEST(Label, EscapesWhatWouldEndIt) { EXPECT_EQ(label("a", "x\"y\\z\n"), "a=\"x\\\"y\\\\z\\n\""); }

}  // namespace
}  // namespace gbgreg::metrics
