#include "gpu/faults_of_the_nodes.h"

#include <algorithm>
#include <cerrno>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gpu/signs.h"

namespace gbgreg::gpu {
namespace {

constexpr int kNvmlUnknown = 999;

bool is_docker_like(Container container) {
  return container == Container::docker || container == Container::podman || container == Container::kubernetes;
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

bool has_no_nodes(const Machine& machine) {
  return !has_card_node(machine) && node(machine, "/dev/nvidiactl") == nullptr;
}

}  // namespace

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

}  // namespace gbgreg::gpu
