#include "intake/jail.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <system_error>
#include <thread>

#include "intake/step_back.h"

namespace gbgreg::intake {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kReadBytes = 256 * 1024;
constexpr int kPipeBytes = 1024 * 1024;                 // So that the child need not wait for each of our reads.
constexpr std::chrono::milliseconds kLookForStop{100};  // How long a stop may go unnoticed.
constexpr std::chrono::milliseconds kLeaveMax{1'000};   // From its last word to its end.
constexpr std::chrono::milliseconds kLookForEnd{1};
constexpr std::string_view kCannotRead = "The file could not be read safely, so it was not taken.";

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return number_; }
  void close() {
    if (number_ >= 0) ::close(number_);
    number_ = -1;
  }

 private:
  int number_;
};

// A child, killed and waited for in every case.
class Child {
 public:
  explicit Child(pid_t id) : id_(id) {}
  ~Child() {
    if (id_ <= 0) return;
    ::kill(id_, SIGKILL);
    while (::waitpid(id_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // How it ended, as waitpid() has it. One that has said all and does not leave is killed.
  int wait() {
    int status = 0;
    const auto until = SteadyClock::now() + kLeaveMax;
    while (::waitpid(id_, &status, WNOHANG) == 0) {
      if (SteadyClock::now() > until) ::kill(id_, SIGKILL);
      std::this_thread::sleep_for(kLookForEnd);
    }
    id_ = 0;
    return status;
  }

 private:
  pid_t id_;
};

// Nothing of the gateway's own environment but what the sanitizers' tests set.
std::vector<std::string> jail_environment() {
  std::vector<std::string> environment = {"LC_ALL=C.UTF-8", "OMP_THREAD_LIMIT=1"};
  for (const char* name : {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "ASAN_SYMBOLIZER_PATH"}) {
    const char* value = std::getenv(name);
    if (value != nullptr) environment.push_back(std::string(name) + "=" + value);
  }
  return environment;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// posix_spawn and not fork: the gateway may be large, and other threads run. Gives back the child, or an errno.
std::expected<pid_t, int> spawn(const JailCommand& command, int output) {
  std::vector<std::string> words = {command.program};
  words.insert(words.end(), command.arguments.begin(), command.arguments.end());
  std::vector<std::string> environment = jail_environment();
  const std::vector<char*> argv = pointers_to(words), envp = pointers_to(environment);

  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_adddup2(&files, command.input, STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  // Signals as a program expects them, and a group of its own, so that Ctrl-C in a terminal reaches only the gateway.
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);

  pid_t id = 0;
  const int failure = ::posix_spawn(&id, command.program.c_str(), &files, &attributes, argv.data(), envp.data());
  ::posix_spawn_file_actions_destroy(&files);
  ::posix_spawnattr_destroy(&attributes);
  if (failure != 0) return std::unexpected(failure);
  return id;
}

std::unexpected<Error> cannot_start(const JailCommand& command, int failure) {
  return std::unexpected(Error{.kind = Kind::unavailable,
                               .code = failure == ENOENT ? "jail_missing" : "jail_failed",
                               .message = "The program that opens such files cannot be started. Ask whoever runs this "
                                          "gateway to look at its log.",
                               .detail = command.program + ": " + std::generic_category().message(failure),
                               .retry_after_seconds = 10});
}

std::unexpected<Error> over_time() {
  return fail(Kind::refused, "jail_over_time", "Reading this file took too long, so it was not taken.");
}

std::unexpected<Error> garbled(std::string detail) {
  return fail(Kind::refused, "jail_garbled", std::string(kCannotRead), std::move(detail));
}

// Waits until the child has said something, or has closed its end.
Result<void> wait_for_output(int pipe, SteadyClock::time_point until, const std::atomic<bool>& is_stopping) {
  while (true) {
    if (is_stopping) {
      return std::unexpected(Error{.kind = Kind::unavailable,
                                   .code = "shutting_down",
                                   .message = "The gateway is stopping. Send this again in a moment.",
                                   .retry_after_seconds = 5});
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - SteadyClock::now());
    if (left.count() <= 0) return over_time();
    pollfd waiting{.fd = pipe, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::min(left, kLookForStop).count()));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return garbled("poll: " + std::generic_category().message(errno));
  }
}

// Gives every message to `on_message` until the child closes its end.
Result<void> listen(const JailCommand& command, int pipe, const std::atomic<bool>& is_stopping,
                    const OnJailMessage& on_message) {
  const auto until = SteadyClock::now() + command.time_max;
  JailMessages messages;
  std::uint64_t bytes = 0;
  while (true) {
    if (auto waited = wait_for_output(pipe, until, is_stopping); !waited) return waited;
    const ssize_t got = ::read(pipe, messages.room(kReadBytes), kReadBytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return garbled("read: " + std::generic_category().message(errno));
    if (got == 0) break;
    bytes += static_cast<std::uint64_t>(got);
    if (bytes > command.output_bytes_max) return garbled("more output than its bound");
    messages.got(static_cast<std::size_t>(got));
    while (true) {
      auto message = messages.next();
      if (!message) return garbled(message.error().detail);
      if (!*message) break;
      if (auto taken = on_message(**message); !taken) return taken;
    }
  }
  return {};  // A message that ended in its middle is a crash, which its end tells.
}

}  // namespace

Result<void> run_jail(const JailCommand& command, const std::atomic<bool>& is_stopping,
                      const OnJailMessage& on_message) {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return cannot_start(command, errno);
  Descriptor ours(ends[0]), theirs(ends[1]);
  ::fcntl(ours.get(), F_SETPIPE_SZ, kPipeBytes);  // Smaller than asked for does as well.
  const auto id = spawn(command, theirs.get());
  if (!id) return cannot_start(command, id.error());
  step_back(*id);
  theirs.close();

  Child child(*id);
  auto heard = listen(command, ours.get(), is_stopping, on_message);
  if (!heard) return heard;
  // It has closed its end, and is about to leave or has crashed.
  const int status = child.wait();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  std::string how = WIFSIGNALED(status) ? "ended by signal " + std::to_string(WTERMSIG(status))
                                        : "exited with status " + std::to_string(WEXITSTATUS(status));
  spdlog::warn("{} {}", std::filesystem::path(command.program).filename().string(), how);
  return fail(Kind::refused, "jail_crashed", std::string(kCannotRead), std::move(how));
}

std::string folder_of_own_program() {
  std::error_code unknown;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", unknown);
  return unknown ? std::string{} : program.parent_path().string();
}

}  // namespace gbgreg::intake
