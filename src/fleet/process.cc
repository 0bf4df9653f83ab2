#include "fleet/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>

namespace gbgreg::fleet {
namespace {

constexpr int kChildFailureFd = 3;  // Where the child tells why it could not become the program.
constexpr int kExecFailedStatus = 127;
constexpr std::size_t kReadBytes = 16'384;
constexpr std::size_t kLastReadBytesMax = 1'048'576;  // After the end: what a pipe can hold, and a bound for a
                                                      // grandchild that goes on writing.

// A file descriptor that is closed when it goes.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

struct Pipe {
  Fd read, write;
};

// The four numbers that the child gives a meaning to must be free to be overwritten, or dup2 would destroy an end that
// is still needed. A gateway whose own stdin is closed is given such low numbers.
std::optional<Pipe> with_high_numbers(Pipe pipe) {
  for (Fd* end : {&pipe.read, &pipe.write}) {
    if (end->get() > kChildFailureFd) continue;
    Fd higher(::fcntl(end->get(), F_DUPFD_CLOEXEC, kChildFailureFd + 1));
    if (higher.get() < 0) return std::nullopt;
    *end = std::move(higher);
  }
  return pipe;
}

std::optional<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return std::nullopt;
  return with_high_numbers({.read = Fd(ends[0]), .write = Fd(ends[1])});
}

// For the child's stdin: a socket is written to without the SIGPIPE that a pipe without a reader would raise in us.
std::optional<Pipe> make_socket_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return std::nullopt;
  return with_high_numbers({.read = Fd(ends[0]), .write = Fd(ends[1])});
}

void make_nonblocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

std::vector<char*> as_c_strings(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Everything that the child needs between fork and exec, made before: other threads may have held any lock, malloc's
// too, when it was forked, so there it may only make async-signal-safe calls.
struct ChildPlan {
  const char* program;
  char* const* arguments;
  char* const* environment;
  int input, output, errors, failure;
  pid_t parent;
  rlimit open_files;
};

[[noreturn]] void fail_in_child(int failure_fd) {
  const int reason = errno;
  [[maybe_unused]] const ssize_t written = ::write(failure_fd, &reason, sizeof reason);
  ::_exit(kExecFailedStatus);
}

void close_all_from(unsigned first) {
  if (::syscall(SYS_close_range, first, ~0U, 0) == 0) return;
  // A sandbox may forbid close_range. All descriptors of ours are close-on-exec anyway; this is for those of libraries.
  rlimit limit{};
  const bool known = ::getrlimit(RLIMIT_NOFILE, &limit) == 0;
  const unsigned last = known ? static_cast<unsigned>(std::min<rlim_t>(limit.rlim_cur, 65'536)) : 1'024;
  for (unsigned fd = first; fd < last; ++fd) ::close(static_cast<int>(fd));
}

[[noreturn]] void become_program(const ChildPlan& plan) {
  ::setpgid(0, 0);
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail_in_child(plan.failure);
  // The parent may have died before prctl took effect, and then nobody would ever send the signal.
  if (::getppid() != plan.parent) ::_exit(kExecFailedStatus);

  if (::dup2(plan.input, 0) < 0 || ::dup2(plan.output, 1) < 0 || ::dup2(plan.errors, 2) < 0)
    fail_in_child(plan.failure);
  if (::dup3(plan.failure, kChildFailureFd, O_CLOEXEC) < 0) fail_in_child(plan.failure);
  close_all_from(kChildFailureFd + 1);
  if (::setrlimit(RLIMIT_NOFILE, &plan.open_files) != 0) fail_in_child(kChildFailureFd);

  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &standard, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);

  ::execve(plan.program, plan.arguments, plan.environment);
  fail_in_child(kChildFailureFd);
}

// The gateway raises its own limit, which programs that use select() could not live with.
rlimit open_files_limit(std::uint64_t soft) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (soft > 0) limit.rlim_cur = std::min<rlim_t>(soft, limit.rlim_max);
  return limit;
}

std::unexpected<Error> cannot_start(const char* step) {
  const int reason = errno;
  return fail(Kind::internal, "process_not_started", "A process could not be started; the log says why.",
              std::string(step) + ": " + std::system_category().message(reason));
}

// Cuts a stream of bytes into lines of bounded length.
class LineCutter {
 public:
  template <class OnLine>
  void feed(std::string_view bytes, const OnLine& on_line) {
    while (!bytes.empty()) {
      const std::size_t end = bytes.find('\n');
      const std::string_view piece = bytes.substr(0, end);
      line_.append(piece.substr(0, kProcessLineBytesMax - line_.size()));
      if (end == std::string_view::npos) return;
      bytes.remove_prefix(end + 1);
      finish(on_line);
    }
  }

  // The last line may have no end.
  template <class OnLine>
  void feed_end(const OnLine& on_line) {
    if (!line_.empty()) finish(on_line);
  }

 private:
  template <class OnLine>
  void finish(const OnLine& on_line) {
    if (!line_.empty() && line_.back() == '\r') line_.pop_back();
    on_line(std::string_view(line_));
    line_.clear();
  }

  std::string line_;
};

}  // namespace

