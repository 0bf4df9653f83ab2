#include "net/host_name.h"

#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <semaphore>
#include <thread>

#include "net/io_thread.h"

namespace gbgreg::net {
namespace {

using std::chrono::milliseconds;

const asio::ip::address kFirst = asio::ip::make_address("192.0.2.1");
const asio::ip::address kSecond = asio::ip::make_address("2001:db8::2");

class HostNameTest : public testing::Test {
 protected:
  Result<std::vector<Endpoint>> endpoints(const HostName& name, SteadyTime deadline = SteadyTime::max()) {
    std::optional<Result<std::vector<Endpoint>>> result;
    auto story = [](const HostName& of, IoThread& io, SteadyTime until,
                    std::optional<Result<std::vector<Endpoint>>>& out) -> Task<void> {
      out.emplace(co_await of.endpoints(io, until));
    };
    spawn(io_.executor(), "test", story(name, io_, deadline, result));
    while (!result) {
      io_.context().restart();
      io_.context().run_one();
    }
    return std::move(*result);
  }
  std::string first(const HostName& name) {
    const auto found = endpoints(name);
    return found ? endpoint_text(found->front()) : found.error().code;
  }

  Options net_options_;
  IoThread io_{0, net_options_};
};

TEST_F(HostNameTest, TakesAnAddressForWhatItIs) {
  const auto never = [](const std::string&) -> Result<HostName::Addresses> { std::abort(); };
  EXPECT_EQ(first(HostName("192.0.2.7", 80, never)), "http://192.0.2.7:80");
  EXPECT_EQ(first(HostName("::1", 443, never)), "http://[::1]:443");
  EXPECT_EQ(first(HostName("localhost", 8000, never)), "http://127.0.0.1:8000");
}

TEST_F(HostNameTest, LooksUpOnceForManyAndPutsTheOneThatAnswersFirst) {
  const auto lookups = std::make_shared<std::atomic<int>>(0);
  const HostName name("den", 80, [lookups](const std::string& host) -> Result<HostName::Addresses> {
    EXPECT_EQ(host, "den");
    ++*lookups;
    return HostName::Addresses{kFirst, kSecond};
  });
  EXPECT_EQ(endpoints(name)->size(), 2U);
  EXPECT_EQ(first(name), "http://192.0.2.1:80");
  name.answers_at(endpoints(name)->at(1));
  EXPECT_EQ(first(name), "http://[2001:db8::2]:80");
  EXPECT_EQ(*lookups, 1);
}

TEST_F(HostNameTest, UsesWhatItKnowsWhileItLooksAgainAndKeepsTheOrder) {
  const auto may_end = std::make_shared<std::counting_semaphore<>>(1);
  const auto lookups = std::make_shared<std::atomic<int>>(0);
  const HostName name("den", 80,
                      [may_end, lookups](const std::string&) -> Result<HostName::Addresses> {
                        may_end->acquire();
                        return ++*lookups == 1 ? HostName::Addresses{kFirst} : HostName::Addresses{kSecond, kFirst};
                      },
                      {.kept_for = milliseconds(0)});
  EXPECT_EQ(first(name), "http://192.0.2.1:80");
  EXPECT_EQ(first(name), "http://192.0.2.1:80");  // The second lookup has begun and cannot have ended.
  may_end->release();
  while (endpoints(name)->size() != 2) std::this_thread::yield();
  EXPECT_EQ(first(name), "http://192.0.2.1:80");
  may_end->release(1000);
}

TEST_F(HostNameTest, SaysThatANameIsNotKnownAndAsksAgainLater) {
  const auto lookups = std::make_shared<std::atomic<int>>(0);
  const auto unknown = [lookups](const std::string&) -> Result<HostName::Addresses> {
    if (++*lookups > 1) return HostName::Addresses{kFirst};
    return fail(Kind::unavailable, "backend_name_unknown", "Not known.");
  };
  const HostName slow("den", 80, unknown, {.failure_kept_for = milliseconds(1'000'000)});
  EXPECT_EQ(first(slow), "backend_name_unknown");
  EXPECT_EQ(first(slow), "backend_name_unknown");
  EXPECT_EQ(*lookups, 1);
  *lookups = 0;
  const HostName quick("den", 80, unknown, {.failure_kept_for = milliseconds(0)});
  while (first(quick) == "backend_name_unknown") std::this_thread::yield();
  EXPECT_EQ(first(quick), "http://192.0.2.1:80");
}

TEST_F(HostNameTest, DoesNotWaitForALookupThatHangsAndBeginsNoOther) {
  const auto may_end = std::make_shared<std::counting_semaphore<>>(0);
  const auto lookups = std::make_shared<std::atomic<int>>(0);
  const HostName name("den", 80,
                      [may_end, lookups](const std::string&) -> Result<HostName::Addresses> {
                        ++*lookups;
                        may_end->acquire();
                        return HostName::Addresses{kFirst};
                      },
                      {.look_up_max = milliseconds(20)});
  for (int i = 0; i < 3; ++i) {
    const auto found = endpoints(name);
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().kind, Kind::unavailable);
    EXPECT_NE(found.error().message.find("not found in time"), std::string::npos);
  }
  while (*lookups == 0) std::this_thread::yield();  // Its thread may not have run yet.
  EXPECT_EQ(*lookups, 1);
  may_end->release();
  while (!endpoints(name)) std::this_thread::yield();
  EXPECT_EQ(first(name), "http://192.0.2.1:80");  // What came late is of use.
}

TEST_F(HostNameTest, AsksTheSystem) {
  const auto unknown = HostName::ask_the_system("no-such-name.invalid");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, "backend_name_unknown");
  EXPECT_EQ(unknown.error().message.find("no-such-name"), std::string::npos);  // It is for whoever reads /health, too.
}

}  // namespace
}  // namespace gbgreg::net
