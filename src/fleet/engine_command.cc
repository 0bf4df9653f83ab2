#include "fleet/engine_command.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <thread>

#include "net/options.h"

namespace gbgreg::fleet {
namespace {

// With some projectors (Gemma's) all tokens of an image must fit into one batch, or the engine aborts; they make up to
// 280 tokens an image. A smaller batch would free the slot of a client that left sooner, but not at that price.
constexpr int kImageBatchTokens = 512;

// Threads of the engine's HTTP side beyond those for answers and for connections that the gateway keeps: for signs of
// life, and for errors, which are answered without a slot.
constexpr int kHttpThreadsSpare = 4;
// And beyond these, where others may connect, too: a supervisor that keeps a few connections must not take the place of
// the gateway's.
constexpr int kHttpThreadsForOthers = 8;

constexpr std::array<std::string_view, 13> kPassedNames = {
    "PATH",         "HOME",         "USER",         "LOGNAME",         "LANG",
    "LANGUAGE",     "TZ",           "TMPDIR",       "LD_LIBRARY_PATH", "ASAN_OPTIONS",
    "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"};
// Locales, and what CUDA, ROCm, Vulkan, Mesa and the engine's own library of devices look at.
constexpr std::array<std::string_view, 14> kPassedPrefixes = {"LC_",    "XDG_", "CUDA_", "NVIDIA_", "GGML_",
                                                              "VK_",    "HIP_", "HSA_",  "ROC",     "MESA_",
                                                              "LIBGL_", "LP_",  "OMP_",  "SYCL_"};

bool may_pass(std::string_view variable) {
  const std::string_view name = variable.substr(0, variable.find('='));
  return std::ranges::find(kPassedNames, name) != kPassedNames.end() ||
         std::ranges::any_of(kPassedPrefixes, [&](std::string_view prefix) { return name.starts_with(prefix); });
}

int threads_for(const WorkerOptions& worker) {
  if (worker.threads > 0) return worker.threads;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency() / 2));
}

// The engine gives each connection a thread for as long as it is open, the idle ones that the gateway's I/O threads
// keep included. With fewer threads than connections, requests and signs of life would wait behind connections that say
// nothing, and a healthy worker would be restarted.
int http_threads_for(const WorkerOptions& worker) {
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  // As many as were ever busy on one core at once.
  const int kept_per_core = std::min(worker.slots, static_cast<int>(net::Options{}.idle_connections_per_backend_max));
  return worker.slots + kept_per_core * cores + kHttpThreadsSpare + (worker.port ? kHttpThreadsForOthers : 0);
}

std::string_view pooling_name(Pooling pooling) {
  switch (pooling) {
    case Pooling::mean:
      return "mean";
    case Pooling::cls:
      return "cls";
    case Pooling::last:
      return "last";
  }
  return "mean";
}

// The owner's word, the file's, or what most models are made for.
Pooling pooling_of(const WorkerOptions& worker, const ModelFacts& facts) {
  if (worker.pooling) return *worker.pooling;
  return facts.pooling.value_or(Pooling::mean);
}

// Where the vector is the last token's, the engine reads a text in parts, and wants room for one token more.
int spare_tokens(const WorkerOptions& worker, const ModelFacts& facts) {
  return pooling_of(worker, facts) == Pooling::last ? 1 : 0;
}

int context_for(const WorkerOptions& worker, const ModelFacts& facts) {
  return worker.embeds ? embedding_tokens_max(worker, facts) + spare_tokens(worker, facts) : worker.context_tokens;
}

// Through the layers at once. A text that is embedded must fit into one batch.
int batch_for(const WorkerOptions& worker, const ModelFacts& facts, Batches batches) {
  if (worker.embeds) return embedding_tokens_max(worker, facts);
  const int tokens = batches == Batches::large ? worker.batch_tokens_on_card : worker.batch_tokens;
  return worker.projector_file.empty() ? tokens : std::max(tokens, kImageBatchTokens);
}

