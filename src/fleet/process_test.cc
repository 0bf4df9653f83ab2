#include "fleet/process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

namespace gbgreg::fleet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Stream = ChildProcess::Stream;

constexpr auto kPatience = std::chrono::seconds(20);

// A child run by /bin/sh, with what it said.
class Process : public testing::Test {
 protected:
  void start(const std::string& script) { start_command({.program = "/bin/sh", .arguments = {"-c", script}}); }

  void start_command(Command command) {
    command.environment.push_back("PATH=/usr/sbin:/usr/bin:/sbin:/bin");
    auto on_line = [this](Stream stream, std::string_view line) {
      (stream == Stream::out ? output_ : errors_).emplace_back(line);
    };
    auto on_end = [this](const ProcessEnd& end) {
      EXPECT_FALSE(end_);
      end_ = end;
    };
    auto started = ChildProcess::start(io_, command, on_line, on_end);
    ASSERT_TRUE(started) << started.error().detail;
    child_ = std::move(*started);
  }

  // Runs the loop until `condition` holds.
  template <class Condition>
  bool until(Condition condition) {
    const auto give_up = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      if (io_.stopped()) io_.restart();
      io_.run_one_for(std::chrono::milliseconds(100));
    }
    return true;
  }
  bool until_end() {
    return until([this] { return end_.has_value(); });
  }
  bool until_lines(std::size_t count) {
    return until([&] { return output_.size() >= count; });
  }

  IoContext io_;
  std::unique_ptr<ChildProcess> child_;
  std::vector<std::string> output_, errors_;
  std::optional<ProcessEnd> end_;
};

TEST_F(Process, TellsItsLinesAndThenItsEnd) {
  start("echo one; echo two; echo three >&2; printf last; exit 7");
  ASSERT_TRUE(until_end());
  EXPECT_THAT(output_, ElementsAre("one", "two", "last"));
  EXPECT_THAT(errors_, ElementsAre("three"));
  EXPECT_EQ(end_->exit_status, 7);
  EXPECT_EQ(end_->sentence(), "exited with status 7");
}

TEST_F(Process, TellsWhichSignalEndedIt) {
  start("kill -ABRT $$");
  ASSERT_TRUE(until_end());
  EXPECT_EQ(end_->signal, SIGABRT);
  EXPECT_EQ(end_->sentence(), "was ended by signal 6 (Aborted)");
}

TEST_F(Process, TellsThatAProgramCannotBeExecuted) {
  start_command({.program = "/nowhere/llama-server"});
  ASSERT_TRUE(until_end());
  EXPECT_EQ(end_->start_failure, ENOENT);
  EXPECT_EQ(end_->sentence(), "could not be started: No such file or directory");
}

TEST_F(Process, ReadsTheLinesThatItIsSent) {
  start("while read line; do echo got $line; [ $line = exit ] && exit 0; done");
  child_->send_line("hello");
  child_->send_line("exit");
  ASSERT_TRUE(until_end());
  EXPECT_THAT(output_, ElementsAre("got hello", "got exit"));
  EXPECT_EQ(end_->exit_status, 0);
}

TEST_F(Process, MayCloseItsStdinWithoutHarmToUs) {
  start("exec <&-; echo closed; exec sleep 1000");
  ASSERT_TRUE(until_lines(1));
  for (int i = 0; i < 100; ++i) child_->send_line(std::string(1000, 'x'));
  child_->kill();
  ASSERT_TRUE(until_end());
  EXPECT_EQ(end_->signal, SIGKILL);
}

TEST_F(Process, CutsALineThatIsTooLong) {
  start("head -c 300000 /dev/zero | tr '\\0' x; echo; echo next");
  ASSERT_TRUE(until_end());
  ASSERT_EQ(output_.size(), 2U);
  EXPECT_EQ(output_[0].size(), kProcessLineBytesMax);
  EXPECT_EQ(output_[1], "next");
}

TEST_F(Process, LeadsAGroupOfItsOwn) {
  start("echo ready; exec sleep 1000");
  ASSERT_TRUE(until_lines(1));
  EXPECT_EQ(::getpgid(child_->id()), child_->id());
}

TEST_F(Process, TakesItsOwnChildrenWithIt) {
  start("sleep 1000 & echo $!; exit 0");
  ASSERT_TRUE(until_end());
  ASSERT_EQ(output_.size(), 1U);
  const pid_t left_behind = std::stoi(output_[0]);
  // It is init's now, which may take a moment to reap it: gone, or a zombie.
  EXPECT_TRUE(until([&] {
    if (::kill(left_behind, 0) != 0) return true;
    const int fd = static_cast<int>(::syscall(SYS_pidfd_open, left_behind, 0));
    pollfd ended{.fd = fd, .events = POLLIN, .revents = 0};
    const bool is_zombie = fd >= 0 && ::poll(&ended, 1, 100) == 1;
    if (fd >= 0) ::close(fd);
    return is_zombie;
  }));
}

TEST_F(Process, InheritsNoDescriptor) {
  const int leak = ::open("/dev/null", O_RDONLY);  // Without O_CLOEXEC, as a careless library would.
  ASSERT_GE(leak, 0);
  start_command({.program = "/bin/ls", .arguments = {"/proc/self/fd"}});
  ::close(leak);
  ASSERT_TRUE(until_end());
  EXPECT_THAT(output_, ElementsAre("0", "1", "2", "3"));  // The last is the folder that ls reads.
}

