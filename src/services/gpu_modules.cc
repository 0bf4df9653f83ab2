#include "services/gpu_modules.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>

#include "fleet/engine_command.h"
#include "gpu/checks.h"
#include "gpu/machine.h"

namespace gbgreg::services {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStagePrefix = ".gpu-module.";

bool is_module(const fs::path& file) {
  return std::ranges::find(gpu::module_files(), file.filename().string()) != gpu::module_files().end();
}

// The engine looks for its modules where its program really lies.
Result<fs::path> real_engine(const GpuModulesOptions& options) {
  std::error_code error;
  fs::path engine = fs::canonical(options.engine, error);
  if (!error && ::access(engine.c_str(), X_OK) == 0) return engine;
  return fail(Kind::not_found, "engine_missing",
              "There is no engine at " + options.engine.string() + ": ./run builds it, or name one by --engine.");
}

// Two installs at once would take each other's files away.
class Lock {
 public:
  explicit Lock(const fs::path& folder)
      : file_(::open((folder / ".gpu-module.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    is_held_ = file_ >= 0 && ::flock(file_, LOCK_EX | LOCK_NB) == 0;
    if (!is_held_) error_ = errno;
  }
  ~Lock() {
    if (file_ >= 0) ::close(file_);
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  Result<void> held(const fs::path& folder) const {
    if (is_held_) return {};
    if (error_ == EWOULDBLOCK) {
      return fail(Kind::unavailable, "gpu_modules_busy", "Another gbgreg gpu is at work on this engine; wait for it.");
    }
    return fail(Kind::internal, "engine_folder_closed",
                "The engine's folder " + folder.string() +
                    " cannot be written to. Run this as its owner, or name another engine by --engine.");
  }

 private:
  int file_;
  bool is_held_;
  int error_ = 0;
};

// The engine without its modules for GPUs, in a folder on the same disk: links, which cost nothing.
class Stage {
 public:
  explicit Stage(const fs::path& engine_folder) {
    std::string name = (engine_folder / (std::string(kStagePrefix) + "XXXXXX")).string();
    if (::mkdtemp(name.data()) != nullptr) folder_ = name;
  }
  ~Stage() {
    std::error_code ignored;
    if (!folder_.empty()) fs::remove_all(folder_, ignored);
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  const fs::path& folder() const { return folder_; }

  Result<void> fill(const fs::path& engine_folder) const {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(engine_folder, error)) {
      if (!entry.is_regular_file(error) || is_module(entry.path()) || entry.path().filename().string().starts_with('.'))
        continue;
      const fs::path copy = folder_ / entry.path().filename();
      fs::create_hard_link(entry.path(), copy, error);
      // Some systems let nobody link to a file that is not theirs.
      if (error) fs::copy_file(entry.path(), copy, error);
      if (error) break;
    }
    if (!error && !folder_.empty()) return {};
    return fail(Kind::internal, "engine_not_copied",
                "The engine could not be copied beside itself: " + error.message() + ".");
  }

 private:
  fs::path folder_;
};

// What one that was killed had left behind.
void sweep_stages(const fs::path& engine_folder) {
  std::error_code error;
  std::vector<fs::path> old;
  for (const auto& entry : fs::directory_iterator(engine_folder, error)) {
    if (entry.is_directory(error) && entry.path().filename().string().starts_with(kStagePrefix))
      old.push_back(entry.path());
  }
  for (const fs::path& folder : old) fs::remove_all(folder, error);
}

gpu::Facts facts_with_engine_in(const fs::path& folder, const GpuModulesOptions& options) {
  gpu::Facts facts;
  facts.environment = gpu::read_environment(options.environment);
  facts.machine = gpu::read_machine(gpu::HostFiles(options.probe.root));
  gpu::ProbeOptions probe = options.probe;
  probe.engine_folder = folder;
  probe.environment = fleet::environment_for_engine(options.environment);
  facts.probe = gpu::ask_driver(probe, facts.machine);
  return facts;
}

// Where no NVIDIA card is seen the doctor has nothing to say, because then nothing is wrong with it.
std::string advice_without_a_card(const gpu::ModulePackage& package) {
  if (package.device != "Vulkan") {
    return "No NVIDIA card is seen on this machine. If it has one: gbgreg doctor says what is in the way once a role "
           "has device: require_gpu. For another maker's card: gbgreg gpu install vulkan.";
  }
  return "Vulkan sees no GPU. vulkaninfo --summary (apt install vulkan-tools) lists what it sees; the card's own "
         "driver "
         "is in mesa-vulkan-drivers (AMD, Intel) or in NVIDIA's driver packages. Mesa's software device, which is "
         "slower than the processor, is used only when GGML_VK_VISIBLE_DEVICES=0 asks for it.";
}

// The cause as the doctor names it, with its fix.
std::string cause_of(const gpu::ModulePackage& package, const gpu::Facts& facts) {
  const auto findings = gpu::examine(facts);
  const auto cause = std::ranges::find_if(
      findings, [](const gpu::Finding& finding) { return finding.code != "cpu_type_without_avx"; });
  if (cause == findings.end()) return advice_without_a_card(package);
  std::string text = cause->code + ": " + cause->message;
  for (const std::string& line : cause->evidence) text += "\n  seen: " + line;
  return text + "\n  do: " + cause->fix;
}

// What the loader says of the module in the stage; absent when it can be loaded.
std::optional<Error> why_unloadable(const gpu::Facts& facts) {
  const auto& modules = facts.probe.modules;
  if (!modules || modules->empty() || modules->front().is_loadable) return std::nullopt;
  return Error{.kind = Kind::refused,
               .code = "module_unloadable",
               .message = "The module cannot be loaded: " + modules->front().load_error + "."};
}

Result<void> put_beside_engine(const fs::path& module, const fs::path& engine_folder) {
  const fs::path target = engine_folder / module.filename();
  std::error_code error;
  fs::rename(module, target, error);
  if (error) {
    return fail(Kind::internal, "module_not_installed",
                "The module could not be put beside the engine: " + error.message() + ".");
  }
  for (const std::string_view other : gpu::module_files()) {
    if (other != target.filename()) fs::remove(engine_folder / other, error);
  }
  return {};
}

}  // namespace

std::optional<Error> why_not(const gpu::ModulePackage& package) {
#if !defined(__x86_64__)
  return Error{.kind = Kind::refused,
               .code = "module_for_another_machine",
               .message = "There is no module for this kind of processor, only for x86-64."};
#endif
  const auto missing = gpu::missing_libraries_of(package);
  if (missing.empty()) return std::nullopt;
  std::string message = "The module " + std::string(package.name) + " needs what this machine does not have:";
  for (const gpu::NeededLibrary& library : missing) {
    message += "\n  " + std::string(library.file) + ": " + std::string(library.fix);
  }
  return Error{.kind = Kind::unavailable, .code = "libraries_missing", .message = std::move(message)};
}

Result<Proof> install_module(const gpu::ModulePackage& package, const GpuModulesOptions& options,
                             const TellStep& tell) {
  if (auto reason = why_not(package)) return std::unexpected(std::move(*reason));
  const auto engine = real_engine(options);
  if (!engine) return std::unexpected(engine.error());
  const fs::path folder = engine->parent_path();
  const Lock lock(folder);
  if (auto held = lock.held(folder); !held) return std::unexpected(held.error());
  sweep_stages(folder);
  const Stage stage(folder);
  if (auto filled = stage.fill(folder); !filled) return std::unexpected(filled.error());

  const fs::path module = stage.folder() / package.file;
  const PackageFetch fetch{.cache = options.cache, .environment = options.environment};
  if (auto fetched = fetch_module(package, fetch, module, tell); !fetched) return std::unexpected(fetched.error());

  const gpu::Facts facts = facts_with_engine_in(stage.folder(), options);
  if (auto reason = why_unloadable(facts)) {
    reason->message += "\n" + cause_of(package, facts);
    return std::unexpected(std::move(*reason));
  }
  tell("loading a demo model by it, as the proof");
  auto proof = prove_module(
      package,
      {.engine = stage.folder() / engine->filename(), .models = options.models, .environment = options.environment});
  if (!proof) {
    if (proof.error().kind != Kind::not_found) proof.error().message += "\n" + cause_of(package, facts);
    return proof;
  }
  if (auto placed = put_beside_engine(module, folder); !placed) return std::unexpected(placed.error());
  return proof;
}

Result<std::vector<std::string>> remove_modules(const GpuModulesOptions& options) {
  const auto engine = real_engine(options);
  if (!engine) return std::unexpected(engine.error());
  const fs::path folder = engine->parent_path();
  const Lock lock(folder);
  if (auto held = lock.held(folder); !held) return std::unexpected(held.error());
  std::vector<std::string> removed;
  for (const std::string_view file : gpu::module_files()) {
    std::error_code error;
    if (fs::remove(folder / file, error)) removed.emplace_back(file);
    if (error) {
      return fail(Kind::internal, "module_not_removed",
                  std::string(file) + " could not be removed: " + error.message() + ".");
    }
  }
  return removed;
}

Result<ModulesStatus> modules_status(const GpuModulesOptions& options) {
  const auto engine = real_engine(options);
  if (!engine) return std::unexpected(engine.error());
  const gpu::Facts facts = facts_with_engine_in(engine->parent_path(), options);
  ModulesStatus status;
  if (facts.probe.modules) status.modules = *facts.probe.modules;
  status.devices = devices_of_engine({.engine = *engine, .models = {}, .environment = options.environment});
  return status;
}

}  // namespace gbgreg::services
