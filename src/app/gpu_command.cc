#include "app/gpu_command.h"

#include <spdlog/fmt/fmt.h>

#include <iostream>

#include "fleet/process.h"
#include "services/gpu_modules.h"

namespace gbgreg::app {
namespace {

using services::GpuModulesOptions;

int refuse(std::string_view name, const Error& error) {
  std::cerr << "gbgreg: " << (name.empty() ? "" : std::string(name) + ": ") << error.message << std::endl;
  return 1;
}

void tell_proof(const gpu::ModulePackage& package, const services::Proof& proof) {
  const llm::Placement& placement = proof.placement;
  std::cout
      << fmt::format(
             "{0}: proven: all {1} layers of a demo model and its vision projector are on {2}, ready after {3:.1f} "
             "s\n{0}: installed beside the engine; a gateway that runs uses it when its models are started anew",
             package.name, placement.total_layers.value_or(0), placement.device,
             static_cast<double>(proof.ready_ms) / 1000)
      << std::endl;
}

int install_one(const gpu::ModulePackage& package, const GpuModulesOptions& options) {
  const auto tell = [&](std::string_view line) { std::cout << package.name << ": " << line << std::endl; };
  const auto proof = services::install_module(package, options, tell);
  if (!proof) return refuse(std::string(package.name) + ": not installed", proof.error());
  tell_proof(package, *proof);
  return 0;
}

// The first one that this machine has the libraries for, and that can be proven.
int install_best(const GpuModulesOptions& options) {
  for (const gpu::ModulePackage& package : gpu::module_packages()) {
    if (const auto reason = services::why_not(package)) {
      refuse("", *reason);
    } else if (install_one(package, options) == 0) {
      return 0;
    }
  }
  std::cerr << "gbgreg: no module for the GPU was installed; the models run on the processor." << std::endl;
  return 1;
}

int install(const GpuModulesOptions& options, const std::string& name) {
  if (name.empty()) return install_best(options);
  const gpu::ModulePackage* package = gpu::module_package(name);
  if (package != nullptr) return install_one(*package, options);
  std::cerr << "gbgreg: there is no module called " << name << ", only:";
  for (const gpu::ModulePackage& one : gpu::module_packages()) std::cerr << ' ' << one.name;
  std::cerr << std::endl;
  return 2;
}

int remove(const GpuModulesOptions& options) {
  const auto removed = services::remove_modules(options);
  if (!removed) return refuse("", removed.error());
  for (const std::string& file : *removed) std::cout << "removed " << file << "\n";
  if (removed->empty()) std::cout << "The engine has no module for a GPU.\n";
  std::cout << std::flush;
  return 0;
}

int tell_status(const GpuModulesOptions& options) {
  const auto status = services::modules_status(options);
  if (!status) return refuse("", status.error());
  if (status->modules.empty()) {
    std::cout << "The engine has no module for a GPU: gbgreg gpu install gives it one.\n";
  }
  for (const gpu::EngineModule& module : status->modules) {
    std::cout << module.file << ": " << (module.is_loadable ? "can be loaded" : module.load_error) << "\n";
  }
  for (const std::string& device : status->devices) std::cout << "  " << device << "\n";
  if (!status->modules.empty() && status->devices.empty()) std::cout << "The engine finds no device by it.\n";
  std::cout << std::flush;
  return 0;
}

}  // namespace

int run_gpu_command(const config::Config& config, const GpuCommand& command) {
  GpuModulesOptions options{.engine = config.fleet.engine,
                            .models = config.models,
                            .cache = config.cache,
                            .environment = fleet::own_environment()};
  options.probe.root = command.root;
  switch (command.verb) {
    case GpuCommand::Verb::install:
      return install(options, command.module);
    case GpuCommand::Verb::remove:
      return remove(options);
    case GpuCommand::Verb::status:
      return tell_status(options);
  }
  return 2;
}

}  // namespace gbgreg::app
