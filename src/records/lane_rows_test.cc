#include "records/lane_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gbgreg::records {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> ids_in(const LaneRows& rows) {
  std::vector<std::string> ids;
  for (LaneRows::Reader reader(rows); !reader.is_done();) ids.emplace_back(reader.next().request_id);
  return ids;
}

TEST(LaneRows, GivesBackWhatWasPutInInItsOrder) {
  const RowView first{.request_id = "a",
                      .route = "POST /api/generate",
                      .role = "technical",
                      .model = "demo",
                      .backend = "technical/demo",
                      .device = "CPU",
                      .key_id = "k",
                      .status = 502,
                      .error_code = "backend_died",
                      .complexity = 5,
                      .prompt_tokens = 6,
                      .completion_tokens = 7,
                      .queue_ms = 0.5,
                      .ttft_ms = 1.5,
                      .total_ms = 2.5,
                      .objective_ms = 8};
  const RowView second{.request_id = "b"};
  LaneRows rows;
  EXPECT_THAT(ids_in(rows), IsEmpty());
  rows.add(WallTime(std::chrono::milliseconds(5)), first);
  rows.add(WallTime(std::chrono::milliseconds(6)), second);
  EXPECT_EQ(rows.count(), 2U);
  std::vector<WallTime> times;
  std::vector<bool> is_same;
  for (LaneRows::Reader reader(rows); !reader.is_done();) {
    times.push_back(reader.ended());
    is_same.push_back(reader.next() == (is_same.empty() ? first : second));
  }
  EXPECT_THAT(times, ElementsAre(WallTime(std::chrono::milliseconds(5)), WallTime(std::chrono::milliseconds(6))));
  EXPECT_THAT(is_same, ElementsAre(true, true));
}

TEST(LaneRows, BeginsAnewAfterABurstAsAfterARow) {
  const std::string text(1'000, 'x');
  LaneRows rows;
  for (std::size_t bytes = 0; bytes <= LaneRows::kKeptBytes; bytes += text.size()) rows.add({}, {.request_id = text});
  rows.clear();
  EXPECT_EQ(rows.count(), 0U);
  EXPECT_THAT(ids_in(rows), IsEmpty());
  rows.add({}, {.request_id = "a"});
  EXPECT_THAT(ids_in(rows), ElementsAre("a"));
}

TEST(ReusedRows, KeepsTheOrderOfWhatIsLeft) {
  ReusedRows rows;
  const auto ids = [&] {
    std::vector<std::string> all;
    for (const auto& row : rows.all()) all.push_back(row.id);
    return all;
  };
  for (const char* id : {"a", "b", "c", "d"}) rows.add().id = id;
  rows.drop_front(1);
  EXPECT_THAT(ids(), ElementsAre("b", "c", "d"));
  rows.add().id = "e";
  rows.drop_front(2);
  EXPECT_THAT(ids(), ElementsAre("d", "e"));
  rows.drop_front(2);
  EXPECT_TRUE(rows.empty());
  for (std::size_t i = 0; i < ReusedRows::kKept + 10; ++i) rows.add().id = "x";
  rows.add().id = "last";
  rows.drop_front(ReusedRows::kKept);
  EXPECT_EQ(rows.size(), 11U);
  EXPECT_EQ(rows.all().back().id, "last");
}

}  // namespace
}  // namespace gbgreg::records
