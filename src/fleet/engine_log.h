// What a llama-server worker says about itself, line by line: its state, its log, and where it put the layers.
//
// In child mode its stdout carries state lines between the JSON log lines of --log-jsonl; stderr has plain text.
// Nothing in its HTTP interface says which device is used; only this log does, so the Placement is made here, from
// evidence alone. Evidence counts only until the engine is ready: later lines can be about requests, and no prompt may
// forge it.
//
// Pure: no I/O, no clock, no threads. Takes any bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llm/llm.h"

namespace gbgreg::fleet {

inline constexpr std::size_t kLogLineBytesMax = 2'000;  // The rest of a longer line is not kept.

enum class LogLevel : std::uint8_t { debug, info, warning, error };

struct LogLine {
  LogLevel level = LogLevel::info;
  std::string text;         // One line of valid printable text, without the engine's own time stamps.
  bool may_be_told = true;  // To anybody: it cannot quote a request. See EngineLog::may_be_told().
};

enum class EngineStage : std::uint8_t { loading, ready };

struct EngineState {
  EngineStage stage = EngineStage::loading;
  std::optional<double> progress = {};  // Of loading, over all its stages: 0 to 1.
};

// What the engine says it has allocated, in bytes: in the host's memory, mapped files included, and on devices.
struct EngineMemory {
  std::int64_t host = 0;
  std::int64_t devices = 0;

  std::int64_t total() const { return host + devices; }
  bool operator==(const EngineMemory&) const = default;
};

// What a line turned out to be: a state, a log line, or nothing of interest.
struct EngineWord {
  std::optional<EngineState> state = {};
  const LogLine* log_line = nullptr;  // Valid until the next line.
};

class EngineLog {
 public:
  enum class Stream : std::uint8_t { out, err };

  // Keeps the last `lines_max` lines, at least one. No path gets into what is kept: of one that begins with one of
  // `folders` (whose names may have blanks) or with a slash, only what is behind the folder stays.
  EngineLog(std::size_t lines_max, std::vector<std::string> folders);

  EngineWord take(Stream stream, std::string_view line);

  // By the evidence so far.
  llm::Placement placement() const;
  EngineMemory memory() const { return memory_; }
  // Compute capabilities that its module for CUDA says it has kernels for: 1200 is 12.0. Empty when it does not say.
  const std::vector<int>& architectures() const { return architectures_; }
  // The first warnings and errors of its loading, which are what explains where it is; none can quote a request.
  const std::vector<std::string>& complaints() const { return complaints_; }
  const std::deque<LogLine>& lines() const { return lines_; }
  // The complaints that explain an end best, in one line; empty when there are none. While loading these are the
  // first ones, because the later ones only say that loading failed; after that the newest. None can quote a request.
  std::string last_words() const;

 private:
  bool may_be_told(Stream stream, bool is_entry) const;
  const LogLine* keep(LogLevel level, std::string_view text, bool may_be_told);
  void read_evidence(std::string_view text);
  void read_memory(std::string_view text);
  void read_architectures(std::string_view text);

  std::size_t lines_max_;
  std::vector<std::string> folders_;  // Each ends with a slash; the longest first.
  std::deque<LogLine> lines_;
  std::vector<std::string> first_errors_;
  std::vector<std::string> complaints_;
  std::vector<int> architectures_;
  bool was_ready_ = false;
  std::optional<std::string> abort_;  // The line that says so, once it is ready.

  struct Buffers {
    bool host = false;
    std::vector<std::string> devices = {};  // Each once.
  };
  Buffers weights_;
  EngineMemory memory_;
  bool device_named_ = false;  // "using device …"
  std::optional<int> offloaded_, offloadable_, layers_;
  std::optional<std::string> projector_device_;
};

}  // namespace gbgreg::fleet
