#include "storage/screenshots.h"

#include <gtest/gtest.h>

#include <mutex>
#include <set>
#include <thread>

#include "core/core.h"
#include "storage/each_database.h"
#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::storage {
namespace {

class ScreenshotStoreTest : public EachDatabase {
 protected:
  // The nth upload and what was seen on it, each a millisecond after the one before.
  Analysis analysis(int nth) {
    const WallTime time{std::chrono::milliseconds{1'700'000'000'000 + nth}};
    const Upload upload{.id = new_uuid(time),
                        .filename = "shot.png",
                        .original_filename = "shot.png",
                        .kind = "image",
                        .media_type = "image/png",
                        .size_bytes = 10,
                        .sha256 = std::string(64, 'a'),
                        .created_at = rfc3339(time)};
    EXPECT_TRUE(stores_.uploads.insert(upload));
    return {.id = new_uuid(time),
            .upload_id = upload.id,
            .image_sha256 = upload.sha256,
            .prompt = "What is this?",
            .created_at = rfc3339(time)};
  }
  static Analysis finished(Analysis analysis, std::string description = "A window.") {
    analysis.status = "done";
    analysis.model = "demo-vision";
    analysis.role = "vision";
    analysis.description = std::move(description);
    analysis.extracted_text = "File Edit View";
    analysis.width = 1920;
    analysis.height = 1080;
    analysis.duration_ms = 1234;
    analysis.finished_at = analysis.created_at;
    return analysis;
  }
  std::vector<std::string> found(const std::string& q) {
    const AnalysisQuery query{.q = q};
    const auto page = store_.list(query);
    EXPECT_TRUE(page);
    std::vector<std::string> ids;
    for (const Analysis& each : page->analyses) ids.push_back(each.id);
    return ids;
  }

  TestFolder folder_;
  Disk disk_;
  SystemClock clock_;
  TestStores stores_{folder_.path(), disk_, clock_, new_database(GetParam(), folder_.path())};
  ScreenshotStore& store_ = stores_.screenshots;
};

TEST_P(ScreenshotStoreTest, GivesBackEveryColumnAsItCame) {
  const Analysis queued = analysis(1);
  ASSERT_TRUE(store_.insert(queued));
  EXPECT_EQ(store_.find(queued.id).value(), queued);

  const Analysis done = finished(queued, "naïve 'quote\" ; DROP TABLE gbgreg_uploads; --");
  ASSERT_TRUE(store_.update(done));
  EXPECT_EQ(store_.find(queued.id).value(), done);

  Analysis failed = analysis(2);
  failed.status = "failed";
  failed.error_code = "no_vision_model";
  failed.error_message = "Nobody sees.";
  ASSERT_TRUE(store_.insert(failed));
  EXPECT_EQ(store_.find(failed.id).value(), failed);
}

TEST_P(ScreenshotStoreTest, AnUnknownIdIsNotFound) {
  EXPECT_EQ(store_.find("' OR 1=1 --").error().code, "screenshot_not_found");
  EXPECT_EQ(store_.update(analysis(1)).error().code, "screenshot_not_found");
}

TEST_P(ScreenshotStoreTest, IsNotKeptWithoutItsUpload) {
  Analysis orphan = analysis(1);
  ASSERT_TRUE(stores_.uploads.remove(orphan.upload_id));
  EXPECT_EQ(store_.insert(orphan).error().code, "upload_not_found");
  EXPECT_EQ(store_.enqueue(orphan, 10).error().code, "upload_not_found");
}

TEST_P(ScreenshotStoreTest, GoesWithItsUpload) {
  const Analysis first = analysis(1), second = analysis(2);
  ASSERT_TRUE(store_.insert(first));
  ASSERT_TRUE(store_.insert(second));
  ASSERT_TRUE(stores_.uploads.remove(first.upload_id));
  EXPECT_EQ(store_.find(first.id).error().kind, Kind::not_found);
  EXPECT_TRUE(store_.find(second.id));
}

TEST_P(ScreenshotStoreTest, TheQueueIsWorkedOffInItsOrder) {
  const Analysis first = analysis(1), second = analysis(2);
  ASSERT_TRUE(store_.enqueue(second, 10));
  ASSERT_TRUE(store_.enqueue(first, 10));
  ASSERT_TRUE(store_.insert(finished(analysis(0))));
  Analysis running = first;
  running.status = "running";
  EXPECT_EQ(store_.take_next().value(), running);
  EXPECT_EQ(store_.find(first.id)->status, "running");
  EXPECT_EQ(store_.take_next().value()->id, second.id);
  EXPECT_EQ(store_.take_next().value(), std::nullopt);
}

TEST_P(ScreenshotStoreTest, TheQueueIsBounded) {
  ASSERT_TRUE(store_.enqueue(analysis(1), 2));
  ASSERT_TRUE(store_.enqueue(analysis(2), 2));
  const auto refused = store_.enqueue(analysis(3), 2);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::busy);
  EXPECT_EQ(refused.error().code, "screenshot_queue_full");
  EXPECT_TRUE(refused.error().retry_after_seconds);
  // One that runs has left the queue.
  ASSERT_TRUE(store_.take_next().value());
  EXPECT_TRUE(store_.enqueue(analysis(4), 2));
}

