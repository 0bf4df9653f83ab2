#include "gpu/checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <set>

namespace gbgreg::gpu {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::uint64_t kGigabyte = 1024ULL * 1024 * 1024;

std::vector<std::string> codes(const std::vector<Finding>& findings) {
  std::vector<std::string> codes;
  codes.reserve(findings.size());
  for (const Finding& finding : findings) codes.push_back(finding.code);
  return codes;
}

WorkerFacts worker_on_card(const std::string& role) {
  return {.role = role,
          .model = role + "-model",
          .has_started = true,
          .placement = {.device = "CUDA0", .devices = {"CUDA0"}, .gpu_layers = 33, .total_layers = 33},
          .pid = 1000,
          .model_bytes = 5 * kGigabyte,
          .context_tokens = 16384,
          .architectures = {750, 800, 860, 890, 1200}};
}

// A machine with one card on which everything works.
Facts healthy_nvidia() {
  Facts facts;
  facts.machine = {.is_root = true,
                   .cards = {{.address = "0000:01:00.0", .device = 0x2c05, .driver = "nvidia", .is_blackwell = true}},
                   .nodes = {{.path = "/dev/nvidia-uvm", .major = 511},
                             {.path = "/dev/nvidia0", .major = 195},
                             {.path = "/dev/nvidiactl", .major = 195}},
                   .driver = KernelDriver{.version = "580.95.05", .is_open = true},
                   .modules = std::vector<std::string>{"nvidia", "nvidia_uvm"},
                   .nvidia_major = 195,
                   .uvm_major = 511,
                   .hmm_disabled = false,
                   .suspends = 0,
                   .kernel_log_readable = true,
                   .cuda_libraries = {"/usr/lib/x86_64-linux-gnu/libcuda.so.1"}};
  facts.probe.nvml =
      Nvml{.driver_version = "580.95.05",
           .devices = {{.uuid = "GPU-1a2b", .name = "NVIDIA GeForce RTX 5070 Ti", .memory_bytes = 16 * kGigabyte}}};
  facts.probe.cuda = Cuda{.path = "/usr/lib/x86_64-linux-gnu/libcuda.so.1",
                          .version = 13000,
                          .devices = {{.name = "NVIDIA GeForce RTX 5070 Ti", .capability = 120}}};
  facts.probe.modules =
      std::vector<EngineModule>{{.file = "libggml-cuda.so", .is_loadable = true, .cuda_needed = 13000}};
  facts.workers = {worker_on_card("technical")};
  return facts;
}

Facts in_container(Container container) {
  Facts facts = healthy_nvidia();
  facts.machine.container = container;
  return facts;
}

void take_nodes_away(Facts& facts) {
  facts.machine.nodes.clear();
  facts.machine.cuda_libraries.clear();
  facts.probe.nvml = Nvml{.load_error = "cannot open shared object file: No such file or directory"};
  facts.probe.cuda = Cuda{.load_error = "cannot open shared object file: No such file or directory"};
}

void let_cuda_fail(Facts& facts, int status) {
  facts.probe.cuda->status = status;
  facts.probe.cuda->devices.clear();
}

void hide_cuda(Facts& facts) {
  facts.probe.cuda = Cuda{.load_error = "cannot open shared object file: No such file or directory"};
}

void put_on_processor(Facts& facts) {
  facts.workers[0].placement = {.device = "CPU", .gpu_layers = 0, .total_layers = 33};
}

// On a card of 896 GB/s, whose bound for 5.4 GB is 167 tokens a second.
void measure(Facts& facts, double tokens_per_second) {
  facts.probe.nvml->devices[0].memory_clock_mhz = 14'001;
  facts.probe.nvml->devices[0].memory_bus_bits = 256;
  facts.workers[0].tokens_per_second = tokens_per_second;
}

struct Fault {
  std::string code;
  std::function<Facts()> facts;
  std::string fix_says;  // A part of it that mends this cause and no other.
};

// Each cause of the known ones, as a machine that has it looks.
std::vector<Fault> faults() {
  return {
      {"no_device_nodes",
       [] {
         Facts facts = in_container(Container::docker);
         take_nodes_away(facts);
         return facts;
       },
       "--gpus all"},
      {"container_runtime_missing",
       [] {
         Facts facts = in_container(Container::docker);
         take_nodes_away(facts);
         facts.environment.nvidia_visible_devices = "all";
         return facts;
       },
       "nvidia-container-toolkit"},
      {"cdi_libcuda_unreachable",
       [] {
         Facts facts = in_container(Container::docker);
         hide_cuda(facts);
         return facts;
       },
       "ldconfig"},
      {"engine_module_unloadable",
       [] {
         Facts facts = healthy_nvidia();
         facts.probe.modules =
             std::vector<EngineModule>{{.file = "libggml-cuda.so",
                                        .load_error = "libcudart.so.13: cannot open shared object file",
                                        .missing = {"libcudart.so.13", "libcublas.so.13"}}};
         put_on_processor(facts);
         return facts;
       },
       "gbgreg gpu install"},
      {"driver_capabilities",
       [] {
         Facts facts = in_container(Container::docker);
         hide_cuda(facts);
         facts.machine.cuda_libraries.clear();
         facts.environment.nvidia_driver_capabilities = "utility";
         return facts;
       },
       "compute,utility"},
      {"uvm_not_loaded",
       [] {
         Facts facts = healthy_nvidia();
         std::erase_if(facts.machine.nodes, [](const DeviceNode& node) { return node.path == "/dev/nvidia-uvm"; });
         facts.machine.modules = std::vector<std::string>{"nvidia"};
         let_cuda_fail(facts, 999);
         return facts;
       },
       "nvidia-modprobe -u"},
      {"devices_revoked",
       [] {
         Facts facts = in_container(Container::docker);
         for (DeviceNode& node : facts.machine.nodes) node.open_error = EPERM;
         facts.probe.nvml = Nvml{.status = 999, .status_text = "Unknown Error"};
         let_cuda_fail(facts, 100);
         facts.earlier = Earlier{.device = "NVIDIA GeForce RTX 5070 Ti"};
         return facts;
       },
       "Recreate the container"},
      {"driver_library_mismatch",
       [] {
         Facts facts = healthy_nvidia();
         facts.probe.nvml = Nvml{.status = 18, .status_text = "Driver/library version mismatch"};
         let_cuda_fail(facts, 803);
         return facts;
       },
       "Reboot"},
      {"blackwell_needs_open_modules",
       [] {
         Facts facts = healthy_nvidia();
         facts.machine.driver = KernelDriver{.version = "570.86.16", .is_open = false};
         facts.probe.nvml = Nvml{.driver_version = "570.86.16"};
         facts.machine.kernel_log = {"NVRM: GPU 0000:01:00.0: RmInitAdapter failed! (0x22:0x56:884)"};
         let_cuda_fail(facts, 100);
         return facts;
       },
       "nvidia-open"},
      {"arch_not_compiled",
       [] {
         Facts facts = healthy_nvidia();
         facts.workers[0].architectures = {500, 610, 700, 750, 800, 860, 890};
         facts.workers[0].complaints = {"CUDA error: no kernel image is available for execution on the device"};
         facts.workers[0].has_started = false;
         facts.workers[0].placement = {};
         return facts;
       },
       "gpu install cuda"},
      {"driver_too_old",
       [] {
         Facts facts = healthy_nvidia();
         facts.machine.driver->version = facts.probe.nvml->driver_version = "570.86.16";
         facts.probe.cuda->version = 12080;
         put_on_processor(facts);
         return facts;
       },
       "Upgrade the driver"},
      {"compat_shadows_driver",
       [] {
         Facts facts = healthy_nvidia();
         facts.environment.library_path = "/usr/local/cuda/compat";
         facts.probe.cuda->path = "/usr/local/cuda/compat/libcuda.so.1";
         let_cuda_fail(facts, 803);
         return facts;
       },
       "LD_LIBRARY_PATH"},
      {"hmm_bug",
       [] {
         Facts facts = healthy_nvidia();
         let_cuda_fail(facts, 3);
         return facts;
       },
       "uvm_disable_hmm=1"},
      {"visible_devices_wrong",
       [] {
         Facts facts = healthy_nvidia();
         facts.environment.cuda_visible_devices = "GPU-9f9f9f9f";
         let_cuda_fail(facts, 100);
         return facts;
       },
       "nvidia-smi -L"},
      {"client_disabled_gpu",
       [] {
         Facts facts = healthy_nvidia();
         put_on_processor(facts);
         facts.workers[0].gpu_layers_configured = 0;
         return facts;
       },
       "gpu_layers"},
      {"context_too_large",
       [] {
         Facts facts = healthy_nvidia();
         facts.workers[0].placement = {.device = "mixed", .devices = {"CUDA0"}, .gpu_layers = 20, .total_layers = 33};
         facts.workers[0].context_tokens = 131072;
         return facts;
       },
       "q8_0"},
      {"vram_held_elsewhere",
       [] {
         Facts facts = healthy_nvidia();
         facts.workers[0].placement = {.device = "mixed", .devices = {"CUDA0"}, .gpu_layers = 3, .total_layers = 33};
         facts.probe.nvml->devices[0].processes = {{.pid = 1000, .bytes = kGigabyte},
                                                   {.pid = 4321, .bytes = 13 * kGigabyte}};
         return facts;
       },
       "End that program"},
      {"lxc_passthrough",
       [] {
         Facts facts = in_container(Container::lxc);
         facts.machine.uvm_major = 508;
         facts.machine.nodes[0].open_error = ENXIO;
         let_cuda_fail(facts, 999);
         return facts;
       },
       "lxc.cgroup2.devices.allow"},
      {"permission_denied",
       [] {
         Facts facts = healthy_nvidia();
         facts.machine.is_root = false;
         for (DeviceNode& node : facts.machine.nodes) node.open_error = EACCES;
         facts.probe.nvml = Nvml{.status = 4, .status_text = "Insufficient Permissions"};
         let_cuda_fail(facts, 100);
         return facts;
       },
       "usermod -aG"},
      {"cpu_type_without_avx",
       [] {
         Facts facts;
         facts.machine.is_virtual = true;
         facts.machine.has_avx2 = false;
         return facts;
       },
       "Type: host"},
      {"lost_after_suspend",
       [] {
         Facts facts = healthy_nvidia();
         facts.machine.suspends = 1;
         let_cuda_fail(facts, 999);
         facts.earlier = Earlier{.device = "NVIDIA GeForce RTX 5070 Ti"};
         return facts;
       },
       "rmmod nvidia_uvm"},
      {"bar_too_small",
       [] {
         Facts facts = healthy_nvidia();
         facts.machine.kernel_log = {
             "NVRM: This PCI I/O region assigned to your NVIDIA device is invalid: BAR1 is 0M @ 0x0",
             "NVRM: GPU 0000:01:00.0: RmInitAdapter failed! (0x24:0x72:1436)"};
         facts.probe.nvml = Nvml{.driver_version = "580.95.05"};
         let_cuda_fail(facts, 100);
         return facts;
       },
       "Above 4G Decoding"},
      {"firmware_hang",
       [] {
         Facts facts = healthy_nvidia();
         facts.machine.kernel_log = {
             "NVRM: Xid (PCI:0000:01:00): 119, pid=812, name=llama-server, Timeout after 6s of waiting"};
         facts.probe = {.has_hung = true};
         return facts;
       },
       "30 seconds"},
      {"projector_on_cpu",
       [] {
         Facts facts = healthy_nvidia();
         facts.workers[0].has_projector = true;
         facts.workers[0].projector_device = "CPU";
         return facts;
       },
       "smaller context"},
      // Beyond the twenty-four.
      {"card_memory_missing",
       [] {
         Facts facts = healthy_nvidia();
         facts.workers[0].card_bytes_needed = 5 * kGigabyte;
         facts.probe.nvml->devices[0].processes = {{.pid = 1000, .bytes = 4 * kGigabyte}};
         return facts;
       },
       "UNIFIED_MEMORY"},
      {"below_bandwidth",
       [] {
         Facts facts = healthy_nvidia();
         measure(facts, 60);
         return facts;
       },
       "nvidia-smi -q"},
      {"card_idle",
       [] {
         Facts facts = healthy_nvidia();
         facts.idle_looks = 2;
         return facts;
       },
       "--report"},
      {"driver_does_not_answer",
       [] {
         Facts facts = healthy_nvidia();
         facts.probe.has_hung = true;
         facts.probe.cuda.reset();
         return facts;
       },
       "nvidia-persistenced"},
      {"driver_missing",
       [] {
         Facts facts = healthy_nvidia();
         take_nodes_away(facts);
         facts.machine.driver.reset();
         facts.machine.cards[0].driver = "nouveau";
         facts.machine.modules = std::vector<std::string>{"nouveau"};
         return facts;
       },
       "nvidia-open"},
      {"driver_library_missing",
       [] {
         Facts facts = healthy_nvidia();
         hide_cuda(facts);
         facts.machine.cuda_libraries.clear();
         return facts;
       },
       "libcuda1"},
      {"cuda_does_not_start",
       [] {
         Facts facts = healthy_nvidia();
         let_cuda_fail(facts, 46);
         return facts;
       },
       "doctor --report"},
      {"silent_cpu_fallback",
       [] {
         Facts facts = healthy_nvidia();
         put_on_processor(facts);
         return facts;
       },
       "/api/fleet/technical/restart"},
  };
}

TEST(Checks, NameEachCauseAloneAndTellHowToMendIt) {
  for (const Fault& fault : faults()) {
    SCOPED_TRACE(fault.code);
    const auto findings = examine(fault.facts());
    ASSERT_THAT(codes(findings), ElementsAre(fault.code));
    EXPECT_NE(findings[0].fix.find(fault.fix_says), std::string::npos) << findings[0].fix;
    EXPECT_FALSE(findings[0].message.empty());
    EXPECT_THAT(findings[0].evidence, ::testing::Not(IsEmpty()));
  }
}

TEST(Checks, HaveAFaultHereForEachOfTheirCodes) {
  std::set<std::string> tried;
  for (const Fault& fault : faults()) tried.insert(fault.code);
  for (const std::string_view code : known_codes()) EXPECT_TRUE(tried.contains(std::string(code))) << code;
  EXPECT_EQ(known_codes().size(), tried.size());
}

TEST(Checks, SayNothingOfAMachineWithoutACard) {
  Facts facts;
  EXPECT_THAT(examine(facts), IsEmpty());
  facts.machine = {.container = Container::docker, .is_virtual = true, .modules = std::vector<std::string>{}};
  facts.probe = {.nvml = Nvml{.load_error = "no such file"},
                 .cuda = Cuda{.load_error = "no such file"},
                 .modules = std::vector<EngineModule>{}};
  facts.workers = {{.role = "technical", .model = "m", .has_started = true, .placement = {.device = "CPU"}}};
  EXPECT_THAT(examine(facts), IsEmpty());
}

TEST(Checks, SayNothingOfSoftwareVulkan) {
  Facts facts;
  facts.probe = {.nvml = Nvml{.load_error = "no such file"},
                 .cuda = Cuda{.load_error = "no such file"},
                 .modules = std::vector<EngineModule>{{.file = "libggml-vulkan.so", .is_loadable = true}}};
  facts.workers = {worker_on_card("technical")};
  facts.workers[0].placement.device = "Vulkan0";
  EXPECT_THAT(examine(facts), IsEmpty());
}

// What differs between machines on which all is well.
TEST(Checks, SayNothingOfHealthyCards) {
  const std::vector<std::function<void(Facts&)>> variations = {
      [](Facts&) {},
      [](Facts& facts) { facts.machine.container = Container::docker; },
      [](Facts& facts) { facts.machine.container = Container::lxc; },
      [](Facts& facts) { facts.machine.is_root = false; },
      [](Facts& facts) { facts.machine.suspends = 4; },
      [](Facts& facts) { facts.environment.cuda_visible_devices = "0"; },
      [](Facts& facts) { facts.environment.cuda_visible_devices = "GPU-1a"; },
      [](Facts& facts) { facts.machine.modules.reset(); },
      [](Facts& facts) { facts.machine.kernel_log_readable = false; },
      [](Facts& facts) { facts.machine.kernel_log = {"NVRM: Xid (PCI:0000:01:00): 13, pid=1, Graphics Exception"}; },
      [](Facts& facts) { facts.machine.kernel_log = {"NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus."}; },
      [](Facts& facts) {
        facts.machine.cards[0].is_blackwell = false;
        facts.machine.driver->is_open = false;
      },
      [](Facts& facts) {
        facts.machine.cards.push_back({.address = "0000:02:00.0", .device = 0x2204, .driver = "vfio-pci"});
      },
      [](Facts& facts) { facts.workers.clear(); },
      [](Facts& facts) {
        for (WorkerFacts& worker : facts.workers) worker.has_started = false, worker.placement = {};
      },
      [](Facts& facts) {
        for (WorkerFacts& worker : facts.workers) worker.has_projector = true, worker.projector_device = "CUDA0";
      },
      [](Facts& facts) { facts.probe.nvml->devices[0].processes = {{.pid = 77, .bytes = kGigabyte / 2}}; },
      [](Facts& facts) {
        for (WorkerFacts& worker : facts.workers) worker.card_bytes_needed = 5 * kGigabyte;
        facts.probe.nvml->devices[0].processes = {{.pid = 1000, .bytes = 5 * kGigabyte}};
      },
      [](Facts& facts) {
        for (WorkerFacts& worker : facts.workers) worker.tokens_per_second = 101;
        facts.probe.nvml->devices[0].memory_clock_mhz = 14'001;
        facts.probe.nvml->devices[0].memory_bus_bits = 256;
      },
      [](Facts& facts) { facts.idle_looks = 1; },
      [](Facts& facts) {
        facts.probe.modules->push_back({.file = "libggml-vulkan.so", .load_error = "libvulkan.so.1: not there"});
      },
      [](Facts& facts) {
        for (WorkerFacts& worker : facts.workers)
          worker.policy = DevicePolicy::cpu, worker.placement = {.device = "CPU"};
      },
  };
  for (std::size_t i = 0; i < variations.size(); ++i) {
    for (std::size_t j = 0; j < variations.size(); ++j) {
      Facts facts = healthy_nvidia();
      variations[i](facts);
      variations[j](facts);
      EXPECT_THAT(codes(examine(facts)), IsEmpty()) << "variations " << i << " and " << j;
    }
  }
}

TEST(Checks, ARoleThatRequiresAGpuIsToldThatThereIsNone) {
  Facts facts;
  facts.machine.is_virtual = true;
  facts.workers = {{.role = "technical", .model = "m", .policy = DevicePolicy::require_gpu}};
  const auto findings = examine(facts);
  ASSERT_THAT(codes(findings), ElementsAre("no_device_nodes"));
  EXPECT_NE(findings[0].fix.find("virtual machine"), std::string::npos);
}

TEST(Checks, ARoleThatRequiresAGpuIsContentWithAnyMakers) {
  Facts facts;
  facts.probe.modules = std::vector<EngineModule>{{.file = "libggml-vulkan.so", .is_loadable = true}};
  facts.workers = {{.role = "technical", .model = "m", .policy = DevicePolicy::require_gpu}};
  EXPECT_THAT(codes(examine(facts)), IsEmpty()) << "before it has tried";
  facts.workers[0].has_started = true;
  facts.workers[0].placement = {.device = "Vulkan0", .gpu_layers = 33, .total_layers = 33};
  EXPECT_THAT(codes(examine(facts)), IsEmpty());
  facts.workers[0] = {.role = "technical", .model = "m", .policy = DevicePolicy::require_gpu, .has_failed = true};
  EXPECT_THAT(codes(examine(facts)), ElementsAre("no_device_nodes"));
}

TEST(Checks, OnlyInformWhereNobodyWantsTheCard) {
  Facts facts = in_container(Container::docker);
  take_nodes_away(facts);
  EXPECT_EQ(examine(facts).at(0).severity, Severity::error);
  facts.workers[0].policy = DevicePolicy::cpu;
  EXPECT_EQ(examine(facts).at(0).severity, Severity::info);
}

TEST(Checks, JudgeSpeedOnlyWhereItIsTheMemorysBound) {
  Facts facts = healthy_nvidia();
  measure(facts, 99);
  EXPECT_THAT(codes(examine(facts)), ElementsAre("below_bandwidth"));
  measure(facts, 100.1);
  EXPECT_THAT(codes(examine(facts)), IsEmpty()) << "as fast as kernels start";
  // A data centre's card, a large model: three tenths of the bound are 24.
  facts.workers[0].model_bytes = 40 * kGigabyte;
  facts.probe.nvml->devices[0].memory_clock_mhz = 2'619;
  facts.probe.nvml->devices[0].memory_bus_bits = 5'120;
  facts.workers[0].tokens_per_second = 25;
  EXPECT_THAT(codes(examine(facts)), IsEmpty());
  facts.workers[0].tokens_per_second = 20;
  EXPECT_THAT(codes(examine(facts)), ElementsAre("below_bandwidth"));
  facts.probe.nvml->devices.push_back(facts.probe.nvml->devices[0]);
  EXPECT_THAT(codes(examine(facts)), IsEmpty()) << "on which of the two it is, is not known";
}

TEST(Checks, SayNothingOfMemoryWhereTheDriverDoesNotKnowTheProcess) {
  Facts facts = healthy_nvidia();
  facts.workers[0].card_bytes_needed = 5 * kGigabyte;
  facts.probe.nvml->devices[0].processes = {{.pid = 54'321, .bytes = kGigabyte}};
  EXPECT_THAT(codes(examine(facts)), IsEmpty());
  facts.probe.nvml->devices[0].processes = {{.pid = 1000, .bytes = 0}};
  EXPECT_THAT(codes(examine(facts)), IsEmpty()) << "it knows the process, and not what it holds";
}

TEST(Checks, TellOfAnIdleCardOnce) {
  Facts facts = healthy_nvidia();
  facts.workers.push_back(worker_on_card("vision"));
  facts.idle_looks = 3;
  EXPECT_THAT(codes(examine(facts)), ElementsAre("card_idle"));
}

TEST(Checks, NameWhyAModelWasNotStartedForWantOfTheCardsMemory) {
  Facts facts = healthy_nvidia();
  facts.workers[0] = {.role = "technical", .model = "m", .has_failed = true, .card_bytes_needed = 9 * kGigabyte};
  facts.workers[0].complaints = {"m needs 9.70 GB of the card's memory, and models may have 3.00 GB (…)."};
  facts.probe.nvml->devices[0].processes = {{.pid = 77, .bytes = kGigabyte / 2}};
  EXPECT_THAT(codes(examine(facts)), ElementsAre("context_too_large"));
  facts.probe.nvml->devices[0].processes = {{.pid = 77, .bytes = 12 * kGigabyte}};
  EXPECT_THAT(codes(examine(facts)), ElementsAre("vram_held_elsewhere"));
}

TEST(Checks, TellEachWorkersTroubleAndNotOnlyTheFirst) {
  Facts facts = healthy_nvidia();
  facts.workers.push_back(worker_on_card("vision"));
  put_on_processor(facts);
  facts.workers[1].has_projector = true;
  facts.workers[1].projector_device = "CPU";
  EXPECT_THAT(codes(examine(facts)), ElementsAre("silent_cpu_fallback", "projector_on_cpu"));
}

}  // namespace
}  // namespace gbgreg::gpu
