// How a fetching shows itself to the person who waits: a bar in a terminal, plain lines anywhere else.
#pragma once

#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>

#include "models/pull.h"

namespace gbgreg::app {

enum class Screen : std::uint8_t { terminal, plain };

class ProgressDisplay {
 public:
  // `out` must outlive this.
  ProgressDisplay(std::ostream& out, Screen screen) : out_(out), screen_(screen) {}

  // At any time, as often as there is something; it chooses what is worth showing.
  void show(const models::PullProgress& progress, std::chrono::steady_clock::time_point now);
  // Leaves the line that is being drawn, before something else is printed.
  void end_line();

 private:
  void show_blob(const models::PullProgress& progress, std::chrono::steady_clock::time_point now);
  void say(const std::string& line);

  std::ostream& out_;
  Screen screen_;
  bool is_line_open_ = false;
  std::string label_;              // Of the blob that is being fetched.
  std::uint64_t first_bytes_ = 0;  // What was there of it.
  std::chrono::steady_clock::time_point first_at_ = {};
  std::chrono::steady_clock::time_point drawn_at_ = {};
  std::uint64_t tenths_told_ = 0;
  bool is_complete_ = false;
};

// "4.9 GB"
std::string human_bytes(std::uint64_t bytes);

}  // namespace gbgreg::app