std::string ProcessEnd::sentence() const {
  if (start_failure != 0) return "could not be started: " + std::system_category().message(start_failure);
  if (signal != 0) {
    const char* name = ::sigdescr_np(signal);
    return "was ended by signal " + std::to_string(signal) + (name != nullptr ? " (" + std::string(name) + ")" : "");
  }
  return "exited with status " + std::to_string(exit_status);
}

class ChildProcess::Impl : public std::enable_shared_from_this<ChildProcess::Impl> {
 public:
  using Descriptor = asio::posix::basic_stream_descriptor<Executor>;
  using Socket = asio::basic_stream_socket<asio::local::stream_protocol, Executor>;

  Impl(IoContext& io, OnLine on_line, OnEnd on_end)
      : process_(io), input_(io), output_(io), errors_(io), on_line_(std::move(on_line)), on_end_(std::move(on_end)) {}

  Result<void> start(const Command& command);
  void listen();
  void send_line(std::string_view line);
  void kill();
  pid_t id() const { return id_; }
  // No callback comes after this; a running child is killed and reaped.
  void close();

 private:
  static Task<void> read_lines(std::shared_ptr<Impl> self, Stream stream);
  static Task<void> write_input(std::shared_ptr<Impl> self);
  static Task<void> wait_for_end(std::shared_ptr<Impl> self);
  Descriptor& descriptor(Stream stream) { return stream == Stream::out ? output_ : errors_; }
  LineCutter& cutter(Stream stream) { return stream == Stream::out ? output_lines_ : error_lines_; }
  void take(Stream stream, std::string_view bytes);
  void read_the_rest(Stream stream);
  ProcessEnd reap();
  void close_descriptors();

  pid_t id_ = 0;
  Descriptor process_;  // A pidfd: readable when the child has ended.
  Socket input_;
  Descriptor output_, errors_;
  Fd failure_;  // Holds an errno when the child could not execute the program.
  OnLine on_line_;
  OnEnd on_end_;
  LineCutter output_lines_, error_lines_;
  std::string unsent_;
  bool sending_ = false;
  bool reaped_ = true;  // There is nothing to kill or reap: not forked yet, or done.
  bool closed_ = false;
};

