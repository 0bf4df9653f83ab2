// The hub types: what is asked of a model and what comes back, in nobody's dialect.
//
// Each protocol translates its own bytes to these and back, so N dialects are N files and not N times N translators.
// Plain values, but for Sink. No I/O, no threads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"

namespace gbgreg::llm {

enum class Speaker : std::uint8_t { system, user, assistant, tool };

struct Image {
  std::string base64;      // Checked to be base64 when parsed; never decoded in the gateway's own process.
  std::string media_type;  // "image/png", told from the first bytes.
};

// A call of a tool that a model asks for. What stands in `arguments` is what the model wrote: a JSON object, if it did
// as it was told.
struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;
};

struct Message {
  Speaker speaker = Speaker::user;
  std::string text;
  std::vector<Image> images = {};
  std::vector<ToolCall> tool_calls = {};  // Of an assistant's message.
  std::string tool_call_id = {};          // Of a tool's message: which call it answers; empty when not known …
  std::string tool_name = {};             // … or which tool.
  std::string thinking = {};              // What an assistant thought before it spoke.
};

// A tool that the model may call.
struct Tool {
  std::string name;
  std::string description = {};
  std::string parameters_json = {};  // A JSON schema, or empty.
};

enum class ToolUse : std::uint8_t { automatic, none, required, named };

enum class Format : std::uint8_t { text, json, schema };

// What a client may ask of the sampler. Each is range-checked where it is parsed.
struct Sampling {
  std::optional<double> temperature, top_p, min_p, typical_p;
  std::optional<double> repeat_penalty, presence_penalty, frequency_penalty;
  std::optional<int> top_k, repeat_last_n;
  std::optional<std::int64_t> seed;
  std::optional<int> tokens_max;
  std::vector<std::string> stop = {};
};

enum class Priority : std::uint8_t { interactive, batch };

// Whoever takes turns with others in a queue: all requests of one caller share its turns. Zero is nobody in particular.
enum class CallerId : std::uint64_t {};

class Trace;  // llm/trace.h

// Who asks, and what that allows. One thread at a time has it.
class Caller {
 public:
  virtual ~Caller() = default;
  // Found out only for a request that has to wait.
  virtual CallerId id() const = 0;
  // Whether some roles are closed to it, and whether this one is open.
  virtual bool is_restricted() const { return false; }
  virtual bool may_use(std::string_view /*role*/) const { return true; }
  // Whether it may use only so many tokens; if so expect() is told how many a model will probably take, before it is
  // asked. Nothing comes back when others have to be asked what is left: then expect_later() does so, which takes a
  // moment. Errors: busy (retry_after_seconds is set), too_large.
  virtual bool is_metered() const { return false; }
  virtual std::optional<Result<void>> expect(std::int64_t /*tokens*/) { return Result<void>{}; }
  virtual Task<Result<void>> expect_later(std::int64_t /*tokens*/) { co_return Result<void>{}; }
  // What a model took, of prompt and answer together; also when the answer broke off.
  virtual void spent(std::int64_t /*tokens*/) {}
  // What is told of its request on the way; null when nobody wants to know. It outlives the request.
  virtual Trace* trace() const { return nullptr; }
};

struct Request {
  std::string id;              // The request id of this exchange.
  std::string model = "auto";  // "auto", a role, or a concrete model name.
  std::vector<Message> messages = {};
  Sampling sampling = {};
  Format format = Format::text;
  std::string schema_json = {};  // Set when format is schema.
  std::vector<Tool> tools = {};
  ToolUse tool_use = ToolUse::automatic;
  std::string tool_named = {};  // Set when tool_use is named.
  std::optional<bool> parallel_tool_calls = {};
  std::optional<bool> think = {};     // Whether to think aloud first, for models that can; absent is the model's way.
  bool stop_sequence_wanted = false;  // The answer has to say which stop sequence ended it.
  Priority priority = Priority::interactive;
  Caller* caller = nullptr;             // Outlives the request; null is nobody in particular.
  std::optional<int> deadline_ms = {};  // From the arrival of the request; the gateway's own bound applies when absent.
  SteadyTime deadline = SteadyTime::max();  // The same as a point in time; set by the service that takes the request.
  // Something of the answer has to come by then, or the backend is taken for one that hangs: set for each attempt.
  SteadyTime first_byte_by = SteadyTime::max();
  // Options the client sent that only a reload of the model could honour (num_ctx, num_gpu …). They are not applied.
  std::vector<std::string> ignored_options = {};

