#include "core/core.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "core/failing_memory.h"

namespace gbgreg {
namespace {

TEST(HttpStatus, EveryKindHasAStatusAndAWordOfItsOwn) {
  std::set<int> statuses;
  std::set<std::string_view> names;
  for (int kind = 0; kind <= static_cast<int>(Kind::unknown_version); ++kind) {
    statuses.insert(http_status(static_cast<Kind>(kind)));
    names.insert(kind_name(static_cast<Kind>(kind)));
  }
  EXPECT_EQ(statuses.size(), static_cast<std::size_t>(Kind::unknown_version) + 1);
  EXPECT_EQ(names.size(), statuses.size());
}

TEST(Rfc3339, WritesUtcWithMilliseconds) {
  const WallTime time{std::chrono::milliseconds{1'767'225'599'007}};
  EXPECT_EQ(rfc3339(time), "2025-12-31T23:59:59.007Z");
}

TEST(Rfc3339, IsReadAsItWasWrittenAndInNoOtherForm) {
  for (const std::int64_t milliseconds : {0LL, 1'767'225'599'007LL, 1'709'164'800'000LL}) {
    const WallTime time{std::chrono::milliseconds{milliseconds}};
    EXPECT_EQ(parse_rfc3339(rfc3339(time)), time);
  }
  for (const char* text :
       {"", "2025-12-31", "2025-12-31T23:59:59Z", "2025-12-31T23:59:59.007", "2025-12-31 23:59:59.007Z",
        "2025-13-31T23:59:59.007Z", "2025-02-29T23:59:59.007Z", "2025-12-31T24:00:00.000Z", "2025-12-31T23:60:59.007Z",
        "2025-12-31T23:59:60.007Z", "2025-12-31T23:59:59.00xZ", "2025-12-31T23:59:59.007Z "}) {
    EXPECT_EQ(parse_rfc3339(text), std::nullopt) << text;
  }
}

TEST(NewUuid, IsAVersion7UuidThatSortsByTime) {
  const WallTime earlier{std::chrono::milliseconds{1'700'000'000'000}};
  const std::string first = new_uuid(earlier);
  const std::string second = new_uuid(earlier + std::chrono::milliseconds{1});
  EXPECT_TRUE(is_uuid(first)) << first;
  EXPECT_EQ(first[14], '7');
  EXPECT_NE(std::string_view("89ab").find(first[19]), std::string_view::npos);
  EXPECT_LT(first, second);
}

TEST(NewUuid, DoesNotRepeatItselfWithinAMillisecond) {
  std::set<std::string> ids;
  const WallTime now{std::chrono::milliseconds{1'700'000'000'000}};
  for (int i = 0; i < 10'000; ++i) ids.insert(new_uuid(now));
  EXPECT_EQ(ids.size(), 10'000U);
}

TEST(Ids, OfASequenceGrowHoweverManyAreOfOneMillisecond) {
  const WallTime now{std::chrono::hours{500'000}};
  UuidSequence sequence;
  std::string last = sequence.next(now);
  EXPECT_TRUE(is_uuid(last)) << last;
  EXPECT_GE(last, first_uuid_of(now));
  EXPECT_LT(last, first_uuid_of(now + std::chrono::milliseconds{1}));
  for (int i = 0; i < 10'000; ++i) {
    std::string next = sequence.next(i % 2 == 0 ? now : now - std::chrono::seconds{1});
    ASSERT_LT(last, next);
    ASSERT_EQ(next[14], '7') << next;
    last = std::move(next);
  }
  EXPECT_GE(sequence.next(now + std::chrono::seconds{1}), first_uuid_of(now + std::chrono::seconds{1}));
}

TEST(IsUuid, RefusesWhatCouldBeAPath) {
  EXPECT_FALSE(is_uuid("../../../../../../../../../etc/passwd"));
  EXPECT_FALSE(is_uuid("0193e2a4-7c1b-7d3e-9f00-1a2b3c4d5e6"));
  EXPECT_FALSE(is_uuid("0193e2a4+7c1b-7d3e-9f00-1a2b3c4d5e6f"));
}

TEST(IsValidRequestId, TakesIdsAndRefusesWhatCouldForgeALogLine) {
  EXPECT_TRUE(is_valid_request_id("abc-1.2:3_Z"));
  EXPECT_FALSE(is_valid_request_id(""));
  EXPECT_FALSE(is_valid_request_id("a\nb"));
  EXPECT_FALSE(is_valid_request_id("a b"));
  EXPECT_FALSE(is_valid_request_id(std::string(129, 'a')));
}

TEST(RandomHex, HasTwoDigitsAByteAndDiffers) {
  EXPECT_EQ(random_hex(16).size(), 32U);
  EXPECT_NE(random_hex(16), random_hex(16));
}

TEST(Offload, RunsOnThePoolAndComesBackToTheCaller) {
  IoContext io;
  asio::thread_pool pool(1);
  std::thread::id worked_on, came_back_on;
  auto story = [&]() -> Task<void> {
    auto work = [&] {
      worked_on = std::this_thread::get_id();
      return 42;
    };
    const int value = co_await offload(pool, std::move(work));
    came_back_on = std::this_thread::get_id();
    EXPECT_EQ(value, 42);
  };
  spawn(io.get_executor(), "story", story());
  auto guard = asio::make_work_guard(io);
  while (came_back_on == std::thread::id{}) io.run_one();
  EXPECT_EQ(came_back_on, std::this_thread::get_id());
  EXPECT_NE(worked_on, came_back_on);
}

// The work uses up what the pool's thread has kept for reuse, and from its end on no memory is to be had there.
TEST(Offload, ComesBackWithoutMemory) {
  IoContext io;
  asio::thread_pool pool(1);
  bool came_back = false;
  auto story = [&]() -> Task<void> {
    auto work = [&pool] {
      for (int i = 0; i < 4; ++i) asio::post(pool, [] { spare_allocations(); });
      fail_all_allocations();
      return 42;
    };
    try {
      co_await offload(pool, std::move(work));
    } catch (const std::bad_alloc&) {
      came_back = true;
    }
  };
  spawn(io.get_executor(), "story", story());
  auto guard = asio::make_work_guard(io);
  while (!came_back) io.run_one();
  EXPECT_TRUE(came_back);
}

TEST(Offload, HandsAnExceptionBackToTheCaller) {
  IoContext io;
  asio::thread_pool pool(1);
  bool caught = false;
  auto story = [&]() -> Task<void> {
    auto work = []() -> int { throw std::runtime_error("disk on fire"); };
    try {
      co_await offload(pool, std::move(work));
    } catch (const std::runtime_error&) {
      caught = true;
    }
  };
  spawn(io.get_executor(), "story", story());
  auto guard = asio::make_work_guard(io);
  while (!caught) io.run_one();
  EXPECT_TRUE(caught);
}

}  // namespace
}  // namespace gbgreg
