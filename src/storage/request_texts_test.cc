#include "storage/request_texts.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/core.h"
#include "storage/each_database.h"
#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::storage {
namespace {

class RequestTextStoreTest : public EachDatabase {
 protected:
  TestFolder folder_;
  Disk disk_;
  SystemClock clock_;
  TestStores stores_{folder_.path(), disk_, clock_, new_database(GetParam(), folder_.path())};
  RequestTextStore store_{*stores_.database};
};

TEST_P(RequestTextStoreTest, GivesBackWhatItWasGiven) {
  const RequestTexts one{.id = "1", .prompt = "Was ist das?\n'\"%_;--", .answer = "Größe: 😀"}, two{.id = "2"};
  ASSERT_TRUE(store_.write(std::vector{one, two}));
  EXPECT_EQ(store_.find("1").value(), one);
  EXPECT_EQ(store_.find("2").value(), two);
  EXPECT_EQ(store_.find("3").value(), std::nullopt);
}

TEST_P(RequestTextStoreTest, WritingAgainChangesNothing) {
  const RequestTexts one{.id = "1", .prompt = "first"}, again{.id = "1", .prompt = "second"};
  ASSERT_TRUE(store_.write(std::vector{one}));
  ASSERT_TRUE(store_.write(std::vector{again}));
  EXPECT_EQ(store_.find("1").value(), one);
}

TEST_P(RequestTextStoreTest, ForgetsTheOldestFirst) {
  std::vector<RequestTexts> texts;
  for (const char* id : {"1", "2", "3", "4"}) texts.push_back({.id = id});
  ASSERT_TRUE(store_.write(texts));
  EXPECT_EQ(store_.forget("4", 2).value(), 2);
  EXPECT_FALSE(store_.find("2").value());
  EXPECT_TRUE(store_.find("3").value());
  EXPECT_EQ(store_.forget("4", 2).value(), 1);
  EXPECT_EQ(store_.forget("4", 2).value(), 0);
  EXPECT_TRUE(store_.find("4").value());
}

GBGREG_ON_EACH_DATABASE(RequestTextStoreTest);

}  // namespace
}  // namespace gbgreg::storage
