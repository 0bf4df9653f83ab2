// How a llama-server worker is started: its arguments and its environment. Pure.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fleet/memory_need.h"
#include "fleet/model_file.h"
#include "fleet/options.h"
#include "fleet/process.h"

namespace gbgreg::fleet {

// How many tokens of a prompt are worked on at once. Large ones suit a card; a processor is held up by one for so long
// that a client that leaves would not be noticed for seconds.
enum class Batches : std::uint8_t { small, large };

// Where a worker with a port of its own listens: whoever is on this machine may ask it GET /health there, and needs the
// key for all else.
inline constexpr std::string_view kWorkerHost = "127.0.0.1";

// What differs from life to life of a worker.
struct EngineLife {
  std::filesystem::path socket;  // Of one without a port.
  std::string key;               // The gateway's secret for this life; no other local program may use the worker.
  ModelFacts facts = {};         // Of a model that embeds: what its file says today.
  Batches batches = Batches::small;
  bool may_use_card = true;  // The engine has a module for some card; else it need not look how models fit on one.
};

// How many tokens of one text a model that embeds takes: what is configured, but no more than it was trained for.
int embedding_tokens_max(const WorkerOptions& worker, const ModelFacts& facts);

// What its memory depends on: memory_need.h. `repacks` as there.
LoadPlan load_plan(const WorkerOptions& worker, const ModelFacts& facts, Batches batches, bool repacks);

// What a worker gets of the gateway's own environment ("NAME=value"): only names that a GPU driver or the C library
// need pass, so neither its secrets nor LLAMA_ARG_… settings of the owner's shell reach the engine.
std::vector<std::string> environment_for_engine(std::span<const std::string> parent_environment);

Command engine_command(const std::filesystem::path& engine, const WorkerOptions& worker, const EngineLife& life,
                       std::span<const std::string> parent_environment);

}  // namespace gbgreg::fleet
