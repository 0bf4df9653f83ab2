#include "records/spool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>

#include "storage/failing_disk.h"

namespace gbgreg::records {
namespace {

using storage::RequestRow;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

RequestRow row(int number) {
  return {.id = "id-" + std::to_string(number),
          .request_id = "a \"quoted\"\nline \xc3\xbc",
          .created_at = "2026-11-30T09:05:07.123Z",
          .route = "POST /api/generate",
          .role = "technical",
          .model = "demo",
          .backend = "technical",
          .device = "CPU",
          .key_id = "k",
          .status = 200,
          .error_code = "",
          .complexity = 2,
          .prompt_tokens = 3'000'000'000,
          .completion_tokens = -1,
          .queue_ms = 0,
          .ttft_ms = 0.1,
          .total_ms = 1e9,
          .objective_ms = 5'000};
}

class SpoolTest : public testing::Test {
 protected:
  std::unique_ptr<Spool> opened(std::uint64_t bytes_max = 1024 * 1024) {
    auto spool = std::make_unique<Spool>(path_, disk_, bytes_max);
    EXPECT_TRUE(spool->open());
    return spool;
  }
  static std::vector<std::string> ids(Spool& spool) {
    std::vector<std::string> ids;
    while (!spool.is_empty()) {
      const auto read = spool.read();
      if (!read || !spool.advance()) break;
      for (const RequestRow& each : read->rows) ids.push_back(each.id);
    }
    return ids;
  }

  storage::TestFolder folder_;
  storage::FailingDisk disk_;
  std::filesystem::path path_ = folder_.path() / "records.spool";
};

TEST_F(SpoolTest, ARowComesBackFromItsLineAsItWas) {
  const std::string line = line_of(row(1));
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(row_in(line), row(1));
  for (const char* bad : {"", "{}", "[]", "nonsense", R"({"id":"x"})"}) EXPECT_EQ(row_in(bad), std::nullopt) << bad;
  EXPECT_EQ(row_in(std::string_view(line).substr(0, line.size() / 2)), std::nullopt);
}

TEST_F(SpoolTest, GivesBackWhatItWasGivenAndIsEmptyThen) {
  const auto spool = opened();
  EXPECT_TRUE(spool->is_empty());
  ASSERT_TRUE(spool->append(std::vector{row(1), row(2)}));
  ASSERT_TRUE(spool->append(std::vector{row(3)}));
  const auto read = spool->read();
  ASSERT_TRUE(read);
  EXPECT_THAT(read->rows, ElementsAre(row(1), row(2), row(3)));
  EXPECT_THAT(spool->read()->rows, SizeIs(3)) << "until it is told that they are written";
  ASSERT_TRUE(spool->advance());
  EXPECT_TRUE(spool->is_empty());
  EXPECT_EQ(std::filesystem::file_size(path_), 0U);
  EXPECT_THAT(spool->read()->rows, IsEmpty());
}

TEST_F(SpoolTest, WhatComesWhileItIsReadIsNotLost) {
  const auto spool = opened();
  ASSERT_TRUE(spool->append(std::vector{row(1)}));
  ASSERT_TRUE(spool->read());
  ASSERT_TRUE(spool->append(std::vector{row(2)}));
  ASSERT_TRUE(spool->advance());
  EXPECT_THAT(ids(*spool), ElementsAre("id-2"));
}

TEST_F(SpoolTest, IsReadInPieces) {
  const auto spool = opened(64 * 1024 * 1024);
  std::vector<RequestRow> many;
  many.reserve(2'000);
  for (int i = 0; i < 2'000; ++i) many.push_back(row(i));
  ASSERT_TRUE(spool->append(many));
  std::size_t rows = 0;
  int pieces = 0;
  for (; !spool->is_empty(); ++pieces) {
    const auto read = spool->read(1);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->damaged, 0U);
    rows += read->rows.size();
    ASSERT_TRUE(spool->advance());
  }
  EXPECT_EQ(rows, 2'000U);
  EXPECT_GT(pieces, 5);
}

TEST_F(SpoolTest, IsTakenOverFromAProcessThatWasKilledInTheMiddleOfALine) {
  ASSERT_TRUE(opened()->append(std::vector{row(1)}));
  std::ofstream(path_, std::ios::app) << line_of(row(2)).substr(0, 30);
  const auto spool = opened();
  ASSERT_TRUE(spool->append(std::vector{row(3)}));
  const auto read = spool->read();
  ASSERT_TRUE(read);
  EXPECT_THAT(read->rows, ElementsAre(row(1), row(3)));
  EXPECT_EQ(read->damaged, 1U);
}

TEST_F(SpoolTest, PassesOverWhatIsNoneOfOurs) {
  std::ofstream(path_) << "garbage\n\n" << std::string(200'000, 'x') << "\n" << line_of(row(1));
  const auto spool = opened();
  EXPECT_THAT(ids(*spool), ElementsAre("id-1"));
  EXPECT_EQ(std::filesystem::file_size(path_), 0U);
}

TEST_F(SpoolTest, TakesNoMoreThanItMay) {
  const auto spool = opened(line_of(row(1)).size() * 2);
  ASSERT_TRUE(spool->append(std::vector{row(1), row(2)}));
  EXPECT_EQ(spool->append(std::vector{row(3)}).error().code, "spool_full");
  EXPECT_THAT(ids(*spool), ElementsAre("id-1", "id-2"));
  EXPECT_TRUE(spool->append(std::vector{row(3)}));
}

TEST_F(SpoolTest, OnAFullDiskKeepsAllOrNothing) {
  const auto spool = opened();
  ASSERT_TRUE(spool->append(std::vector{row(1)}));
  for (int nth = 1; nth <= 2; ++nth) {
    disk_.fail_call(nth, ENOSPC);
    EXPECT_EQ(spool->append(std::vector{row(2)}).error().code, "storage_full") << nth;
  }
  ASSERT_TRUE(spool->append(std::vector{row(3)}));
  EXPECT_THAT(ids(*spool), ElementsAre("id-1", "id-3"));
}

}  // namespace
}  // namespace gbgreg::records
