#include "traces/exporter.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

namespace gbgreg::traces {
namespace {

class ExporterTest : public testing::Test {
 protected:
  static Options options() {
    Options made;
    made.endpoint = "unix";
    made.queued_max = 10;
    made.pause = std::chrono::milliseconds(1);
    made.retry = std::chrono::milliseconds(1);
    return made;
  }
  static std::vector<Span> spans(std::size_t count) { return std::vector<Span>(count); }

  metrics::Registry registry_{1};
  Exporter::Counters counters_{registry_};
  // Nobody is there.
  Exporter exporter_{options(), net::Address{.text = "unix:/nonexistent/collector.sock"}, counters_, "1"};
};

TEST_F(ExporterTest, KeepsABoundAndCountsWhatIsBeyondIt) {
  exporter_.take(spans(8));
  exporter_.take(spans(3));  // All of a request, or none.
  EXPECT_EQ(counters_.dropped_full.total(), 3U);
  exporter_.take(spans(2));
  EXPECT_EQ(counters_.dropped_full.total(), 3U);
  exporter_.take(spans(1));
  EXPECT_EQ(counters_.dropped_full.total(), 4U);
}

TEST_F(ExporterTest, HoldsSpansWhileTheCollectorIsAwayAndCountsThemAtTheEnd) {
  exporter_.start();
  exporter_.take(spans(4));
  exporter_.stop();
  EXPECT_EQ(counters_.sent.total(), 0U);
  EXPECT_EQ(counters_.dropped_refused.total(), 0U);
  EXPECT_EQ(counters_.dropped_at_end.total(), 4U);
}

}  // namespace
}  // namespace gbgreg::traces
