// Runs one program to its end, on the calling thread, for a bounded time. For commands of the command line, which have
// nothing else to do meanwhile.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "core/core.h"
#include "fleet/process.h"

namespace gbgreg::services {

// What a line of the program's means for its further life.
enum class AfterLine : std::uint8_t {
  go_on,
  end_it,  // It has said what was wanted; it is killed.
};

using OnProgramLine = std::function<AfterLine(fleet::ChildProcess::Stream, std::string_view)>;

struct ProgramEnd {
  fleet::ProcessEnd process = {};
  bool was_over_time = false;  // It was killed for that.
  bool was_told_to = false;    // It was killed after one of its lines.

  // It ended by itself, and well.
  bool is_well() const {
    return !was_over_time && process.signal == 0 && process.start_failure == 0 && process.exit_status == 0;
  }
};

// Errors: internal, when no process could be made.
Result<ProgramEnd> run_program(const fleet::Command& command, std::chrono::milliseconds timeout,
                               const OnProgramLine& on_line);

}  // namespace gbgreg::services