Result<void> ChildProcess::Impl::start(const Command& command) {
  auto input = make_socket_pair();
  auto output = make_pipe();
  auto errors = make_pipe();
  auto failure = make_pipe();
  if (!input || !output || !errors || !failure) return cannot_start("pipe");

  std::vector<std::string> words{command.program};
  words.insert(words.end(), command.arguments.begin(), command.arguments.end());
  const auto arguments = as_c_strings(words);
  const auto environment = as_c_strings(command.environment);
  const ChildPlan plan{.program = command.program.c_str(),
                       .arguments = arguments.data(),
                       .environment = environment.data(),
                       .input = input->read.get(),
                       .output = output->write.get(),
                       .errors = errors->write.get(),
                       .failure = failure->write.get(),
                       .parent = ::getpid(),
                       .open_files = open_files_limit(command.open_files_max)};

  // A signal that arrived in the child before exec would run a handler of ours there, on pipes shared with us.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  id_ = ::fork();
  if (id_ == 0) become_program(plan);
  const int fork_failure = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = fork_failure;
  if (id_ < 0) return cannot_start("fork");
  reaped_ = false;
  // The child does the same: whichever runs first, its group exists before kill() needs it.
  ::setpgid(id_, id_);

  Fd process(static_cast<int>(::syscall(SYS_pidfd_open, id_, 0)));
  if (process.get() < 0) {
    auto error = cannot_start("pidfd_open");
    ::kill(id_, SIGKILL);
    ::waitpid(id_, nullptr, 0);
    reaped_ = true;
    return error;
  }
  make_nonblocking(output->read.get());
  make_nonblocking(errors->read.get());
  make_nonblocking(failure->read.get());
  // Released once they have another owner: assigning throws when the kernel has no room to watch one more.
  process_.assign(process.get());
  process.release();
  input_.assign(asio::local::stream_protocol(), input->write.get());
  input->write.release();
  output_.assign(output->read.get());
  output->read.release();
  errors_.assign(errors->read.get());
  errors->read.release();
  failure_ = std::move(failure->read);
  return {};
}

void ChildProcess::Impl::listen() {
  const Executor executor = process_.get_executor();
  spawn(executor, "read a child's output", read_lines(shared_from_this(), Stream::out));
  spawn(executor, "read a child's errors", read_lines(shared_from_this(), Stream::err));
  spawn(executor, "wait for a child's end", wait_for_end(shared_from_this()));
}

// Waits, then reads by itself: bytes of an asynchronous read could be on their way here while wait_for_end already told
// the end.
Task<void> ChildProcess::Impl::read_lines(std::shared_ptr<Impl> self, Stream stream) {
  for (;;) {
    const auto [failure] = co_await self->descriptor(stream).async_wait(Descriptor::wait_read, use_tuple);
    if (failure || self->reaped_) co_return;
    std::array<char, kReadBytes> buffer;
    const ssize_t bytes = ::read(self->descriptor(stream).native_handle(), buffer.data(), buffer.size());
    if (bytes > 0) {
      self->take(stream, {buffer.data(), static_cast<std::size_t>(bytes)});
    } else if (bytes == 0 || (errno != EAGAIN && errno != EINTR)) {
      co_return;  // It closed its end; how it ended is wait_for_end's story.
    }
  }
}

void ChildProcess::Impl::take(Stream stream, std::string_view bytes) {
  const auto on_line = [&](std::string_view line) {
    if (!closed_) on_line_(stream, line);
  };
  cutter(stream).feed(bytes, on_line);
}

Task<void> ChildProcess::Impl::wait_for_end(std::shared_ptr<Impl> self) {
  const auto [failure] = co_await self->process_.async_wait(Descriptor::wait_read, use_tuple);
  if (failure || self->closed_) co_return;
  // Its last words are in the pipes already, but their events may be behind this one.
  self->read_the_rest(Stream::out);
  self->read_the_rest(Stream::err);
  const ProcessEnd end = self->reap();
  self->close_descriptors();
  if (!self->closed_) self->on_end_(end);
}

