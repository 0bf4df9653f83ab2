#include "storage/requests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "core/core.h"
#include "storage/each_database.h"
#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::storage {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// When ids of id_of() were made: 0x018900000000 milliseconds after 1970.
constexpr std::int64_t kIdMinute = 0x018900000000 / 60'000 * 60;

// In the order of their numbers.
std::string id_of(int number) {
  std::string digits = std::to_string(number);
  digits.insert(0, 12 - digits.size(), '0');
  return "01890000-0000-7000-8000-" + digits;
}

RequestRow request(int number) {
  return {.id = id_of(number),
          .request_id = "theirs-" + std::to_string(number),
          .created_at = "2026-11-30T09:05:07.123Z",
          .route = "POST /api/generate",
          .role = "technical",
          .model = "demo-technical",
          .backend = "technical",
          .device = "CPU",
          .key_id = "",
          .status = 200,
          .error_code = "",
          .complexity = 3,
          .prompt_tokens = 3'000'000'000,
          .completion_tokens = 20,
          .queue_ms = 0.125,
          .ttft_ms = 12.5,
          .total_ms = 1234.75,
          .objective_ms = 5'000};
}

RollupRow sum(RollupSpan span, std::int64_t start, const std::string& value = "") {
  return {.span = span,
          .start = start,
          .dimension = value.empty() ? "all" : "role",
          .value = value,
          .writer = "w1",
          .requests = 7,
          .errors = 2,
          .prompt_tokens = 3'000'000'000,
          .completion_tokens = 5,
          .generation_ms = 0.5,
          .with_objective = 6,
          .objective_met = 4,
          .queue = "1:7",
          .ttft = "2:7",
          .total = "3:7"};
}

class RequestStoreTest : public EachDatabase {
 protected:
  std::vector<std::string> ids(const RequestQuery& query) {
    std::vector<std::string> ids;
    const auto page = store_.list(query);
    EXPECT_TRUE(page) << page.error().message << " " << page.error().detail;
    if (!page) return ids;
    for (const RequestRow& row : page->requests) ids.push_back(row.id);
    return ids;
  }
  std::vector<RollupRow> rollups(const RollupQuery& query) {
    const auto rows = store_.rollups(query);
    EXPECT_TRUE(rows) << rows.error().message << " " << rows.error().detail;
    return rows.value_or(std::vector<RollupRow>{});
  }
  // Rows, with the sums by which lists find them.
  void write_found(const std::vector<RequestRow>& rows) {
    std::set<std::tuple<std::string, std::string>> values;
    for (const RequestRow& row : rows) {
      values.insert({{"role", row.role},
                     {"model", row.model},
                     {"key", row.key_id},
                     {"route", row.route},
                     {"status", std::to_string(row.status)}});
    }
    std::vector<RollupRow> sums;
    for (const auto& [dimension, value] : values) {
      RollupRow& of = sums.emplace_back(sum(RollupSpan::minute, kIdMinute, value));
      of.dimension = dimension;
    }
    write(rows, sums);
  }
  // Sums of minutes as their writers write them, then what was put together of them.
  void write(const std::vector<RequestRow>& rows, std::vector<RollupRow> sums = {}) {
    const auto larger =
        std::ranges::partition(sums, [](const RollupRow& each) { return each.span == RollupSpan::minute; });
    const auto written = store_.write(rows, std::span(sums.begin(), larger.begin()), 0);
    ASSERT_TRUE(written) << written.error().message << " " << written.error().detail;
    for (const RollupRow& each : larger)
      ASSERT_TRUE(store_.replace_rollups(each.span, each.start, std::span(&each, 1)));
  }

  TestFolder folder_;
  FailingDisk disk_;
  SystemClock clock_;
  TestStores stores_{folder_.path(), disk_, clock_, new_database(GetParam(), folder_.path())};
  RequestStore& store_ = stores_.requests;
};

TEST_P(RequestStoreTest, GivesBackEveryColumnAsItCame) {
  write({request(1)});
  const auto page = store_.list({});
  ASSERT_TRUE(page) << page.error().detail;
  EXPECT_THAT(page->requests, ElementsAre(request(1)));
  EXPECT_EQ(page->next_cursor, std::nullopt);
}

TEST_P(RequestStoreTest, LeavesARowThatIsThereAlreadyAndTellsWhichAreNot) {
  write({request(1)});
  RequestRow other = request(1);
  other.status = 500;
  write({other, request(2)});
  EXPECT_EQ(store_.list({})->requests.back(), request(1));
  const std::vector<std::string> asked{id_of(3), id_of(2), id_of(4)};
  EXPECT_THAT(*store_.missing(asked), ElementsAre(id_of(3), id_of(4)));
  EXPECT_THAT(*store_.missing({}), IsEmpty());
  std::vector<std::string> many;
  for (int i = 1; i <= 1'000; ++i) many.push_back(id_of(i));
  const auto missing = store_.missing(many);
  ASSERT_TRUE(missing);
  many.erase(many.begin(), many.begin() + 2);
  EXPECT_EQ(*missing, many) << "more than one question asks";
}

TEST_P(RequestStoreTest, ListsNewestFirstInPages) {
  write({request(3), request(1), request(5), request(2), request(4)});
  const auto first = store_.list({.limit = 2});
  ASSERT_TRUE(first);
  EXPECT_THAT(ids({.limit = 2}), ElementsAre(id_of(5), id_of(4)));
  EXPECT_THAT(ids({.limit = 2, .cursor = *first->next_cursor}), ElementsAre(id_of(3), id_of(2)));
  EXPECT_EQ(store_.list({.limit = 5})->next_cursor, std::nullopt);
  EXPECT_EQ(store_.list({.limit = 0}).error().code, "limit_out_of_bounds");
  EXPECT_EQ(store_.list({.limit = RequestStore::kListLimitMax + 1}).error().code, "limit_out_of_bounds");
  EXPECT_EQ(store_.list({.cursor = "x"}).error().code, "cursor_malformed");
}

TEST_P(RequestStoreTest, FiltersByEachAndByAllTogether) {
  RequestRow vision = request(2), busy = request(3), broken = request(4);
  vision.role = "vision";
  vision.model = "eyes";
  busy.status = 429;
  busy.key_id = "key-1";
  broken.status = 503;
  broken.route = "POST /v1/chat/completions";
  write_found({request(1), vision, busy, broken});
  EXPECT_THAT(ids({.role = "vision"}), ElementsAre(id_of(2)));
  EXPECT_THAT(ids({.model = "eyes"}), ElementsAre(id_of(2)));
  EXPECT_THAT(ids({.key_id = "key-1"}), ElementsAre(id_of(3)));
  EXPECT_THAT(ids({.route = "POST /v1/chat/completions"}), ElementsAre(id_of(4)));
  EXPECT_THAT(ids({.status = 429}), ElementsAre(id_of(3)));
  EXPECT_THAT(ids({.status = 2}), ElementsAre(id_of(2), id_of(1)));
  EXPECT_THAT(ids({.status = 5}), ElementsAre(id_of(4)));
  EXPECT_THAT(ids({.role = "technical", .key_id = "key-1", .status = 4}), ElementsAre(id_of(3)));
  EXPECT_THAT(ids({.role = "technical' OR '1'='1"}), IsEmpty());
}

TEST_P(RequestStoreTest, AFilterOfAHundredTakesAllOfItAndNoneOfTheNext) {
  std::vector<RequestRow> rows;
  for (const int status : {199, 200, 299, 300, 399, 400, 499, 500, 599}) {
    rows.push_back(request(status));
    rows.back().status = status;
  }
  write_found(rows);
  EXPECT_THAT(ids({.status = 1}), ElementsAre(id_of(199)));
  EXPECT_THAT(ids({.status = 2}), ElementsAre(id_of(299), id_of(200)));
  EXPECT_THAT(ids({.status = 3}), ElementsAre(id_of(399), id_of(300)));
  EXPECT_THAT(ids({.status = 4}), ElementsAre(id_of(499), id_of(400)));
  EXPECT_THAT(ids({.role = "technical", .status = 5}), ElementsAre(id_of(599), id_of(500)));
}

TEST_P(RequestStoreTest, WritesAnyNumberOfRowsInTheirOrder) {
  for (const int count : {1, 7, 8, 9, 15, 16, 17, 23, 63, 64, 137}) {
    std::vector<RequestRow> rows;
    std::vector<RollupRow> sums;
    for (int i = 0; i < count; ++i) {
      rows.push_back(request(count * 100 + i));
      sums.push_back(sum(RollupSpan::minute, 60'000 * count + 60 * i));
    }
    write(rows, sums);
    std::ranges::reverse(rows);
    EXPECT_EQ(store_.list({.limit = count})->requests, rows) << count;
    EXPECT_EQ(rollups({.from = 60'000 * count, .to = 60'000 * (count + 1)}), sums) << count;
  }
}

TEST_P(RequestStoreTest, WritesWhatChangesFromRowToRowAndBack) {
  std::vector<RequestRow> rows;
  for (int i = 0; i < 80; ++i) {
    RequestRow& row = rows.emplace_back(request(i));
    // Each with a rhythm of its own, and none of them that of rows which may be written together.
    const auto text = [i](int rhythm) {
      return i % rhythm == 0 ? std::string() : std::string(static_cast<std::size_t>(i % rhythm % 5), 'x');
    };
    row.request_id = text(2), row.route = text(3), row.role = text(5), row.model = text(7), row.backend = text(11);
    row.device = text(13), row.key_id = text(17), row.error_code = text(19);
    row.status = i % 23, row.complexity = i % 4, row.prompt_tokens = i % 6, row.completion_tokens = i % 9;
    row.queue_ms = i % 10, row.ttft_ms = i % 14, row.total_ms = i % 15, row.objective_ms = i % 21;
  }
  const std::vector<RequestRow> there{request(5), request(33), request(79)};
  write(there);
  write(rows);
  for (const RequestRow& row : there) *std::ranges::find(rows, row.id, &RequestRow::id) = row;
  for (const RequestRow& row : rows) EXPECT_EQ(*store_.find(row.id), row) << row.id;
}

// The rare ones are the oldest, behind more than is gone through for a page.
TEST_P(RequestStoreTest, ALookForWhatIsRareEndsAndTheNextPageGoesOn) {
  constexpr int kRows = 2 * RequestStore::kListLookMax + 10;
  std::vector<RequestRow> rows;
  rows.reserve(kRows);
  for (int i = 0; i < kRows; ++i) {
    RequestRow& row = rows.emplace_back(request(i));
    if (i >= 2) (i % 2 == 0 ? row.role : row.model) = "other";  // Both are common, but together only in two.
  }
  write_found(rows);
  RequestQuery query{.limit = 2, .role = "technical", .model = "demo-technical"};
  std::vector<std::string> found;
  std::vector<std::size_t> pages;
  for (;;) {
    const auto page = store_.list(query);
    ASSERT_TRUE(page) << page.error().detail;
    pages.push_back(page->requests.size());
    for (const RequestRow& row : page->requests) found.push_back(row.id);
    if (!page->next_cursor) break;
    query.cursor = *page->next_cursor;
  }
  EXPECT_THAT(found, ElementsAre(id_of(1), id_of(0)));
  EXPECT_THAT(pages, ElementsAre(0U, 0U, 2U));
  EXPECT_EQ(ids({.limit = 2, .role = "technical", .status = 2}).size(), 2U);
}

// An hour each, and the sums of some are of minutes, of others of the hour.
TEST_P(RequestStoreTest, OnlyHoursInWhichAllOfItWasAreLookedThrough) {
  constexpr int kHours = 200;
  const auto at = [](int hour) { return WallTime(std::chrono::hours(480'000 + hour)); };
  std::vector<RequestRow> rows;
  std::vector<RollupRow> sums;
  for (int hour = 0; hour < kHours; ++hour) {
    RequestRow& row = rows.emplace_back(request(hour));
    row.id = new_uuid(at(hour) + std::chrono::minutes(hour % 60));
    row.role = hour % 2 == 0 ? "even" : "odd";
    row.model = hour % 50 == 0 ? "rare" : "common";
    const std::int64_t start = std::chrono::duration_cast<std::chrono::seconds>(at(hour).time_since_epoch()).count();
    const bool is_whole = hour < kHours / 2;
    const RollupSpan span = is_whole ? RollupSpan::hour : RollupSpan::minute;
    std::vector<RollupRow> both(2, sum(span, is_whole ? start : start + hour % 60 * 60));
    both[0].dimension = "role";
    both[0].value = row.role;
    both[1].dimension = "model";
    both[1].value = row.model;
    if (is_whole) {
      ASSERT_TRUE(store_.replace_rollups(span, start, both));
    } else {
      sums.insert(sums.end(), both.begin(), both.end());
    }
  }
  write(rows, sums);
  const auto id = [&](int hour) { return rows[static_cast<std::size_t>(hour)].id; };
  EXPECT_THAT(ids({.model = "rare"}), ElementsAre(id(150), id(100), id(50), id(0)));
  EXPECT_THAT(ids({.role = "even", .model = "rare"}), ElementsAre(id(150), id(100), id(50), id(0)));
  EXPECT_THAT(ids({.role = "odd", .model = "rare"}), IsEmpty());
  const auto first = store_.list({.limit = 3, .model = "rare"});
  ASSERT_TRUE(first && first->next_cursor);
  EXPECT_THAT(ids({.limit = 3, .cursor = *first->next_cursor, .model = "rare"}), ElementsAre(id(0)));
  EXPECT_EQ(ids({.limit = 50, .role = "odd"}).size(), 50U);
  EXPECT_EQ(store_.list({.model = "nobody's"})->next_cursor, std::nullopt);
}

TEST_P(RequestStoreTest, ASumTakesThePlaceOfTheSameWritersOlderOne) {
  const RollupRow first = sum(RollupSpan::minute, 600);
  RollupRow more = first, other = first;
  more.requests = 9;
  more.total = "3:9";
  other.writer = "w2";
  write({}, {first, other});
  write({}, {more});
  EXPECT_THAT(rollups({.from = 600, .to = 660}), ElementsAre(more, other));
}

TEST_P(RequestStoreTest, GivesBackSumsOfATimeAndADimension) {
  const RollupRow all = sum(RollupSpan::minute, 600), role = sum(RollupSpan::minute, 600, "vision"),
                  later = sum(RollupSpan::minute, 660), hour = sum(RollupSpan::hour, 0);
  write({}, {later, role, all, hour});
  EXPECT_THAT(rollups({.from = 0, .to = 720}), ElementsAre(all, role, later));
  EXPECT_THAT(rollups({.from = 0, .to = 660}), ElementsAre(all, role));
  EXPECT_THAT(rollups({.from = 601, .to = 720}), ElementsAre(later));
  EXPECT_THAT(rollups({.from = 0, .to = 720, .dimension = "role"}), ElementsAre(role));
  EXPECT_THAT(rollups({.span = RollupSpan::hour, .from = 0, .to = 720}), ElementsAre(hour));
}

TEST_P(RequestStoreTest, WritesBothOrNothing) {
  const auto dropped = stores_.database->with_connection([](soci::session& session) -> Result<void> {
    session << "DROP TABLE gbgreg_request_rollups";
    return {};
  });
  ASSERT_TRUE(dropped);
  EXPECT_FALSE(store_.write(std::vector{request(1)}, std::vector{sum(RollupSpan::minute, 600)}, 0));
  EXPECT_THAT(ids({}), IsEmpty());
}

TEST_P(RequestStoreTest, TellsWhichHoursAndDaysAreToBePutTogether) {
  write({}, {sum(RollupSpan::ten_minutes, 3'600), sum(RollupSpan::ten_minutes, 6'600),
             sum(RollupSpan::ten_minutes, 7'200), sum(RollupSpan::ten_minutes, 10'800), sum(RollupSpan::hour, 7'200),
             sum(RollupSpan::minute, 60), sum(RollupSpan::six_hours, 64'800)});
  EXPECT_THAT(*store_.not_rolled_up(RollupSpan::ten_minutes, 0, 86'400), ElementsAre(0));
  EXPECT_THAT(*store_.not_rolled_up(RollupSpan::hour, 0, 86'400), ElementsAre(3'600, 10'800));
  EXPECT_THAT(*store_.not_rolled_up(RollupSpan::hour, 0, 10'800), ElementsAre(3'600));
  EXPECT_THAT(*store_.not_rolled_up(RollupSpan::hour, 7'200, 86'400), ElementsAre(10'800));
  EXPECT_THAT(*store_.not_rolled_up(RollupSpan::six_hours, 0, 86'400), ElementsAre(0));
  EXPECT_THAT(*store_.not_rolled_up(RollupSpan::day, 0, 86'400), ElementsAre(0));
  const RollupRow together = sum(RollupSpan::hour, 3'600);
  ASSERT_TRUE(store_.replace_rollups(RollupSpan::hour, 3'600, std::vector{together}));
  EXPECT_THAT(*store_.not_rolled_up(RollupSpan::hour, 0, 86'400), ElementsAre(10'800));
  EXPECT_THAT(rollups({.span = RollupSpan::hour, .from = 3'600, .to = 7'200}), ElementsAre(together));
  ASSERT_TRUE(store_.replace_rollups(RollupSpan::hour, 3'600, {}));
  EXPECT_THAT(rollups({.span = RollupSpan::hour, .from = 3'600, .to = 7'200}), IsEmpty());
}

TEST_P(RequestStoreTest, WhatComesLateReopensItsHourAndItsDayButNoneTooOld) {
  const std::vector<RollupRow> put_together{sum(RollupSpan::hour, 0), sum(RollupSpan::hour, 3'600),
                                            sum(RollupSpan::six_hours, 0), sum(RollupSpan::ten_minutes, 0),
                                            sum(RollupSpan::day, 0)};
  const std::vector<RollupRow> late{sum(RollupSpan::minute, 120)};
  for (const RollupRow& each : put_together) {
    ASSERT_TRUE(store_.replace_rollups(each.span, each.start, std::span(&each, 1)));
  }
  ASSERT_TRUE(store_.write({}, late, 3'600));
  EXPECT_EQ(rollups({.span = RollupSpan::hour, .from = 0, .to = 86'400}).size(), 2U);
  EXPECT_EQ(rollups({.span = RollupSpan::ten_minutes, .from = 0, .to = 86'400}).size(), 1U);
  EXPECT_THAT(rollups({.span = RollupSpan::six_hours, .from = 0, .to = 86'400}), IsEmpty());
  EXPECT_THAT(rollups({.span = RollupSpan::day, .from = 0, .to = 86'400}), IsEmpty());
  ASSERT_TRUE(store_.write({}, late, 0));
  EXPECT_THAT(rollups({.span = RollupSpan::ten_minutes, .from = 0, .to = 86'400}), IsEmpty());
  EXPECT_THAT(rollups({.span = RollupSpan::hour, .from = 0, .to = 86'400}), ElementsAre(put_together[1]));
}

TEST_P(RequestStoreTest, ForgetsTheOldestFirstAndNoMoreThanItIsTold) {
  write({request(1), request(2), request(3), request(4)},
        {sum(RollupSpan::minute, 60), sum(RollupSpan::minute, 120), sum(RollupSpan::hour, 0)});
  EXPECT_EQ(*store_.forget_rows(id_of(4), 2), 2);
  EXPECT_THAT(ids({}), ElementsAre(id_of(4), id_of(3)));
  EXPECT_EQ(*store_.forget_rows(id_of(4), 2), 1);
  EXPECT_EQ(*store_.forget_rows(id_of(4), 2), 0);
  EXPECT_EQ(*store_.forget_rollups(RollupSpan::minute, 120), 1);
  EXPECT_EQ(*store_.forget_rollups(RollupSpan::minute, 120), 0);
  EXPECT_THAT(rollups({.from = 0, .to = 1'000}), ElementsAre(sum(RollupSpan::minute, 120)));
  EXPECT_EQ(rollups({.span = RollupSpan::hour, .from = 0, .to = 1'000}).size(), 1U);
}

TEST_P(RequestStoreTest, ForgetsOldSumsInPortions) {
  std::vector<RollupRow> sums;
  for (int i = 0; i < RequestStore::kForgottenSpans + 10; ++i) {
    sums.push_back(sum(RollupSpan::minute, 60 * i));
    sums.push_back(sum(RollupSpan::minute, 60 * i, "vision"));
  }
  write({}, sums);
  EXPECT_EQ(*store_.forget_rollups(RollupSpan::minute, 60'000), 2 * RequestStore::kForgottenSpans);
  EXPECT_EQ(rollups({.from = 0, .to = 60'000}).size(), 20U);
  EXPECT_EQ(*store_.forget_rollups(RollupSpan::minute, 60'000), 20);
}

GBGREG_ON_EACH_DATABASE(RequestStoreTest);

}  // namespace
}  // namespace gbgreg::storage
