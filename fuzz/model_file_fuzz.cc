// Any bytes as a model's file: what is read of it can be passed to an engine and shown.
#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>

#include "fleet/engine_command.h"
#include "fleet/memory_need.h"
#include "fleet/model_file.h"
#include "fleet/model_shape.h"

namespace {

namespace fleet = gbgreg::fleet;

void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::istringstream file(std::string(reinterpret_cast<const char*>(data), size));
  const fleet::ModelFacts facts = fleet::read_model_facts(file);
  check(std::ranges::all_of(facts.architecture,
                            [](unsigned char c) { return std::isgraph(c) && c != '"' && c != '\\'; }));
  check(facts.context_tokens.value_or(1) > 0 && facts.embedding_numbers.value_or(1) > 0);
  const fleet::WorkerOptions worker{.role = "r", .model = "m", .model_file = "f", .embeds = true};
  const int tokens = fleet::embedding_tokens_max(worker, facts);
  check(tokens > 0 && tokens <= worker.context_tokens);
  check(!fleet::engine_command("e", worker, {.socket = "s", .key = "k", .facts = facts}, {}).arguments.empty());
  file.clear();
  file.seekg(0);
  if (const auto shape = fleet::read_model_shape(file)) {
    const fleet::LoadPlan plan{.context_tokens = 1 << 20, .slots = 256, .batch_tokens = 1 << 16, .repacks = true};
    const fleet::MemoryNeed need = fleet::memory_on_host(*shape, 0, plan);
    check(need.weights >= 0 && need.cache >= 0 && need.working > 0 && need.repacked <= need.weights);
    check(fleet::memory_on_card(*shape, 0, plan) >= 0);
  }
  return 0;
}
