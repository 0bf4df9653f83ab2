#include "intake/jail.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <string>

namespace gbgreg::intake {
namespace {

using std::chrono::milliseconds;

class RunJailTest : public testing::Test {
 protected:
  void TearDown() override { ::close(input_); }

  // What comes of a shell that stands for a jail program: "" or the error's code.
  std::string run(const std::string& script, milliseconds time_max = milliseconds(60'000)) {
    said_.clear();
    const JailCommand command{.program = "/bin/sh",
                              .arguments = {"-c", script},
                              .input = input_,
                              .time_max = time_max,
                              .output_bytes_max = 100'000};
    const auto ran = run_jail(command, is_stopping_, [&](const JailMessage& message) -> Result<void> {
      if (message.type == '!') return fail(Kind::refused, "told_to_end", "");
      said_ += message.type + std::string(message.payload) + ";";
      return {};
    });
    return ran ? "" : ran.error().code;
  }

  int input_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  std::atomic<bool> is_stopping_ = false;
  std::string said_;
};

TEST_F(RunJailTest, HandsOverWhatTheChildSays) {
  EXPECT_EQ(run(R"(printf 'A\003\000\000\000abc'; printf 'Z\000\000\000\000')"), "");
  EXPECT_EQ(said_, "Aabc;Z;");
}

TEST_F(RunJailTest, GivesTheChildNothingButTheFile) {
  // Descriptors beyond the three, and variables beyond ours, would be bytes of an answer that are no message.
  EXPECT_EQ(run("[ -z \"$HOME$PATH_OF_OURS\" ] && [ \"$LC_ALL\" = C.UTF-8 ] || exit 3"), "");
}

TEST_F(RunJailTest, SaysHowItWentWrong) {
  EXPECT_EQ(run("exit 1"), "jail_crashed");
  EXPECT_EQ(run("kill -11 $$"), "jail_crashed");
  EXPECT_EQ(run(R"(printf 'A\003\000\000\000a'; exit 1)"), "jail_crashed");
  EXPECT_EQ(run(R"(printf 'A\377\377\377\377')"), "jail_garbled");
  EXPECT_EQ(run("head -c 200000 /dev/zero"), "jail_garbled");
  EXPECT_EQ(run("exec sleep 60", milliseconds(50)), "jail_over_time");
  EXPECT_EQ(run(R"(printf '!\000\000\000\000'; exec sleep 60)"), "told_to_end");
  EXPECT_EQ(run("exec >&-; exec sleep 60"), "jail_crashed");  // It has said all, and does not leave.
  is_stopping_ = true;
  EXPECT_EQ(run("exec sleep 60"), "shutting_down");
}

TEST_F(RunJailTest, SaysThatThereIsNoSuchProgram) {
  const auto ran = run_jail({.program = "/not/there", .input = input_, .time_max = milliseconds(1'000)}, is_stopping_,
                            [](const JailMessage&) { return Result<void>{}; });
  ASSERT_FALSE(ran);
  EXPECT_EQ(ran.error().kind, Kind::unavailable);
}

}  // namespace
}  // namespace gbgreg::intake
