// Bounds and settings of the fleet, filled by config/.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "fleet/memory_plan.h"
#include "gpu/device_policy.h"
#include "net/address.h"

namespace gbgreg::fleet {

// How the vectors of a text's tokens become one.
enum class Pooling : std::uint8_t { mean, cls, last };

// How the numbers of the cache are kept: q8_0 takes half the memory and rounds a little.
enum class CacheType : std::uint8_t { f16, q8_0 };

struct WorkerOptions {
  std::string role;                           // "technical"
  std::string model;                          // "demo-technical"
  std::filesystem::path model_file;           // A GGUF file.
  std::filesystem::path projector_file = {};  // The vision projector, for models that see.
  bool is_stored = false;                     // Its files are those that Options::find_model knows, at each start.
  bool embeds = false;                        // It makes vectors of texts, and nothing else.
  std::optional<Pooling> pooling = {};        // Of one that embeds, when its file says nothing, or wrong.
  int dimensions_min = 0;                     // Likewise: how short its vectors may be cut; 0 is not at all.
  bool is_demo = false;                       // Random weights: said in /health.
  int context_tokens = 4096;                  // For each slot.
  int slots = 4;
  int threads = 0;        // 0: half of the cores, at least one.
  int batch_tokens = 64;  // Small on the CPU, so that a client that leaves during the prompt frees its slot soon …
  int batch_tokens_on_card = 512;    // … on a card the engine's own sizes: through the layers at once,
  int handed_tokens_on_card = 2048;  // and handed to its core together.
  int objective_ms = 5000;
  gpu::DevicePolicy device = gpu::DevicePolicy::prefer_gpu;
  std::optional<int> gpu_layers = {};  // At most so many on a card; absent: as many as fit.
  CacheType cache = CacheType::f16;
  // Idle for so long it leaves memory; absent: only for others.
  std::optional<std::chrono::milliseconds> keep_alive = {};
  bool allow_cpu = false;  // Of prefer_gpu, on a machine that has a GPU: to answer from the processor all the same.
  int preference = 0;      // Within its role; see BackendView.
  // It listens here on 127.0.0.1, so that others may ask it how it is; absent: on a Unix socket that only we reach.
  std::optional<int> port = {};
};

// Where a model's files are that has been fetched by its name.
struct StoredFiles {
  std::filesystem::path model = {};
  std::filesystem::path projector = {};  // Empty when there is none.
};

enum class ServerKind : std::uint8_t { openai, ollama, vllm, llama_server };

// A model on an outside server.
struct OutsideModelOptions {
  std::string role;
  std::string model;      // As clients name it.
  std::string served_as;  // As the server does.
  bool sees_images = false;
  bool embeds = false;
  std::optional<int> context_tokens = {};  // Absent is what the server says of it, or kContextTokens.
  int objective_ms = 5000;
  int preference = 0;  // Within its role; see BackendView.
  static constexpr int kContextTokens = 4096;
};

struct ServerOptions {
  std::string name;  // As the owner calls it.
  ServerKind kind = ServerKind::openai;
  net::ServerUrl url = {};
  std::filesystem::path ca_file = {};  // The authorities that answer for it over TLS; empty is the system's.
  std::string key = {};                // Sent as a bearer token when not empty. Never logged, told or stored.
  int slots = 4;                       // Requests at once, over all its models.
  std::vector<OutsideModelOptions> models = {};
};

struct Options {
  std::filesystem::path engine;      // The llama-server program.
  std::filesystem::path run_folder;  // For sockets: short enough for a Unix socket's 107 bytes, mode 0700.
  std::vector<WorkerOptions> workers = {};
  MemoryPlanOptions memory = {};  // `memory`: what all models may have together.

  bool has_gpu = false;  // The machine has one: then a role that prefers it does not silently go without.
  // Asked at each start of a worker whose model is_stored, on the fleet's thread. Its errors are told to clients.
  std::function<Result<StoredFiles>(const std::string& model)> find_model = {};
  std::vector<ServerOptions> servers = {};  // Each with at least one model.

  // The soft limit of open files that a worker gets; 0 is the gateway's own.
  std::uint64_t worker_open_files_max = 0;

  int queue_max = 64;  // `limits.queue_max`: requests waiting for one worker; past that, busy.
  // `limits.queue_wait_ms_max`: how long an interactive request may have to wait, by what answers have taken so far;
  // else busy, at once. Absent is what its role's objective leaves (admission.h), kNoBound anything.
  static constexpr std::chrono::milliseconds kNoBound = std::chrono::milliseconds::max();
  std::optional<std::chrono::milliseconds> queue_wait_max = {};
  int log_lines_max = 200;                          // The last lines of a worker's log that are kept.
  std::chrono::milliseconds load_timeout{120'000};  // Without a step forward: a slow disk is not a hang.
  std::chrono::milliseconds stop_timeout{3'000};    // To end when asked to; then to be gone when killed.
  // After a crash: at once, then doubling from the first to the second. A worker that lived for
  // restart_forgiven_after, or that answered a request in this life, begins again at none.
  std::chrono::milliseconds restart_delay_min{250};
  std::chrono::milliseconds restart_delay_max{30'000};
  std::chrono::milliseconds restart_forgiven_after{60'000};
  int crashes_until_failed = 5;    // In a row, without having been ready in between: then the state is failed, and a
                                   // request is told so at once while slow retries go on.
  int failures_until_restart = 5;  // Requests that failed in a row on a worker that seems alive: then it is restarted.
  // While it has requests a worker is asked whether it answers at all, which one that works hard does at once. One that
  // misses so many checks in a row hangs, and is restarted: after 2 + 3 * 5 s at most.
  std::chrono::milliseconds check_interval{2'000};
  std::chrono::milliseconds check_timeout{5'000};
  int checks_missed_max = 3;
};

}  // namespace gbgreg::fleet
