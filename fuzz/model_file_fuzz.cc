// Any bytes as a model's file: what is read of it can be passed to an engine and shown.
#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>

#include "fleet/engine_command.h"
#include "fleet/model_file.h"

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
  return 0;
}
