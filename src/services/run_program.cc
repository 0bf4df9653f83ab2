#include "services/run_program.h"

#include <memory>

namespace gbgreg::services {

Result<ProgramEnd> run_program(const fleet::Command& command, std::chrono::milliseconds timeout,
                               const OnProgramLine& on_line) {
  IoContext io;
  ProgramEnd end;
  bool has_ended = false;
  std::unique_ptr<fleet::ChildProcess> child;
  auto take_line = [&](fleet::ChildProcess::Stream stream, std::string_view line) {
    if (end.was_told_to || on_line(stream, line) == AfterLine::go_on) return;
    end.was_told_to = true;
    child->kill();
  };
  auto take_end = [&](const fleet::ProcessEnd& process) {
    end.process = process;
    has_ended = true;
  };
  auto started = fleet::ChildProcess::start(io, command, take_line, take_end);
  if (!started) return std::unexpected(std::move(started.error()));
  child = std::move(*started);
  const auto until = std::chrono::steady_clock::now() + timeout;
  while (!has_ended) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= until) {
      if (end.was_over_time) break;  // One that hangs in a driver does not even die.
      end.was_over_time = true;
      child->kill();
      io.run_for(fleet::kReapWaitMax);
    } else {
      io.run_one_for(until - now);
    }
  }
  return end;
}

}  // namespace gbgreg::services
