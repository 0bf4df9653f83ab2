#include "http/analytics_json.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace gbgreg::http {
namespace {

namespace json = boost::json;

storage::RequestRow row() {
  return {.id = "1",
          .request_id = "r",
          .created_at = "2026-11-30T09:05:07.123Z",
          .route = "POST /api/generate",
          .role = "technical",
          .model = "demo",
          .backend = "technical",
          .device = "CPU",
          .status = 200,
          .complexity = 3,
          .prompt_tokens = 10,
          .completion_tokens = 20,
          .queue_ms = 0.12345,
          .ttft_ms = 12.5,
          .total_ms = 412.5,
          .objective_ms = 5'000};
}

std::string csv(const storage::RequestRow& of) {
  std::string out;
  append_csv(out, of);
  return out;
}

TEST(Csv, HasAFieldForEachColumnOfItsHead) {
  EXPECT_EQ(
      csv(row()),
      "1,r,2026-11-30T09:05:07.123Z,POST /api/generate,technical,demo,technical,CPU,,200,,3,10,20,0.123,12.5,412.5,"
      "5000\r\n");
  const std::string head = csv_head(), line = csv(row());
  EXPECT_EQ(std::ranges::count(head, ','), std::ranges::count(line, ','));
}

TEST(Csv, QuotesWhatWouldBeReadAsMoreThanAField) {
  storage::RequestRow odd = row();
  odd.model = "a,\"b\"\nc";
  EXPECT_NE(csv(odd).find(",\"a,\"\"b\"\"\nc\","), std::string::npos) << csv(odd);
}

TEST(Csv, NoFieldIsAFormula) {
  for (const char* formula : {"=1+1", "+1", "-1", "@x", "\tx"}) {
    storage::RequestRow odd = row();
    odd.model = formula;
    EXPECT_NE(csv(odd).find(std::string(",'") + formula), std::string::npos) << csv(odd);
  }
}

TEST(RequestJson, SaysNullForWhatDoesNotApply) {
  const json::object said =
      json::parse(request_json({.id = "1", .route = "GET /api/tags", .status = 200, .total_ms = 0.25})).as_object();
  for (const char* name :
       {"role", "model", "backend", "device", "key_id", "error_code", "complexity", "objective_ms"}) {
    EXPECT_TRUE(said.at(name).is_null()) << name;
  }
  EXPECT_EQ(said.at("status"), 200);
  EXPECT_DOUBLE_EQ(said.at("total_ms").to_number<double>(), 0.25);
}

TEST(Metric, KnowsWhatNothingComesTo) {
  EXPECT_EQ(Metric::named("requests")->of_nothing(), 0.0);
  EXPECT_EQ(Metric::named("total_p95")->of_nothing(), std::nullopt);
  EXPECT_EQ(Metric::named("objective_met_percent")->of_nothing(), std::nullopt);
  EXPECT_FALSE(Metric::named("total_p96"));
  EXPECT_NE(Metric::names().find("first_token_p99"), std::string::npos);
}

TEST(Metric, IsReadFromASum) {
  records::Sum sum;
  sum.add(row());
  EXPECT_DOUBLE_EQ(*Metric::named("completion_tokens")->of(sum), 20);
  EXPECT_DOUBLE_EQ(*Metric::named("tokens_per_second")->of(sum), 50);  // 20 in the 0.4 s behind the first.
  EXPECT_DOUBLE_EQ(*Metric::named("objective_met_percent")->of(sum), 100);
  EXPECT_NEAR(*Metric::named("total_p50")->of(sum), 412.5, 412.5 * 0.04);
}

TEST(SeriesJson, HasEveryBucketInEverySeries) {
  services::Series series{.period = {.from = 600, .to = 900}, .bucket = 60, .points = {}};
  series.points["ada"][660].add(row());
  const json::value said =
      json::parse(series_json("1h", *Metric::named("requests"), "key", series, {{"ada", "Ada's"}}));
  EXPECT_EQ(said.at_pointer("/series/0/key"), "ada");
  EXPECT_EQ(said.at_pointer("/series/0/name"), "Ada's");
  EXPECT_EQ(json::serialize(said.at_pointer("/series/0/points")), json::serialize(json::parse("[0,1,0,0,0]")));
  EXPECT_EQ(said.at_pointer("/from"), "1970-01-01T00:10:00.000Z");
}

}  // namespace
}  // namespace gbgreg::http
