// One child process: started, listened to, ended, and never left behind.
//
// The child runs in a process group of its own, so that Ctrl-C in a terminal reaches only the gateway, which then
// decides. It dies with the gateway in every case: the kernel kills it when the *thread* that forked it ends
// (PR_SET_PDEATHSIG), and its stdin closes. So start() must be called on a thread that lives as long as the child may.
//
// Every function and callback runs on the thread of the io_context it was started on, and none of them blocks, but for
// the destructor, which kills a child that still runs and waits up to kReapWaitMax for it to be gone.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"

namespace gbgreg::fleet {

inline constexpr std::size_t kProcessLineBytesMax = 65'536;  // The rest of a longer line is dropped.
inline constexpr std::size_t kProcessInputBytesMax = 4'096;  // Lines that wait to be read by the child.
inline constexpr std::chrono::milliseconds kReapWaitMax{1'000};

// What to run. The environment is the whole of it: nothing is inherited but what is named here.
struct Command {
  std::string program;                        // A path; PATH is not searched.
  std::vector<std::string> arguments = {};    // Without the program's own name.
  std::vector<std::string> environment = {};  // "NAME=value".
  std::uint64_t open_files_max = 0;           // Its soft limit of them; 0 is the gateway's own.
};

// The gateway's own environment, "NAME=value" each.
std::vector<std::string> own_environment();

// How a child ended.
struct ProcessEnd {
  int exit_status = 0;    // When it left by itself.
  int signal = 0;         // When a signal ended it, else 0.
  int start_failure = 0;  // An errno: the program could not be executed at all.

  // "exited with status 1", "was ended by signal 9 (Killed)", "could not be started: Permission denied".
  std::string sentence() const;
};

class ChildProcess {
 public:
  enum class Stream : std::uint8_t { out, err };
  // A line without its end. The view holds during the call only.
  using OnLine = std::function<void(Stream, std::string_view)>;
  // Comes once, after the last line. Both callbacks may destroy the ChildProcess.
  using OnEnd = std::function<void(ProcessEnd)>;

  // Forks. A program that cannot be executed is told by on_end, because waiting for it here would block.
  // Errors: internal (no more processes, descriptors or memory).
  static Result<std::unique_ptr<ChildProcess>> start(IoContext& io, const Command& command, OnLine on_line,
                                                     OnEnd on_end);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t id() const;
  // Writes a line to its stdin. A child that does not read loses lines past kProcessInputBytesMax.
  void send_line(std::string_view line);
  // Ends the child and everything in its process group by SIGKILL; on_end follows.
  void kill();

 private:
  class Impl;
  explicit ChildProcess(std::shared_ptr<Impl> impl);

  // Shared with the reads that are pending on the io_context: they may come back after this object is gone.
  std::shared_ptr<Impl> impl_;
};

}  // namespace gbgreg::fleet