TEST_P(ScreenshotStoreTest, WhatRanWhenTheProcessEndedIsQueuedAgain) {
  const Analysis first = analysis(1), second = analysis(2);
  ASSERT_TRUE(store_.enqueue(first, 10));
  ASSERT_TRUE(store_.enqueue(second, 10));
  ASSERT_TRUE(store_.insert(finished(analysis(3))));
  ASSERT_TRUE(store_.take_next().value());
  EXPECT_EQ(store_.requeue().value(), 2);
  EXPECT_EQ(store_.take_next().value()->id, first.id) << "in its old place";
}

TEST_P(ScreenshotStoreTest, WhoeverTakesFromTheQueueAtOnceTakesAnother) {
  constexpr int kThreads = 4, kEach = 5;
  for (int i = 0; i < kThreads * kEach; ++i) ASSERT_TRUE(store_.enqueue(analysis(i), kThreads * kEach));
  std::mutex mutex;
  std::multiset<std::string> taken;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        const auto next = store_.take_next();
        ASSERT_TRUE(next && *next);
        const std::scoped_lock lock(mutex);
        taken.insert((*next)->id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::set<std::string>(taken.begin(), taken.end()).size(), static_cast<std::size_t>(kThreads * kEach));
}

TEST_P(ScreenshotStoreTest, OfSeveralGatewaysEachWorksOnWhatCameInByItself) {
  ScreenshotStore one(*stores_.database, "one"), two(*stores_.database, "two");
  const Analysis first = analysis(1), second = analysis(2), older = analysis(3);
  ASSERT_TRUE(one.enqueue(first, 10));
  ASSERT_TRUE(two.enqueue(second, 10));
  ASSERT_TRUE(store_.enqueue(older, 10));
  EXPECT_EQ(two.take_next().value()->id, second.id);
  ASSERT_TRUE(one.requeue());
  EXPECT_EQ(store_.find(second.id)->status, "running") << "another one is at it";
  EXPECT_EQ(one.take_next().value()->id, first.id);
  EXPECT_EQ(one.take_next().value()->id, older.id) << "nobody's in particular";
  EXPECT_FALSE(one.take_next().value());
  ASSERT_TRUE(two.requeue());
  EXPECT_EQ(two.take_next().value()->id, second.id);
}

TEST_P(ScreenshotStoreTest, IsListedNewestFirstByPages) {
  std::vector<std::string> made;
  for (int i = 0; i < 5; ++i) {
    const Analysis each = finished(analysis(i));
    ASSERT_TRUE(store_.insert(each));
    made.insert(made.begin(), each.id);
  }
  std::vector<std::string> seen;
  AnalysisQuery query{.limit = 2};
  for (int page_number = 0; page_number < 3; ++page_number) {
    const auto page = store_.list(query).value();
    for (const Analysis& each : page.analyses) seen.push_back(each.id);
    ASSERT_EQ(page.next_cursor.has_value(), page_number < 2);
    query.cursor = page.next_cursor.value_or("");
  }
  EXPECT_EQ(seen, made);
}

TEST_P(ScreenshotStoreTest, IsFoundByWhatWasSaidReadOrAsked) {
  Analysis one = finished(analysis(1), "A dialog about 100% of it");
  one.extracted_text = "Cancel OK";
  one.prompt = "Which buttons?";
  ASSERT_TRUE(store_.insert(one));
  ASSERT_TRUE(store_.insert(finished(analysis(2))));
  const std::vector<std::string> only{one.id};
  for (const char* q : {"DIALOG", "cancel", "which Buttons", "100%"}) EXPECT_EQ(found(q), only) << q;
  EXPECT_TRUE(found("1_0%").empty());
  EXPECT_EQ(found("").size(), 2U);
}

TEST_P(ScreenshotStoreTest, RefusesAPageThatIsNone) {
  const AnalysisQuery none{.limit = 0}, too_many{.limit = ScreenshotStore::kListLimitMax + 1}, strange{.cursor = "x"};
  EXPECT_EQ(store_.list(none).error().code, "limit_out_of_bounds");
  EXPECT_EQ(store_.list(too_many).error().code, "limit_out_of_bounds");
  EXPECT_EQ(store_.list(strange).error().code, "cursor_malformed");
}

TEST_P(ScreenshotStoreTest, KnowsWhatItWasAskedBefore) {
  const Analysis done = finished(analysis(1));
  ASSERT_TRUE(store_.insert(done));
  ASSERT_TRUE(store_.insert(analysis(2)));  // Not done.
  const ScreenshotStore::Same same{.image_sha256 = done.image_sha256, .prompt = done.prompt, .model = "demo-vision"};
  EXPECT_EQ(store_.find_done(same).value(), done);
  for (auto change :
       {&ScreenshotStore::Same::image_sha256, &ScreenshotStore::Same::prompt, &ScreenshotStore::Same::model}) {
    ScreenshotStore::Same other = same;
    (other.*change) += "x";
    EXPECT_EQ(store_.find_done(other).value(), std::nullopt);
  }
}

GBGREG_ON_EACH_DATABASE(ScreenshotStoreTest);

}  // namespace
}  // namespace gbgreg::storage
