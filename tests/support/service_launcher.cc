// Starts a program as systemd starts a service of a socket unit: with sockets that listen already, and with a place to
// say how it goes. What the program says there comes out on the standard output, as "notified: READY=1".
//
//   service_launcher [--tcp NAME ADDRESS | --unix NAME PATH | --datagram NAME]… -- PROGRAM ARGUMENT…
//
// The program gets this process's own id, as it does from systemd. Somebody else listens to what it says, who is no
// child of it and ends with it.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr int kFirstInherited = 3;

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::_Exit(1);
}

int listen_tcp(const char* address) {
  const bool is_six = std::strchr(address, ':') != nullptr;
  sockaddr_in four{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {}, .sin_zero = {}};
  sockaddr_in6 six{.sin6_family = AF_INET6, .sin6_port = 0, .sin6_flowinfo = 0, .sin6_addr = {}, .sin6_scope_id = 0};
  void* const raw = is_six ? static_cast<void*>(&six.sin6_addr) : &four.sin_addr;
  if (inet_pton(is_six ? AF_INET6 : AF_INET, address, raw) != 1) give_up(address);
  const int made = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
  const auto* where = is_six ? reinterpret_cast<const sockaddr*>(&six) : reinterpret_cast<const sockaddr*>(&four);
  if (made < 0) give_up("socket");
  if (bind(made, where, is_six ? sizeof six : sizeof four) != 0 || listen(made, 128) != 0) give_up(address);
  return made;
}

// Binds a name of the file system, or, when it begins with '@', one that is no file.
int bind_unix(int type, const std::string& path) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof address.sun_path) give_up("the path is too long");
  path.copy(static_cast<char*>(address.sun_path), path.size());
  if (path.starts_with('@')) address.sun_path[0] = '\0';
  const int made = socket(AF_UNIX, type, 0);
  if (made < 0) give_up("socket");
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  if (bind(made, reinterpret_cast<const sockaddr*>(&address), size) != 0) give_up(path.c_str());
  return made;
}

int listen_unix(const std::string& path) {
  const int made = bind_unix(SOCK_STREAM, path);
  if (listen(made, 128) != 0) give_up(path.c_str());
  return made;
}

void print_what_is_said(int hearing, int program) {
  std::array<pollfd, 2> events{pollfd{.fd = hearing, .events = POLLIN, .revents = 0},
                               pollfd{.fd = program, .events = POLLIN, .revents = 0}};
  while (poll(events.data(), events.size(), -1) > 0) {
    std::array<char, 1024> text{};
    const ssize_t size = recv(hearing, text.data(), text.size(), MSG_DONTWAIT);
    if (size > 0) dprintf(STDOUT_FILENO, "notified: %.*s\n", static_cast<int>(size), text.data());
    if (size < 0 && events[1].revents != 0) return;  // The program has ended, and everything it said is printed.
  }
}

// Leaves a process behind that prints what comes to the socket until this process, or the program it becomes, ends.
void start_hearing(int hearing) {
  const int program = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
  if (program < 0) give_up("pidfd_open");
  const pid_t between = fork();
  if (between == 0) {
    if (fork() == 0) print_what_is_said(hearing, program);
    std::_Exit(0);
  }
  waitpid(between, nullptr, 0);
  close(program);
  close(hearing);
}

void set_variable(const char* name, const std::string& value) {
  setenv(name, value.c_str(), 1);  // NOLINT(concurrency-mt-unsafe): there is one thread.
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<int> made;
  std::string names;
  int at = 1;
  for (; at + 1 < argc && std::strcmp(argv[at], "--") != 0; at += 2) {
    const std::string kind = argv[at];
    names += (made.empty() ? "" : ":") + std::string(argv[at + 1]);
    if (kind == "--datagram") {
      made.push_back(socket(AF_INET, SOCK_DGRAM, 0));
    } else {
      made.push_back(kind == "--tcp" ? listen_tcp(argv[at + 2]) : listen_unix(argv[at + 2]));
      ++at;
    }
  }
  const std::string notify = "@gbgreg-launcher-" + std::to_string(getpid());
  start_hearing(bind_unix(SOCK_DGRAM, notify));
  // They are the lowest that were free, and so in their place already, unless this process was given files itself.
  for (std::size_t i = 0; i < made.size(); ++i) {
    const int wanted = kFirstInherited + static_cast<int>(i);
    if (made[i] != wanted && dup2(made[i], wanted) < 0) give_up("dup2");
  }
  set_variable("LISTEN_PID", std::to_string(getpid()));
  set_variable("LISTEN_FDS", std::to_string(made.size()));
  set_variable("LISTEN_FDNAMES", names);
  set_variable("NOTIFY_SOCKET", notify);
  execvp(argv[at + 1], argv + at + 1);
  give_up(argv[at + 1]);
}
