// How many files the system lets the gateway have open, and how many of them may be connections. A gateway that ran out
// could neither restart a worker nor store a file, so there are always some that no connection gets.
#pragma once

#include <cstdint>

#include "services/intake.h"

namespace gbgreg::app {

// The loops and listeners of the threads, the database, the connections to the workers, and what a worker's start
// needs.
inline constexpr std::uint64_t kOtherFiles = 256;
// For everything but connections of clients: besides these the files of uploads and downloads on their way.
inline constexpr std::uint64_t kFilesReserved = services::kIncomingMax + services::kOutgoingMax + kOtherFiles;

struct OpenFilesLimit {
  std::uint64_t before = 0;  // What the gateway was started with, and its children get back; 0 is unknown.
  std::uint64_t now = 0;
};

// Raises the soft limit to the hard one. Called once, before threads and children.
OpenFilesLimit raise_open_files_limit();

// As many of the wanted connections as the limit leaves room for. Of a small limit they get half.
int connections_within(std::uint64_t open_files_max, int connections_wanted);

}  // namespace gbgreg::app