  bool has_image() const;
};

struct Usage {
  int prompt_tokens = 0;
  int cached_prompt_tokens = 0;  // Part of prompt_tokens that the engine found in its cache.
  int completion_tokens = 0;
  double prompt_ms = 0;
  double generation_ms = 0;
};

enum class StopReason : std::uint8_t { stop, length, tool_calls };

struct Completion {
  StopReason reason = StopReason::stop;
  std::string stop_sequence = {};  // The one that ended it, if one did and Request::stop_sequence_wanted.
  Usage usage = {};
};

// A part of one tool call. The first part of a call has its id and its name; arguments come in any number of parts.
struct ToolCallPiece {
  int index = 0;
  std::string id;
  std::string name;
  std::string arguments;
};

// What an answer has grown by: whole UTF-8 characters.
struct Delta {
  std::string text;
  std::string thinking;
  std::vector<ToolCallPiece> tool_calls;

  bool empty() const { return text.empty() && thinking.empty() && tool_calls.empty(); }
  void clear();
  // As if both had come at once.
  void append(const Delta& more);
};

// Where a backend puts an answer while it is made. One task uses it at a time.
class Sink {
 public:
  virtual ~Sink() = default;
  // A piece of the answer, never empty. Errors: cancelled when the reader has left.
  virtual Task<Result<void>> delta(const Delta& piece) = 0;
};

// One that is sleeping is not in memory; the next request for it wakes it. An outside server that does not answer, or
// may not be used for now, is unreachable.
enum class BackendState : std::uint8_t { stopped, sleeping, loading, ready, draining, failed, unreachable };
std::string_view state_name(BackendState state);

// Where a model's layers are, by evidence only: what the engine's own log said.
struct Placement {
  std::string device = "unknown";  // "CPU", "CUDA0", "mixed", "unknown".
  std::vector<std::string> devices =
      {};  // What holds some of it by the engine's word, without the CPU: also of "mixed".
  std::optional<int> gpu_layers = {};
  std::optional<int> total_layers = {};
  std::optional<std::string> projector = {};  // What holds the part that sees: "CPU", "CUDA0"; absent when not known.

  bool operator==(const Placement&) const = default;
};

// One backend as the router and /health see it. Stale the moment it is made.
struct BackendView {
  std::string id;  // "role/model": unique in a fleet.
  std::string role;
  std::string model;
  BackendState state = BackendState::stopped;
  std::int64_t loads = 0;  // Times it has been loaded.
  // What it takes of all memory, by its engine's word, or will take, as predicted; 0 when not known.
  std::int64_t memory_bytes = 0;
  bool sees_images = false;
  bool embeds = false;     // It makes vectors of texts, and nothing else.
  int dimensions_min = 0;  // Of a model that embeds: how short its vectors may be cut; 0 is not at all.
  bool is_demo = false;
  int context_tokens = 0;
  std::string architecture = "llama";  // By the word of its file, where that has been read.
  int embedding_numbers = 0;           // Likewise: how many numbers its vectors have; 0 when not known.
  std::int64_t model_bytes = 0;        // Of its file, once it has been looked at.
  int slots_total = 0;
  int slots_free = 0;
  int queued = 0;
  int queue_max = 0;
  int objective_ms = 5000;
  int restarts = 0;
  int preference = 0;                     // Within its role: the smallest is wanted first; equals share the work.
  std::string server = {};                // The outside server that has it; empty for a worker of our own.
  std::optional<double> latency_ms = {};  // Of an answer, smoothed; absent before the first.
  std::optional<double> tokens_per_second = {};  // Measured on the last answers; absent before the first.
  std::optional<double> total_p95_ms = {};       // Of the last answers.
  Placement placement = {};
  std::optional<int> port = {};  // The worker's own TCP port when it has one.
  std::optional<int> process_id = {};
  std::string detail = {};  // A sentence when there is something to say, such as why it failed.
};

}  // namespace gbgreg::llm
