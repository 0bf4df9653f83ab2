// Everything that the checks look at, as it was read. Plain values: gathered by gather.h, or written down by a test.
//
// What could not be read is absent and never assumed: a check speaks only on evidence.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gpu/device_policy.h"
#include "llm/llm.h"

namespace gbgreg::gpu {

// ---- The machine.

enum class Container : std::uint8_t { none, docker, podman, kubernetes, lxc, other };

// A display or compute device of NVIDIA's on the PCI bus.
struct PciCard {
  std::string address;        // "0000:01:00.0"
  std::uint16_t device = 0;   // PCI device id: 0x2c05.
  std::string driver = {};    // The kernel driver that is bound to it: "nvidia", "nouveau", "vfio-pci"; empty: none.
  bool is_blackwell = false;  // By its device id.
};

struct DeviceNode {
  std::string path;    // "/dev/nvidia0"
  int open_error = 0;  // errno of opening it for reading and writing; 0 when it opened.
  unsigned major = 0;
  std::string owner = {};  // "root:video 0660"
};

struct KernelDriver {
  std::string version;   // "570.86.16"
  bool is_open = false;  // The open kernel modules.
};

struct Machine {
  Container container = Container::none;
  bool is_virtual = false;  // A virtual machine, by the processor's word.
  bool is_root = false;
  std::vector<PciCard> cards = {};
  std::vector<DeviceNode> nodes = {};                    // /dev/nvidia*, by name.
  std::optional<KernelDriver> driver = {};               // Absent when its module is not loaded.
  std::optional<std::vector<std::string>> modules = {};  // Loaded kernel modules; absent when the list cannot be read.
  std::optional<unsigned> nvidia_major = {};             // What /proc/devices says of the numbers that nodes must have.
  std::optional<unsigned> uvm_major = {};
  std::optional<bool> hmm_disabled = {};         // nvidia_uvm's parameter uvm_disable_hmm.
  std::optional<int> suspends = {};              // Since the machine started.
  std::vector<std::string> kernel_log = {};      // Lines that are about the GPU; empty when there are none …
  bool kernel_log_readable = false;              // … or when the log may not be read.
  std::vector<std::string> cuda_libraries = {};  // Files named libcuda.so.1, wherever they lie.
  std::optional<std::string> snap_docker = {};   // The path that shows it.
  bool has_avx2 = true;                          // Of an x86 processor; true of any other.
};

struct Environment {
  std::optional<std::string> cuda_visible_devices = {};
  std::optional<std::string> nvidia_visible_devices = {};
  std::optional<std::string> nvidia_driver_capabilities = {};
  std::optional<std::string> library_path = {};
};

// ---- The driver's libraries, asked in a process of its own (probe.h).

struct GpuProcess {
  int pid = 0;
  std::uint64_t bytes = 0;  // Held on the card.
};

struct NvmlDevice {
  std::string uuid;
  std::string name;
  std::uint64_t memory_bytes = 0;
  std::uint64_t memory_used_bytes = 0;
  std::optional<int> utilisation_percent = {};
  std::optional<int> memory_clock_mhz = {};  // The most that it can have.
  std::optional<int> memory_bus_bits = {};
  std::vector<GpuProcess> processes = {};
};

// libnvidia-ml.so.1.
struct Nvml {
  std::string load_error = {};  // The loader's words; empty when it is loaded.
  int status = 0;               // Of nvmlInit_v2, or of the first call after it that failed.
  std::string status_text = {};
  std::string driver_version = {};
  std::vector<NvmlDevice> devices = {};

  bool works() const { return load_error.empty() && status == 0; }
};

struct CudaDevice {
  std::string name;
  int capability = 0;  // 120 for 12.0.
};

// libcuda.so.1.
struct Cuda {
  std::string load_error = {};
  std::string path = {};  // Which file it came from.
  int status = 0;         // Of cuInit.
  int version = 0;        // Of cuDriverGetVersion: 12080 for 12.8.
  std::vector<CudaDevice> devices = {};

  bool works() const { return load_error.empty() && status == 0 && !devices.empty(); }
};

// One of the engine's modules for GPUs.
struct EngineModule {
  std::string file;  // "libggml-cuda.so"
  bool is_loadable = false;
  std::string load_error = {};
  std::vector<std::string> missing = {};  // Libraries that it needs and the loader does not find.
  std::optional<int> cuda_needed = {};    // 13000 for one built against CUDA 13.
};

struct Probe {
  bool has_hung = false;  // It did not come back in time, which is a driver that hangs.
  bool has_died = false;  // It ended before it had told everything.
  std::optional<Nvml> nvml = {};
  std::optional<Cuda> cuda = {};
  std::optional<std::vector<EngineModule>> modules = {};  // Empty when the engine has none.
};

// ---- The workers.

struct WorkerFacts {
  std::string role;
  std::string model;
  DevicePolicy policy = DevicePolicy::prefer_gpu;
  bool has_started = false;  // Far enough for its log to say where the layers are.
  bool has_failed = false;   // It gave up starting.
  llm::Placement placement = {};
  bool has_projector = false;
  std::optional<std::string> projector_device = {};
  int pid = 0;
  std::uint64_t model_bytes = 0;        // Of its files.
  std::uint64_t card_bytes_needed = 0;  // Of its weights, what goes to a card when all layers do; 0 when not known.
  std::optional<double> tokens_per_second = {};   // The fastest of its latest answers.
  std::optional<int> gpu_layers_configured = {};  // By the owner; 0 keeps it off the card.
  int context_tokens = 0;                         // All slots together.
  std::vector<int> architectures =
      {};  // Compute capabilities that the engine's CUDA module has kernels for: 1200 is 12.0.
  std::vector<std::string> complaints = {};  // Lines of its log that are warnings or errors.
};

// That the GPU worked before, by the gateway's own memory.
struct Earlier {
  std::string device;  // "NVIDIA GeForce RTX 5070 Ti"
  bool same_boot = true;
  int suspends = 0;  // There had been by then.
};

struct Facts {
  Machine machine = {};
  Environment environment = {};
  Probe probe = {};
  std::vector<WorkerFacts> workers = {};
  std::optional<Earlier> earlier = {};
  // How many looks in a row found every card idle while a model on one gave an answer, and how busy the busiest was.
  int idle_looks = 0;
  int utilisation_decoding_percent = 0;
};

}  // namespace gbgreg::gpu
