// Proves that the engine runs a model on a GPU by one of its modules: loads a demo model and believes only the engine's
// own log. Blocks.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/core.h"
#include "gpu/module_package.h"
#include "llm/llm.h"

namespace gbgreg::services {

struct ProofOptions {
  std::filesystem::path engine;          // With the module beside it.
  std::filesystem::path models;          // Where the demo models are.
  std::vector<std::string> environment;  // The owner's, whole; the engine gets of it what a worker gets.
};

struct Proof {
  llm::Placement placement = {};
  std::int64_t ready_ms = 0;  // From its start, with a first run of the model.
};

// Every layer, and the vision projector, on one device of the package's kind; and the model has run there once.
// Errors: not_found (no demo model), backend_failed (the engine ended, or was not ready in time, with its last words),
// refused (it runs, and not wholly there).
Result<Proof> prove_module(const gpu::ModulePackage& package, const ProofOptions& options);

// The engine's own list of devices, a line each: "Vulkan0: NVIDIA GeForce RTX 5070 Ti (16303 MiB, 15800 MiB free)".
// Empty when it has none or does not run.
std::vector<std::string> devices_of_engine(const ProofOptions& options);

}  // namespace gbgreg::services
