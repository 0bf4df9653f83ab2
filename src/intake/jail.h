// Runs a jail program over one file. Archives and images are only ever opened in such a child, which has nothing but
// that file to read and a pipe to answer on (jail/cage.h); what it says is read as jail_messages.h has it.
//
// Blocking: for a pool that may wait so long. Any thread may call it. The child is gone when run_jail() returns, and
// dies with the thread that called it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "intake/jail_messages.h"

namespace gbgreg::intake {

struct JailCommand {
  std::string program;                      // A path.
  std::vector<std::string> arguments = {};  // Without the program's own name.
  int input = -1;  // A descriptor open for reading, at its beginning: the child's standard input.
  std::chrono::milliseconds time_max{};
  std::uint64_t output_bytes_max = 0;  // Of all its messages.
};

// Takes a message. An error ends the child and is what run_jail() gives back.
using OnJailMessage = std::function<Result<void>(const JailMessage&)>;

// Success when the child has ended by itself, and well. Errors: those of `on_message`; refused (jail_crashed,
// jail_over_time, jail_garbled) for what the file made of the child; unavailable (jail_missing when there is no such
// program, shutting_down when `is_stopping` became true).
Result<void> run_jail(const JailCommand& command, const std::atomic<bool>& is_stopping,
                      const OnJailMessage& on_message);

// The folder that the gateway's own program lies in, where its jail programs lie too. Empty when it cannot be told.
std::string folder_of_own_program();

}  // namespace gbgreg::intake