// Handed to the engine's core together, which cuts them into batches. It looks for who has left only in between.
int handed_for(const WorkerOptions& worker, const ModelFacts& facts, Batches batches) {
  const int batch = batch_for(worker, facts, batches);
  const bool is_more = batches == Batches::large && !worker.embeds;
  return is_more ? std::max(batch, worker.handed_tokens_on_card) : batch;
}

}  // namespace

int embedding_tokens_max(const WorkerOptions& worker, const ModelFacts& facts) {
  if (!facts.context_tokens) return worker.context_tokens;
  return std::max(1, std::min(worker.context_tokens, *facts.context_tokens - spare_tokens(worker, facts)));
}

LoadPlan load_plan(const WorkerOptions& worker, const ModelFacts& facts, Batches batches, bool repacks) {
  return {.context_tokens = context_for(worker, facts),
          .slots = worker.slots,
          .batch_tokens = batch_for(worker, facts, batches),
          .cache = worker.cache,
          .repacks = repacks};
}

std::vector<std::string> environment_for_engine(std::span<const std::string> parent_environment) {
  std::vector<std::string> passed;
  for (const std::string& variable : parent_environment) {
    if (may_pass(variable)) passed.push_back(variable);
  }
  return passed;
}

Command engine_command(const std::filesystem::path& engine, const WorkerOptions& worker, const EngineLife& life,
                       std::span<const std::string> parent_environment) {
  Command command{.program = engine.string()};
  auto& arguments = command.arguments;
  arguments = {"-m", worker.model_file.string(), "--alias", worker.model};
  if (worker.port) {
    arguments.insert(arguments.end(), {"--host", std::string(kWorkerHost), "--port", std::to_string(*worker.port)});
  } else {
    arguments.insert(arguments.end(), {"--host", life.socket.string()});
  }
  if (!worker.projector_file.empty()) {
    arguments.insert(arguments.end(), {"--mmproj", worker.projector_file.string()});
  }
  // Not even a module for GPUs is used then, nor a card's memory for what comes beside the layers.
  if (worker.device == gpu::DevicePolicy::cpu) arguments.insert(arguments.end(), {"-dev", "none"});
  // Looking how it fits on a card takes most of the time that a small model loads.
  if (worker.device == gpu::DevicePolicy::cpu || !life.may_use_card) arguments.insert(arguments.end(), {"-fit", "off"});
  if (worker.gpu_layers) arguments.insert(arguments.end(), {"-ngl", std::to_string(*worker.gpu_layers)});
  if (worker.cache == CacheType::q8_0) arguments.insert(arguments.end(), {"-ctk", "q8_0", "-ctv", "q8_0"});
  if (worker.embeds) {
    const std::string pooling(pooling_name(pooling_of(worker, life.facts)));
    arguments.insert(arguments.end(), {"--embeddings", "--pooling", pooling});
  }
  arguments.insert(arguments.end(),
                   {
                       "-c",
                       std::to_string(context_for(worker, life.facts) * worker.slots),  // Divided among the slots.
                       "-np",
                       std::to_string(worker.slots),
                       "-t",
                       std::to_string(threads_for(worker)),
                       "--threads-http",
                       std::to_string(http_threads_for(worker)),
                       "-b",
                       std::to_string(handed_for(worker, life.facts, life.batches)),
                       "-ub",
                       std::to_string(batch_for(worker, life.facts, life.batches)),
                       "-cram",
                       "0",  // No prompt cache that users share.
                       "-lv",
                       "4",
                       "--log-jsonl",  // The only place where it says on which device it runs.
                       "--no-ui",
                       "--offline",
                   });

  command.environment = environment_for_engine(parent_environment);
  // Child mode; the number itself is not used. The key is not an argument because arguments are visible to everybody.
  command.environment.push_back("LLAMA_SERVER_ROUTER_PORT=1");
  command.environment.push_back("LLAMA_API_KEY=" + life.key);
  // After an abort the engine would start a debugger, when it finds one, and keep its memory for as long as that takes.
  command.environment.push_back("GGML_NO_BACKTRACE=1");
  return command;
}

}  // namespace gbgreg::fleet