TEST_F(Process, InheritsNoSignalSetting) {
  sigset_t blocked, before;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  const auto pipe_handler = ::signal(SIGPIPE, SIG_IGN);
  start_command({.program = "/bin/grep", .arguments = {"-E", "^Sig(Blk|Ign)", "/proc/self/status"}});
  ::signal(SIGPIPE, pipe_handler);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ASSERT_TRUE(until_end());
  EXPECT_THAT(output_, ElementsAre(HasSubstr("0000000000000000"), HasSubstr("0000000000000000")));
}

TEST_F(Process, GetsExactlyTheEnvironmentThatItIsGiven) {
  start_command({.program = "/usr/bin/env", .environment = {"NAME=value with spaces"}});
  ASSERT_TRUE(until_end());
  EXPECT_THAT(output_, ElementsAre("NAME=value with spaces", HasSubstr("PATH=")));
}

TEST_F(Process, GetsTheLimitOfOpenFilesThatItIsGiven) {
  rlimit own{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &own), 0);
  const auto child_limit = [this](std::uint64_t open_files_max) {
    output_.clear();
    end_.reset();
    start_command({.program = "/bin/sh", .arguments = {"-c", "ulimit -Sn"}, .open_files_max = open_files_max});
    EXPECT_TRUE(until_end());
    return output_.empty() ? "" : output_[0];
  };
  EXPECT_EQ(child_limit(0), std::to_string(own.rlim_cur));
  EXPECT_EQ(child_limit(100), "100");
}

TEST_F(Process, IsKilledAndReapedWhenItsOwnerGoes) {
  start("echo ready; trap '' TERM; while true; do sleep 1; done");
  ASSERT_TRUE(until_lines(1));
  const pid_t id = child_->id();
  child_.reset();
  EXPECT_EQ(::kill(id, 0), -1);
  EXPECT_EQ(errno, ESRCH);
  io_.run_for(std::chrono::milliseconds(20));  // Nothing comes back to an owner that is gone.
  EXPECT_FALSE(end_);
}

TEST_F(Process, MayBeDestroyedByItsOwnLine) {
  auto on_line = [this](Stream, std::string_view line) {
    output_.emplace_back(line);
    child_.reset();
  };
  auto on_end = [](const ProcessEnd&) { FAIL(); };
  const Command command{.program = "/bin/sh", .arguments = {"-c", "echo a; echo b; sleep 1000"}};
  child_ = *ChildProcess::start(io_, command, on_line, on_end);
  ASSERT_TRUE(until([this] { return child_ == nullptr; }));
  io_.run_for(std::chrono::milliseconds(20));
  EXPECT_THAT(output_, ElementsAre("a"));
}

// The gateway of a test: a process that starts `script` as its child, writes the child's first line to `report` and
// then waits to be killed.
[[noreturn]] void be_a_gateway(const std::string& script, int report) {
  IoContext io;
  auto on_line = [&](Stream, std::string_view line) {
    if (::write(report, line.data(), line.size()) < 0 || ::write(report, "\n", 1) < 0) ::_exit(1);
  };
  auto on_end = [](const ProcessEnd&) { ::_exit(2); };
  const Command command{.program = "/bin/sh", .arguments = {"-c", script}, .environment = {"PATH=/usr/bin:/bin"}};
  auto child = ChildProcess::start(io, command, on_line, on_end);
  if (!child) ::_exit(3);
  [[maybe_unused]] const auto guard = asio::make_work_guard(io);
  io.run();
  ::_exit(4);
}

// Kills such a gateway with SIGKILL; true when its child, whose first line is its process id, ends too.
bool child_dies_with_its_gateway(const std::string& script) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return false;
  const pid_t gateway = ::fork();
  if (gateway == 0) be_a_gateway(script, ends[1]);
  ::close(ends[1]);
  char text[32] = {};
  const ssize_t bytes = ::read(ends[0], text, sizeof text - 1);
  ::close(ends[0]);
  const auto child = static_cast<pid_t>(bytes > 0 ? std::strtol(text, nullptr, 10) : 0);
  const int child_fd = child > 0 ? static_cast<int>(::syscall(SYS_pidfd_open, child, 0)) : -1;
  ::kill(gateway, SIGKILL);
  ::waitpid(gateway, nullptr, 0);
  if (child_fd < 0) return false;
  pollfd ended{.fd = child_fd, .events = POLLIN, .revents = 0};
  const bool has_ended = ::poll(&ended, 1, 20'000) == 1;
  ::close(child_fd);
  if (!has_ended) ::kill(child, SIGKILL);
  return has_ended;
}

TEST(ProcessOfAKilledGateway, DiesThoughItDoesNotReadItsStdin) {
  EXPECT_TRUE(child_dies_with_its_gateway("echo $$; exec sleep 1000"));
}

TEST(ProcessOfAKilledGateway, SeesItsStdinEndThoughTheKernelDoesNotKillIt) {
  ASSERT_TRUE(std::filesystem::exists("/usr/bin/setpriv")) << "setpriv is part of util-linux: install it";
  EXPECT_TRUE(child_dies_with_its_gateway("exec setpriv --pdeathsig clear sh -c 'echo $$; cat'"));
}

}  // namespace
}  // namespace gbgreg::fleet
