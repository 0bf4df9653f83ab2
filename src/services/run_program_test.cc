#include "services/run_program.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace gbgreg::services {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kPatience{30};

fleet::Command shell(std::string script) {
  return {.program = "/bin/sh",
          .arguments = {"-c", std::move(script)},
          .environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}};
}

TEST(RunProgram, GivesItsLinesAndHowItEnded) {
  std::vector<std::string> lines;
  const auto end = run_program(shell("echo one; echo two >&2; exit 3"), kPatience,
                               [&](fleet::ChildProcess::Stream, std::string_view line) {
                                 lines.emplace_back(line);
                                 return AfterLine::go_on;
                               });
  ASSERT_TRUE(end);
  EXPECT_THAT(lines, testing::UnorderedElementsAre("one", "two"));
  EXPECT_EQ(end->process.exit_status, 3);
  EXPECT_FALSE(end->is_well());
}

TEST(RunProgram, EndsItWhenALineSaysWhatWasWanted) {
  const auto end = run_program(shell("echo ready; exec sleep 600"), kPatience,
                               [](fleet::ChildProcess::Stream, std::string_view line) {
                                 return line == "ready" ? AfterLine::end_it : AfterLine::go_on;
                               });
  ASSERT_TRUE(end);
  EXPECT_TRUE(end->was_told_to);
  EXPECT_FALSE(end->was_over_time);
}

TEST(RunProgram, EndsItWhenItsTimeIsUp) {
  const auto end = run_program(shell("exec sleep 600"), milliseconds(50),
                               [](fleet::ChildProcess::Stream, std::string_view) { return AfterLine::go_on; });
  ASSERT_TRUE(end);
  EXPECT_TRUE(end->was_over_time);
  EXPECT_FALSE(end->is_well());
}

TEST(RunProgram, SaysWhenThereIsNoSuchProgram) {
  const auto end = run_program({.program = "/nonexistent"}, kPatience,
                               [](fleet::ChildProcess::Stream, std::string_view) { return AfterLine::go_on; });
  ASSERT_TRUE(end);
  EXPECT_NE(end->process.start_failure, 0);
  EXPECT_FALSE(end->is_well());
}

}  // namespace
}  // namespace gbgreg::services