void ChildProcess::Impl::read_the_rest(Stream stream) {
  std::array<char, kReadBytes> buffer;
  for (std::size_t total = 0; total < kLastReadBytesMax;) {
    const ssize_t bytes = ::read(descriptor(stream).native_handle(), buffer.data(), buffer.size());
    if (bytes <= 0) break;
    total += static_cast<std::size_t>(bytes);
    take(stream, {buffer.data(), static_cast<std::size_t>(bytes)});
  }
  const auto on_line = [&](std::string_view line) {
    if (!closed_) on_line_(stream, line);
  };
  cutter(stream).feed_end(on_line);
}

// Only after the pidfd became readable, so it does not wait.
ProcessEnd ChildProcess::Impl::reap() {
  // Until it is reaped its number cannot be given to anybody else, so this hits only what it left behind.
  ::kill(-id_, SIGKILL);
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(id_), &info, WEXITED | WNOHANG);
  reaped_ = true;
  ProcessEnd end;
  if (info.si_code == CLD_EXITED) {
    end.exit_status = info.si_status;
  } else {
    end.signal = info.si_status;
  }
  int reason = 0;
  if (::read(failure_.get(), &reason, sizeof reason) == static_cast<ssize_t>(sizeof reason)) end.start_failure = reason;
  return end;
}

void ChildProcess::Impl::send_line(std::string_view line) {
  if (closed_ || reaped_ || unsent_.size() + line.size() >= kProcessInputBytesMax) return;
  unsent_.append(line).push_back('\n');
  if (sending_) return;
  sending_ = true;
  spawn(input_.get_executor(), "write a child's input", write_input(shared_from_this()));
}

Task<void> ChildProcess::Impl::write_input(std::shared_ptr<Impl> self) {
  while (!self->unsent_.empty()) {
    const std::string lines = std::exchange(self->unsent_, {});
    for (std::string_view rest = lines; !rest.empty();) {
      const auto bytes = asio::buffer(rest);
      const auto [failure, written] = co_await self->input_.async_write_some(bytes, use_tuple);
      if (failure) co_return;  // It has ended or closed its stdin; nobody is there to read more.
      rest.remove_prefix(written);
    }
  }
  self->sending_ = false;
}

void ChildProcess::Impl::kill() {
  if (reaped_) return;
  ::kill(-id_, SIGKILL);
  ::kill(id_, SIGKILL);  // Should its group not exist yet.
}

void ChildProcess::Impl::close() {
  closed_ = true;
  if (!reaped_) {
    kill();
    // Gone in a moment, but for one that is stuck in a driver, and such a one must not take us with it.
    pollfd ended{.fd = process_.native_handle(), .events = POLLIN, .revents = 0};
    ::poll(&ended, 1, static_cast<int>(kReapWaitMax.count()));
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(id_), &info, WEXITED | WNOHANG);
    reaped_ = true;
  }
  close_descriptors();
}

void ChildProcess::Impl::close_descriptors() {
  boost::system::error_code ignored;
  input_.close(ignored);
  for (Descriptor* descriptor : {&process_, &output_, &errors_}) descriptor->close(ignored);
}

std::vector<std::string> own_environment() {
  std::vector<std::string> variables;
  for (char** variable = ::environ; variable != nullptr && *variable != nullptr; ++variable) {
    variables.emplace_back(*variable);
  }
  return variables;
}

Result<std::unique_ptr<ChildProcess>> ChildProcess::start(IoContext& io, const Command& command, OnLine on_line,
                                                          OnEnd on_end) {
  auto impl = std::make_shared<Impl>(io, std::move(on_line), std::move(on_end));
  // First, so that it ends what was begun should anything throw.
  std::unique_ptr<ChildProcess> child(new ChildProcess(impl));
  if (auto started = impl->start(command); !started) return std::unexpected(started.error());
  impl->listen();
  return child;
}

ChildProcess::ChildProcess(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChildProcess::~ChildProcess() { impl_->close(); }
pid_t ChildProcess::id() const { return impl_->id(); }
void ChildProcess::send_line(std::string_view line) { impl_->send_line(line); }
void ChildProcess::kill() { impl_->kill(); }

}  // namespace gbgreg::fleet
