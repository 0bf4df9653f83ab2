#include "gpu/faults_of_cuda.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gpu/signs.h"

namespace gbgreg::gpu {
namespace {

// What CUDA's functions answer with.
constexpr int kCudaNotInitialized = 3;
constexpr int kCudaNoDevice = 100;
constexpr int kCudaSystemDriverMismatch = 803;
constexpr int kCudaUnknown = 999;

bool is_cuda_module(const EngineModule& module) { return module.file.contains("cuda"); }

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace

std::optional<Finding> visible_devices_wrong(const Facts& facts) {
  const auto& visible = facts.environment.cuda_visible_devices;
  if (!visible || cuda_works(facts)) return std::nullopt;
  std::vector<std::string> evidence = {environment_line("CUDA_VISIBLE_DEVICES", visible)};
  std::string_view rest = *visible;
  bool is_any_there = false;
  const auto devices = nvml_works(facts) ? facts.probe.nvml->devices : std::vector<NvmlDevice>{};
  while (!rest.empty()) {
    const std::string_view one = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    int index = -1;
    const auto number = std::from_chars(one.data(), one.data() + one.size(), index);
    const bool is_number = number.ec == std::errc{} && number.ptr == one.data() + one.size();
    // What NVML does not list cannot be compared, but for what never means a device.
    if (is_number && index >= 0 && (devices.empty() || index < std::ssize(devices))) is_any_there = true;
    if (!is_number && (devices.empty() || std::ranges::any_of(devices, [&](const NvmlDevice& device) {
                         return device.uuid.starts_with(one);
                       }))) {
      is_any_there = true;
    }
  }
  if (is_any_there) return std::nullopt;
  for (const NvmlDevice& device : devices) evidence.push_back("there is " + device.uuid + ", " + device.name);
  evidence.push_back(cuda_line(facts));
  return Finding{
      .code = "visible_devices_wrong",
      .message = "CUDA_VISIBLE_DEVICES hides every GPU from the models.",
      .evidence = std::move(evidence),
      .fix =
          "Take CUDA_VISIBLE_DEVICES out of the environment that gbgreg is started in (its unit, its compose "
          "file, the shell), or set it to the UUID that nvidia-smi -L prints."};
}

std::optional<Finding> driver_capabilities(const Facts& facts) {
  const Machine& machine = facts.machine;
  if (!is_container(machine) || !nvml_works(facts) || !cuda_is_not_found(facts)) return std::nullopt;
  if (!machine.cuda_libraries.empty()) return std::nullopt;
  return Finding{
      .code = "driver_capabilities",
      .message = "This container got the part of the driver that looks at the GPU, and not the part that computes.",
      .evidence = {environment_line("NVIDIA_DRIVER_CAPABILITIES", facts.environment.nvidia_driver_capabilities),
                   nvml_line(facts), cuda_line(facts)},
      .fix = "Start the container with NVIDIA_DRIVER_CAPABILITIES=compute,utility."};
}

std::optional<Finding> cdi_libcuda_unreachable(const Facts& facts) {
  const Machine& machine = facts.machine;
  if (!has_card_node(machine) || !cuda_is_not_found(facts) || machine.cuda_libraries.empty()) return std::nullopt;
  std::vector<std::string> evidence = {cuda_line(facts)};
  for (const std::string& file : machine.cuda_libraries) evidence.push_back(file + " is there");
  return Finding{
      .code = "cdi_libcuda_unreachable",
      .message = "The driver's libcuda.so.1 is on this machine, where the loader does not look for it.",
      .evidence = std::move(evidence),
      .fix = is_container(machine)
                 ? "Run ldconfig in the container as root when it starts; or hand the GPU on with --device "
                   "nvidia.com/gpu=all after nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml on the host; "
                   "or set mode = \"legacy\" in /etc/nvidia-container-runtime/config.toml there."
                 : "Run ldconfig as root; if that does not help, write its folder into a file in "
                   "/etc/ld.so.conf.d/ and run it again."};
}

std::optional<Finding> driver_library_missing(const Facts& facts) {
  const Machine& machine = facts.machine;
  if (!has_card_node(machine) || !cuda_is_not_found(facts)) return std::nullopt;
  return Finding{.code = "driver_library_missing",
                 .message = "The driver's kernel module runs, and its library libcuda.so.1 is not installed.",
                 .evidence = {cuda_line(facts), nvml_line(facts)},
                 .fix =
                     "Install the library of the same version as the kernel module: apt install libcuda1 (Debian) or "
                     "libnvidia-compute-NNN (Ubuntu). In a container let the NVIDIA runtime bring it: --gpus all."};
}

std::optional<Finding> compat_shadows_driver(const Facts& facts) {
  const auto status = cuda_status(facts);
  if (!status || *status == 0) return std::nullopt;
  const bool is_compat = facts.probe.cuda->path.contains("compat");
  if (*status != kCudaSystemDriverMismatch && !is_compat) return std::nullopt;
  return Finding{.code = "compat_shadows_driver",
                 .message = "A libcuda of CUDA's compatibility package stands before the driver's own.",
                 .evidence = {cuda_line(facts), environment_line("LD_LIBRARY_PATH", facts.environment.library_path)},
                 .fix =
                     "Take the compat folder out of LD_LIBRARY_PATH and /etc/ld.so.conf.d/, or remove the package "
                     "cuda-compat-*."};
}

std::optional<Finding> lost_after_suspend(const Facts& facts) {
  const auto status = cuda_status(facts);
  const bool is_lost =
      status && (*status == kCudaUnknown || *status == kCudaNotInitialized || *status == kCudaNoDevice);
  const int suspends = facts.machine.suspends.value_or(0);
  // Where it is known how many there had been when it worked, only those after count.
  const int before = facts.earlier && facts.earlier->same_boot ? facts.earlier->suspends : 0;
  if (!is_lost || suspends <= before) return std::nullopt;
  std::vector<std::string> evidence = {
      cuda_line(facts), "the machine has slept " + std::to_string(suspends) + " time(s) since it started"};
  if (facts.earlier) evidence.push_back("it worked before: " + facts.earlier->device);
  return Finding{
      .code = "lost_after_suspend",
      .message = "CUDA was lost when the machine went to sleep.",
      .evidence = std::move(evidence),
      .fix =
          "End all programs that use the GPU, then as root: rmmod nvidia_uvm && modprobe nvidia_uvm. For good: "
          "systemctl enable nvidia-suspend nvidia-resume, and options nvidia "
          "NVreg_PreserveVideoMemoryAllocations=1 in /etc/modprobe.d/."};
}

std::optional<Finding> hmm_bug(const Facts& facts) {
  const Machine& machine = facts.machine;
  if (cuda_status(facts) != kCudaNotInitialized || !nvml_works(facts)) return std::nullopt;
  if (machine.hmm_disabled.value_or(false) || (machine.driver && !machine.driver->is_open)) return std::nullopt;
  std::vector<std::string> evidence = {cuda_line(facts), nvml_line(facts)};
  if (machine.driver) evidence.push_back(line_of(*machine.driver));
  return Finding{.code = "hmm_bug",
                 .message =
                     "CUDA does not start, though the driver answers: a known fault of the open kernel modules with "
                     "heterogeneous memory management.",
                 .evidence = std::move(evidence),
                 .fix =
                     "As root: echo \"options nvidia_uvm uvm_disable_hmm=1\" > /etc/modprobe.d/nvidia-uvm.conf, then "
                     "rmmod nvidia_uvm && modprobe nvidia_uvm, or reboot."};
}

std::optional<Finding> driver_too_old(const Facts& facts) {
  const auto& cuda = facts.probe.cuda;
  if (!cuda || !cuda->load_error.empty() || cuda->version == 0) return std::nullopt;
  if (!facts.probe.modules) return std::nullopt;
  const EngineModule* newest = nullptr;
  for (const EngineModule& module : *facts.probe.modules) {
    if (!module.is_loadable) continue;
    if (!is_cuda_module(module)) return std::nullopt;  // Vulkan's does not mind.
    if (module.cuda_needed && *module.cuda_needed > cuda->version) newest = &module;
    if (module.cuda_needed && *module.cuda_needed <= cuda->version) return std::nullopt;
  }
  if (newest == nullptr) return std::nullopt;
  std::vector<std::string> evidence = {"the driver speaks CUDA " + version_text(cuda->version),
                                       newest->file + " needs CUDA " + version_text(*newest->cuda_needed)};
  if (facts.machine.driver) evidence.push_back(line_of(*facts.machine.driver));
  return Finding{.code = "driver_too_old",
                 .message = "The driver is older than the engine's CUDA module needs.",
                 .evidence = std::move(evidence),
                 .fix =
                     "Upgrade the driver (580 or newer for CUDA 13) and reboot, or use the Vulkan module, which does "
                     "without: gbgreg gpu install vulkan."};
}

std::optional<Finding> cuda_does_not_start(const Facts& facts) {
  const auto status = cuda_status(facts);
  const bool nvml_failed = facts.probe.nvml && facts.probe.nvml->load_error.empty() && facts.probe.nvml->status != 0;
  if (cuda_works(facts) || (!status && !nvml_failed && !facts.probe.has_died)) return std::nullopt;
  std::vector<std::string> evidence = {cuda_line(facts), nvml_line(facts)};
  if (facts.probe.has_died) evidence.emplace_back("a library of the driver crashed when it was asked");
  return Finding{
      .code = "cuda_does_not_start",
      .message = "The GPU is there, and CUDA does not start on it, for a reason that is not known here.",
      .evidence = std::move(evidence),
      .fix =
          "Reboot. If it stays: dmesg | grep -i nvrm on the machine that owns the card says more; gbgreg doctor "
          "--report writes a file to attach to a question."};
}

std::optional<Finding> engine_module_unloadable(const Facts& facts) {
  if (!facts.probe.modules) return std::nullopt;
  const auto& modules = *facts.probe.modules;
  if (std::ranges::any_of(modules, &EngineModule::is_loadable)) return std::nullopt;
  std::vector<std::string> evidence;
  for (const EngineModule& module : modules) {
    std::string line = module.file + ": " + module.load_error;
    for (const std::string& library : module.missing)
      line += (&library == module.missing.data() ? "; not found: " : ", ") + library;
    evidence.push_back(std::move(line));
  }
  if (modules.empty()) evidence.emplace_back("no libggml-cuda.so and no libggml-vulkan.so beside the engine");
  return Finding{
      .code = "engine_module_unloadable",
      .message = modules.empty() ? "The engine has no module for the GPU, so every model runs on the processor."
                                 : "The engine's module for the GPU cannot be loaded, so every model runs on the "
                                   "processor.",
      .evidence = std::move(evidence),
      .fix =
          "gbgreg gpu install cuda fetches the module; its CUDA libraries (libcudart.so.13, libcublas.so.13) come "
          "with apt install cuda-cudart-13-0 libcublas-13-0. Without them: gbgreg gpu install vulkan, which "
          "needs libvulkan1 only."};
}

}  // namespace gbgreg::gpu
