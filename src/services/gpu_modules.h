// `gbgreg gpu`: gives the engine a module for the GPU, takes it away, and says what there is. Blocks.
//
// A module is fetched (module_package_fetch.h) into a copy of the engine's folder, proven there by a real load
// (module_proof.h), and only then put beside the engine by a rename: no worker ever meets one that was not proven.
// There is one module at a time, because two would show the engine the same card twice.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "gpu/module_package.h"
#include "gpu/probe.h"
#include "services/module_package_fetch.h"
#include "services/module_proof.h"

namespace gbgreg::services {

struct GpuModulesOptions {
  std::filesystem::path engine;  // The llama-server program; modules lie beside it.
  std::filesystem::path models;  // Where the demo models are.
  std::filesystem::path cache;   // What is fetched is kept there.
  std::vector<std::string> environment;
  gpu::ProbeOptions probe = {};  // As in DoctorOptions.
};

// Why it cannot be installed, before anything is fetched: what it needs and this machine lacks, with the fix. Absent
// when nothing is missing.
std::optional<Error> why_not(const gpu::ModulePackage& package);

// Errors: unavailable (libraries are missing, it could not be fetched, or another install is under way), not_found (no
// engine, no demo model), refused (not the pinned package, or not proven; with what the doctor finds), backend_failed,
// internal.
Result<Proof> install_module(const gpu::ModulePackage& package, const GpuModulesOptions& options, const TellStep& tell);

// The files that it took away. Errors: not_found (no engine), internal.
Result<std::vector<std::string>> remove_modules(const GpuModulesOptions& options);

struct ModulesStatus {
  std::vector<gpu::EngineModule> modules = {};  // Beside the engine, and whether they can be loaded.
  std::vector<std::string> devices = {};        // The engine's own list.
};
// Errors: not_found (no engine).
Result<ModulesStatus> modules_status(const GpuModulesOptions& options);

}  // namespace gbgreg::services
