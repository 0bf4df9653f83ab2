#include "gpu/reaching_the_card.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <iterator>
#include <string>

#include "gpu/kernel_log.h"

namespace gbgreg::gpu {
namespace {

// ---- What CUDA's functions and NVML's answer with.

constexpr int kCudaNotInitialized = 3;
constexpr int kCudaNoDevice = 100;
constexpr int kCudaSystemDriverMismatch = 803;
constexpr int kCudaUnknown = 999;
constexpr int kNvmlLibraryMismatch = 18;
constexpr int kNvmlUnknown = 999;

std::string text(int number) { return std::to_string(number); }

// ---- Questions that several checks ask.

bool is_container(const Machine& machine) { return machine.container != Container::none; }

bool is_docker_like(Container container) {
  return container == Container::docker || container == Container::podman || container == Container::kubernetes;
}

const DeviceNode* node(const Machine& machine, std::string_view path) {
  const auto found = std::ranges::find(machine.nodes, path, &DeviceNode::path);
  return found == machine.nodes.end() ? nullptr : &*found;
}

// Without the capability nodes, which nothing here needs.
bool has_card_node(const Machine& machine) {
  return std::ranges::any_of(machine.nodes, [](const DeviceNode& node) {
    constexpr std::string_view kCard = "/dev/nvidia";
    return node.path.size() > kCard.size() && node.path.starts_with(kCard) && node.path[kCard.size()] >= '0' &&
           node.path[kCard.size()] <= '9';
  });
}

const DeviceNode* closed_node(const Machine& machine, std::initializer_list<int> errors) {
  const auto found = std::ranges::find_if(machine.nodes, [&](const DeviceNode& node) {
    return std::ranges::find(errors, node.open_error) != errors.end();
  });
  return found == machine.nodes.end() ? nullptr : &*found;
}

bool is_module_loaded(const Machine& machine, std::string_view name) {
  return machine.modules && std::ranges::find(*machine.modules, name) != machine.modules->end();
}

const std::string* log_line_with(const Machine& machine, std::string_view words) {
  const auto found =
      std::ranges::find_if(machine.kernel_log, [&](const std::string& line) { return line.contains(words); });
  return found == machine.kernel_log.end() ? nullptr : &*found;
}

// A card that was handed on to a virtual machine is that machine's business.
bool is_ours(const PciCard& card) { return card.driver != "vfio-pci"; }
bool has_card(const Machine& machine) { return std::ranges::any_of(machine.cards, is_ours); }

// Vulkan's serves cards of every maker, of which nothing is known here.
bool has_module_for_any_card(const Facts& facts) {
  const auto& modules = facts.probe.modules;
  return modules && std::ranges::any_of(*modules, [](const EngineModule& module) {
           return module.is_loadable && module.file.contains("vulkan");
         });
}

// Is there a role that requires one, and that does not, or could not, have one of some maker's already?
bool is_gpu_required(const Facts& facts) {
  const bool may_have_one = has_module_for_any_card(facts);
  return std::ranges::any_of(facts.workers, [&](const WorkerFacts& worker) {
    return worker.policy == DevicePolicy::require_gpu && !worker.has_started && (worker.has_failed || !may_have_one);
  });
}

bool is_there_a_card(const Facts& facts) {
  const Machine& machine = facts.machine;
  return has_card(machine) || has_card_node(machine) || machine.driver || facts.earlier;
}

bool cuda_works(const Facts& facts) { return facts.probe.cuda && facts.probe.cuda->works(); }
// It was loaded, and cuInit said something else than that all is well.
std::optional<int> cuda_status(const Facts& facts) {
  const auto& cuda = facts.probe.cuda;
  return cuda && cuda->load_error.empty() ? std::optional(cuda->status) : std::nullopt;
}
bool cuda_is_not_found(const Facts& facts) { return facts.probe.cuda && !facts.probe.cuda->load_error.empty(); }
bool nvml_works(const Facts& facts) { return facts.probe.nvml && facts.probe.nvml->works(); }

bool is_cuda_module(const EngineModule& module) { return module.file.contains("cuda"); }

// ---- Evidence, a line each.

std::string line_of(const DeviceNode& node) {
  std::string line = node.path + ": ";
  line += node.open_error == 0 ? "opens" : std::strerror(node.open_error);
  if (!node.owner.empty()) line += " (" + node.owner + ")";
  return line;
}

std::string line_of(const PciCard& card) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string id;
  for (int shift = 12; shift >= 0; shift -= 4) id += kDigits[static_cast<std::size_t>((card.device >> shift) & 15)];
  return "PCI " + card.address + ": NVIDIA device " + id + ", " +
         (card.driver.empty() ? std::string("no driver is bound to it") : "bound to " + card.driver);
}

std::vector<std::string> card_lines(const Machine& machine) {
  std::vector<std::string> lines;
  for (const PciCard& card : machine.cards) {
    if (is_ours(card)) lines.push_back(line_of(card));
  }
  return lines;
}

std::string line_of(const KernelDriver& driver) {
  return "kernel module nvidia " + driver.version + (driver.is_open ? " (open)" : " (proprietary)");
}

std::string cuda_line(const Facts& facts) {
  const auto& cuda = facts.probe.cuda;
  if (!cuda) return "CUDA was not asked";
  if (!cuda->load_error.empty()) return "libcuda.so.1: " + cuda->load_error;
  return "cuInit: " + text(cuda->status) + (cuda->path.empty() ? "" : " (" + cuda->path + ")");
}

std::string nvml_line(const Facts& facts) {
  const auto& nvml = facts.probe.nvml;
  if (!nvml) return "NVML was not asked";
  if (!nvml->load_error.empty()) return "libnvidia-ml.so.1: " + nvml->load_error;
  if (nvml->status == 0) return "NVML: works, " + text(static_cast<int>(nvml->devices.size())) + " device(s)";
  return "NVML: " + text(nvml->status) + (nvml->status_text.empty() ? "" : " (" + nvml->status_text + ")");
}

std::string environment_line(std::string_view name, const std::optional<std::string>& value) {
  return std::string(name) + (value ? "=\"" + *value + "\"" : " is not set");
}

// ---- The checks, each for one cause.

std::optional<Finding> firmware_hang(const Facts& facts) {
  std::vector<std::string> evidence;
  for (const std::string& line : facts.machine.kernel_log) {
    if (tells_of_hang(line)) evidence.push_back("kernel log: " + line);
  }
  // It may have been reset since.
  if (evidence.empty() || (nvml_works(facts) && cuda_works(facts))) return std::nullopt;
  if (facts.probe.has_hung) evidence.emplace_back("the driver did not answer in time");
  return Finding{.code = "firmware_hang",
                 .message = "The GPU hangs: its firmware does not answer any more.",
                 .evidence = std::move(evidence),
                 .fix =
                     "Power the machine off, take it off the mains for 30 seconds and start it; a reboot is often not "
                     "enough. If it comes back: newest driver (nvidia-open), newest BIOS, no riser cable, PCIe "
                     "generation fixed in the BIOS. gbgreg does not use the GPU until then."};
}

std::optional<Finding> driver_does_not_answer(const Facts& facts) {
  if (!facts.probe.has_hung) return std::nullopt;
  std::vector<std::string> evidence = {"the driver did not answer in time", nvml_line(facts), cuda_line(facts)};
  if (!facts.machine.kernel_log_readable)
    evidence.emplace_back("/dev/kmsg: may not be read, so the reason is not known");
  return Finding{
      .code = "driver_does_not_answer",
      .message = "The GPU's driver did not answer within seconds.",
      .evidence = std::move(evidence),
      .fix =
          "Where several cards take long to wake up: systemctl enable --now nvidia-persistenced. If nvidia-smi "
          "hangs too, dmesg | grep -i xid on the machine that owns the card tells; then power it off for 30 "
          "seconds."};
}

std::optional<Finding> driver_library_mismatch(const Facts& facts) {
  const auto& nvml = facts.probe.nvml;
  const auto& driver = facts.machine.driver;
  if (!nvml || !nvml->load_error.empty()) return std::nullopt;
  const bool differs = driver && !nvml->driver_version.empty() && nvml->driver_version != driver->version;
  if (nvml->status != kNvmlLibraryMismatch && !differs) return std::nullopt;
  std::vector<std::string> evidence = {nvml_line(facts)};
  if (driver) evidence.push_back(line_of(*driver));
  if (!nvml->driver_version.empty()) evidence.push_back("libraries of driver " + nvml->driver_version);
  return Finding{.code = "driver_library_mismatch",
                 .message = "The NVIDIA driver was upgraded while its old kernel module still runs.",
                 .evidence = std::move(evidence),
                 .fix =
                     "Reboot. To keep it from happening unattended: apt-mark hold the driver's packages, and upgrade "
                     "them when a reboot is at hand. In a container: give it the host's driver files again by "
                     "recreating it."};
}

std::optional<Finding> blackwell_needs_open_modules(const Facts& facts) {
  const Machine& machine = facts.machine;
  const auto card =
      std::ranges::find_if(machine.cards, [](const PciCard& one) { return one.is_blackwell && is_ours(one); });
  if (card == machine.cards.end() || !machine.driver || machine.driver->is_open) return std::nullopt;
  if (nvml_works(facts) && !facts.probe.nvml->devices.empty()) return std::nullopt;
  return Finding{
      .code = "blackwell_needs_open_modules",
      .message = "This card is of the RTX 50 generation, which the proprietary kernel module does not drive.",
      .evidence = {line_of(*card), line_of(*machine.driver), nvml_line(facts)},
      .fix =
          "Install the open kernel modules, version 570 or newer, on the machine that owns the card: "
          "apt install nvidia-open (from NVIDIA's repository), then reboot."};
}

std::optional<Finding> bar_too_small(const Facts& facts) {
  const std::string* line = log_line_with(facts.machine, "RmInitAdapter failed");
  if (line == nullptr || cuda_works(facts)) return std::nullopt;
  std::vector<std::string> evidence = {"kernel log: " + *line};
  if (const std::string* bar = log_line_with(facts.machine, "BAR")) evidence.push_back("kernel log: " + *bar);
  return Finding{
      .code = "bar_too_small",
      .message = "The driver cannot start the card: the firmware of the machine gives it too small a window.",
      .evidence = std::move(evidence),
      .fix =
          "In the BIOS switch on \"Above 4G Decoding\" and \"Resizable BAR\" and switch off CSM. In a virtual "
          "machine use q35 and OVMF, and give the card as a PCIe device."};
}

std::optional<Finding> driver_missing(const Facts& facts) {
  const Machine& machine = facts.machine;
  if (is_container(machine) || machine.driver || !has_card(machine) || has_card_node(machine)) return std::nullopt;
  const bool is_nouveau =
      std::ranges::any_of(machine.cards, [](const PciCard& card) { return card.driver == "nouveau"; });
  return Finding{
      .code = "driver_missing",
      .message = is_nouveau ? "The card runs on nouveau, which can draw but not compute."
                            : "There is an NVIDIA card, and its driver is not running.",
      .evidence = card_lines(machine),
      .fix =
          "Install NVIDIA's driver (RTX 50: nvidia-open 570 or newer), reboot, and see that nvidia-smi lists "
          "the card. With Secure Boot the module has to be signed: mokutil --sb-state tells."};
}

bool has_no_nodes(const Machine& machine) {
  return !has_card_node(machine) && node(machine, "/dev/nvidiactl") == nullptr;
}

std::optional<Finding> container_runtime_missing(const Facts& facts) {
  const Machine& machine = facts.machine;
  if (!is_docker_like(machine.container) && !machine.snap_docker) return std::nullopt;
  if (!has_no_nodes(machine) || !machine.cuda_libraries.empty() || !is_there_a_card(facts)) return std::nullopt;
  const auto& asked = facts.environment.nvidia_visible_devices;
  const bool was_asked_for = asked && !asked->empty() && *asked != "void" && *asked != "none";
  if (!was_asked_for && !machine.snap_docker) return std::nullopt;
  std::vector<std::string> evidence = {environment_line("NVIDIA_VISIBLE_DEVICES", asked),
                                       "no /dev/nvidia* and no libcuda.so.1 in this container"};
  if (machine.snap_docker) evidence.push_back(*machine.snap_docker + ": Docker from snap, which cannot hand on a GPU");
  return Finding{
      .code = "container_runtime_missing",
      .message = "This container asks for the GPU, and the host has no NVIDIA container runtime that would give it.",
      .evidence = std::move(evidence),
      .fix =
          "On the host: apt install nvidia-container-toolkit, then nvidia-ctk runtime configure "
          "--runtime=docker, systemctl restart docker, and start the container anew with --gpus all. "
          "Docker from snap has to be replaced by Docker's own packages first."};
}

std::optional<Finding> no_device_nodes(const Facts& facts) {
  const Machine& machine = facts.machine;
  if (!has_no_nodes(machine)) return std::nullopt;
  const bool is_seen = is_there_a_card(facts);
  if (!is_seen && !is_gpu_required(facts)) return std::nullopt;
  std::vector<std::string> evidence = card_lines(machine);
  if (machine.driver) evidence.push_back(line_of(*machine.driver));
  if (!is_seen) evidence.emplace_back("no NVIDIA device on the PCI bus");
  evidence.emplace_back("/dev/nvidia0, /dev/nvidiactl: not there");
  std::string fix = "Run nvidia-modprobe -c=0 -u as root and see that nvidia-smi lists the card.";
  if (is_docker_like(machine.container)) {
    fix =
        "Start the container with --gpus all, or in a compose file: deploy: resources: reservations: devices: "
        "[{driver: nvidia, count: all, capabilities: [gpu]}].";
  } else if (machine.container == Container::lxc) {
    fix =
        "Add the devices to the container's configuration on the host (Proxmox: Resources, Add, Device Passthrough: "
        "/dev/nvidia0, /dev/nvidiactl, /dev/nvidia-uvm, /dev/nvidia-uvm-tools) and start it anew.";
  } else if (!is_seen) {
    fix = machine.is_virtual ? "Pass the card through to this virtual machine (Proxmox: Hardware, Add, PCI Device, All "
                               "Functions, PCI-Express), or set device: prefer_gpu for the roles that require one."
                             : "Put a card in, or set device: prefer_gpu for the roles that require one.";
  }
  return Finding{.code = "no_device_nodes",
                 .message = is_container(machine) ? "The GPU was not given to this container."
                            : is_seen             ? "The driver is there, and its device nodes are not."
                                                  : "A role requires a GPU, and this machine sees none.",
                 .evidence = std::move(evidence),
                 .fix = std::move(fix)};
}

std::optional<Finding> lxc_passthrough(const Facts& facts) {
  const Machine& machine = facts.machine;
  if (machine.container != Container::lxc) return std::nullopt;
  std::vector<std::string> evidence;
  for (const DeviceNode& one : machine.nodes) {
    const bool is_uvm = one.path.starts_with("/dev/nvidia-uvm");
    const auto& wanted = is_uvm ? machine.uvm_major : machine.nvidia_major;
    const bool is_caps = one.path.starts_with("/dev/nvidia-caps") || one.path == "/dev/nvidia-modeset";
    if (!is_caps && wanted && *wanted != one.major) {
      evidence.push_back(one.path + " has the major number " + std::to_string(one.major) + ", the driver's is " +
                         std::to_string(*wanted));
    } else if (one.open_error == EPERM || one.open_error == ENXIO || one.open_error == ENODEV) {
      evidence.push_back(line_of(one));
    }
  }
  if (evidence.empty()) return std::nullopt;
  return Finding{.code = "lxc_passthrough",
                 .message = "The GPU's devices are in this LXC container, and the container may not use them.",
                 .evidence = std::move(evidence),
                 .fix =
                     "On the host, ls -l /dev/nvidia* shows the numbers; write them anew into the container's "
                     "configuration (lxc.cgroup2.devices.allow: c MAJOR:* rwm and the lxc.mount.entry lines, or "
                     "Proxmox's Device Passthrough, which keeps up by itself) and start it anew. The numbers of "
                     "nvidia-uvm change with a reboot."};
}

std::optional<Finding> devices_revoked(const Facts& facts) {
  const Machine& machine = facts.machine;
  if (!is_docker_like(machine.container) || has_no_nodes(machine)) return std::nullopt;
  const DeviceNode* closed = closed_node(machine, {EPERM});
  const bool nvml_lost =
      facts.probe.nvml && facts.probe.nvml->load_error.empty() && facts.probe.nvml->status == kNvmlUnknown;
  // A container's root may open whatever its list of devices allows.
  if ((closed == nullptr || !machine.is_root) && !(nvml_lost && facts.earlier)) return std::nullopt;
  std::vector<std::string> evidence;
  if (closed != nullptr) evidence.push_back(line_of(*closed));
  evidence.push_back(nvml_line(facts));
  if (facts.earlier) evidence.push_back("it worked before: " + facts.earlier->device);
  return Finding{
      .code = "devices_revoked",
      .message = "The GPU was taken from this running container, as \"systemctl daemon-reload\" on the host does.",
      .evidence = std::move(evidence),
      .fix =
          "Recreate the container (docker compose up -d --force-recreate). For good: hand the GPU on by CDI "
          "(--device nvidia.com/gpu=all), or set \"exec-opts\": [\"native.cgroupdriver=cgroupfs\"] in "
          "/etc/docker/daemon.json on the host."};
}

std::optional<Finding> permission_denied(const Facts& facts) {
  const DeviceNode* closed = closed_node(facts.machine, {EACCES, EPERM});
  if (closed == nullptr || cuda_works(facts)) return std::nullopt;
  return Finding{
      .code = "permission_denied",
      .message = "The GPU's devices are there, and this user may not open them.",
      .evidence = {line_of(*closed)},
      .fix =
          "Add the user that runs gbgreg to the node's group (usermod -aG video gbgreg, then start it anew), or "
          "see what SELinux says: ausearch -m avc -ts recent; for a container: setsebool -P "
          "container_use_devices on. Rootless containers get the GPU by CDI: --device nvidia.com/gpu=all."};
}

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

std::optional<Finding> uvm_not_loaded(const Facts& facts) {
  const Machine& machine = facts.machine;
  if (!has_card_node(machine) || cuda_works(facts)) return std::nullopt;
  const bool is_node_missing = node(machine, "/dev/nvidia-uvm") == nullptr;
  const bool is_module_missing = machine.modules && !is_module_loaded(machine, "nvidia_uvm");
  if (!is_node_missing && !is_module_missing) return std::nullopt;
  std::vector<std::string> evidence;
  if (is_node_missing) evidence.emplace_back("/dev/nvidia-uvm: not there");
  if (is_module_missing) evidence.emplace_back("/proc/modules: no nvidia_uvm");
  evidence.push_back(cuda_line(facts));
  return Finding{.code = "uvm_not_loaded",
                 .message = "The kernel module nvidia_uvm, which CUDA cannot do without, is not loaded.",
                 .evidence = std::move(evidence),
                 .fix = std::string(is_container(machine) ? "On the host, as root" : "As root") +
                        ": nvidia-modprobe -u -c=0. So that it is there after every start: systemctl enable --now "
                        "nvidia-persistenced, and nvidia_uvm in a file in /etc/modules-load.d/." +
                        (is_container(machine) ? " Then start the container anew." : "")};
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
  std::vector<std::string> evidence = {cuda_line(facts),
                                       "the machine has slept " + text(suspends) + " time(s) since it started"};
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

std::string version_text(int version) { return text(version / 1000) + "." + text(version % 1000 / 10); }

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

// The order is that in which a program meets them on its way to the card: the first one hides those behind it.
constexpr struct {
  std::string_view code;
  std::optional<Finding> (*check)(const Facts&);
} kChecks[] = {
    {"firmware_hang", firmware_hang},
    {"driver_does_not_answer", driver_does_not_answer},
    {"driver_library_mismatch", driver_library_mismatch},
    {"blackwell_needs_open_modules", blackwell_needs_open_modules},
    {"bar_too_small", bar_too_small},
    {"driver_missing", driver_missing},
    {"container_runtime_missing", container_runtime_missing},
    {"no_device_nodes", no_device_nodes},
    {"lxc_passthrough", lxc_passthrough},
    {"devices_revoked", devices_revoked},
    {"permission_denied", permission_denied},
    {"visible_devices_wrong", visible_devices_wrong},
    {"uvm_not_loaded", uvm_not_loaded},
    {"driver_capabilities", driver_capabilities},
    {"cdi_libcuda_unreachable", cdi_libcuda_unreachable},
    {"driver_library_missing", driver_library_missing},
    {"compat_shadows_driver", compat_shadows_driver},
    {"lost_after_suspend", lost_after_suspend},
    {"hmm_bug", hmm_bug},
    {"driver_too_old", driver_too_old},
    {"cuda_does_not_start", cuda_does_not_start},
    {"engine_module_unloadable", engine_module_unloadable},
};

}  // namespace

std::optional<Finding> why_the_card_is_not_reached(const Facts& facts) {
  if (!is_there_a_card(facts) && !is_gpu_required(facts)) return std::nullopt;
  for (const auto& [code, check] : kChecks) {
    if (auto finding = check(facts)) return finding;
  }
  return std::nullopt;
}

std::vector<std::string_view> codes_of_reaching_the_card() {
  std::vector<std::string_view> codes;
  for (const auto& [code, check] : kChecks) codes.push_back(code);
  return codes;
}

}  // namespace gbgreg::gpu
