#include "intake/step_back.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <thread>

namespace gbgreg::intake {
namespace {

cpu_set_t cores_of(pid_t id) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  EXPECT_EQ(::sched_getaffinity(id, sizeof cores, &cores), 0);
  return cores;
}

TEST(StepBack, LeavesOneCoreToOthersHoweverOftenItIsCalled) {
  const cpu_set_t all = cores_of(::getpid());
  cpu_set_t left;
  int niceness = 0;
  std::thread([&] {
    step_back(::gettid());
    step_back(::gettid());
    left = cores_of(0);
    niceness = ::getpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()));
  }).join();
  EXPECT_EQ(CPU_COUNT(&left), CPU_COUNT(&all) < 2 ? 1 : CPU_COUNT(&all) - 1);
  EXPECT_GE(niceness, 10);
}

TEST(StepBack, LeavesTheOtherThreadsAsTheyWere) {
  const cpu_set_t all = cores_of(::getpid());
  const int niceness = ::getpriority(PRIO_PROCESS, 0);
  std::thread([] { step_back(::gettid()); }).join();
  const cpu_set_t after = cores_of(0);
  EXPECT_TRUE(CPU_EQUAL(&after, &all));
  EXPECT_EQ(::getpriority(PRIO_PROCESS, 0), niceness);
}

}  // namespace
}  // namespace gbgreg::intake
