// What is wrong with a machine, in words that its owner can follow. A plain value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gbgreg::gpu {

enum class Severity : std::uint8_t {
  info,     // Worth knowing; nothing has to be done.
  warning,  // It works, and not as well as it could.
  error,    // Something that was asked for does not work.
};

// "warning".
std::string_view severity_name(Severity severity);

struct Finding {
  std::string code;  // Stable, for programs and for looking it up: "uvm_not_loaded".
  Severity severity = Severity::error;
  std::string message = {};                // One sentence: what is wrong.
  std::vector<std::string> evidence = {};  // What was read, a line each: "/dev/nvidia-uvm: No such file or directory".
  std::string fix = {};                    // What to do, commands included.
};

}  // namespace gbgreg::gpu
