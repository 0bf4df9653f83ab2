// The whole fleet as those who run it see it: more than routing needs, so it is made only when somebody looks.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llm/llm.h"

namespace gbgreg::llm {

// A request that waits for a slot. Nothing in it says whose it is, or what it asks.
struct WaitingRequest {
  Priority priority = Priority::interactive;
  bool is_retry = false;  // It had a slot, and its worker broke down.
  std::int64_t waited_ms = 0;
  std::optional<std::int64_t> deadline_in_ms = {};  // Absent when it has none.
};

struct QueueView {
  int interactive = 0;
  int batch = 0;
  int retries = 0;
  std::vector<WaitingRequest> first = {};  // In the order in which they are served if nobody else comes; bounded.
};

// Bytes of the host's memory and of the cards'.
struct MemoryBytes {
  std::int64_t host = 0;
  std::int64_t card = 0;
};

// What a worker's model takes of the memory that models may have, at this moment.
enum class Hold : std::uint8_t {
  nothing,
  reserved,  // It is loading.
  used,
};

// A line of a worker's log that can quote nobody's request.
struct LogEntry {
  std::string_view level;  // "debug", "info", "warning", "error"
  std::string text;
};

// What is known of an outside server beside its models.
struct ServerState {
  std::string_view breaker;                         // "closed", "open", "half_open"
  int failures = 0;                                 // In a row.
  std::string last_error = {};                      // A sentence; empty when there was none.
  std::optional<std::int64_t> last_error_ago_ms{};  // When that was.
  std::optional<std::int64_t> check_in_ms = {};     // When it is asked next how it is.
};

struct BackendDetails {
  BackendView view = {};  // With the slots that are free now.
  int slots_busy = 0;
  QueueView queue = {};     // Of an outside server: of all its models together.
  bool is_leaving = false;  // It answers what it has, takes nothing more, and leaves memory.
  std::optional<double> loading_progress = {};
  MemoryBytes claim = {};  // What counts against the budget while it holds it.
  Hold hold = Hold::nothing;
  std::optional<std::int64_t> predicted_bytes = {};          // Of all memory, before it is loaded.
  std::optional<MemoryBytes> reported = {};                  // By the engine's own word.
  std::optional<std::chrono::milliseconds> keep_alive = {};  // Absent: until another needs its place.
  std::optional<std::int64_t> idle_ms = {};                  // Of one that is ready and has nothing to do.
  std::vector<LogEntry> log = {};                            // The last lines; bounded.
  std::optional<ServerState> server = {};                    // Of one that is on an outside server.
};

struct MemoryUse {
  std::optional<std::int64_t> budget_bytes = {};  // Absent when there is no bound.
  std::int64_t used_bytes = 0;
  std::int64_t reserved_bytes = 0;
};

struct FleetDetails {
  std::vector<BackendDetails> backends = {};  // As in a fleet's picture.
  MemoryUse host = {};
  MemoryUse card = {};
};

}  // namespace gbgreg::llm
