#include "gpu/driver_probe.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/utf8.h"
#include "gpu/host_files.h"

namespace gbgreg::gpu {
namespace {

namespace json = boost::json;
using Tell = std::function<void(std::string_view)>;

constexpr unsigned kDevicesMax = 64;
constexpr unsigned kProcessesMax = 256;

void tell_of(const Tell& tell, std::string_view what, json::object value) {
  tell(json::serialize(json::object{{what, std::move(value)}}));
}

std::string loader_error() {
  const char* said = ::dlerror();  // NOLINT(concurrency-mt-unsafe): this process has one thread.
  return said != nullptr ? said : "not loaded";
}

// What a driver calls itself may be any bytes.
template <std::size_t N>
std::string text_in(const std::array<char, N>& bytes) {
  const std::string_view text(bytes.data(), std::find(bytes.begin(), bytes.end(), '\0') - bytes.begin());
  return is_valid_utf8(text) ? std::string(text) : std::string("?");
}

// A library that stays loaded until this process ends.
class Library {
 public:
  explicit Library(const char* name) : handle_(::dlopen(name, RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) error_ = loader_error();
  }
  bool is_loaded() const { return handle_ != nullptr; }
  const std::string& error() const { return error_; }
  // Null when it has no such function.
  template <class Function>
  Function* function(const char* name) const {
    return reinterpret_cast<Function*>(::dlsym(handle_, name));
  }

 private:
  void* handle_;
  std::string error_;
};

// ---- The nodes.

void tell_of_nodes(const HostFiles& files, const Tell& tell) {
  for (const std::string& name : files.names("/dev")) {
    // nvidia-caps is a folder, and nvidia-modeset is nobody's who computes.
    if (!name.starts_with("nvidia") || name.starts_with("nvidia-caps") || name == "nvidia-modeset") continue;
    const std::string path = "/dev/" + name;
    const int node = ::open(files.at(path).c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int error = node < 0 ? errno : 0;
    if (node >= 0) ::close(node);
    if (error == 0 && !files.is_own_machine()) {
      // In a test's root: its major number, and the error with which it shall not open.
      const std::string line = files.line(path).value_or("");
      if (const std::size_t blank = line.find(' '); blank != std::string::npos) {
        error = static_cast<int>(std::strtol(line.c_str() + blank, nullptr, 10));
      }
    }
    tell_of(tell, "node", {{"path", path}, {"open_error", error}});
  }
}

// ---- NVML, by the shapes of its manual. Versions that a driver lacks are left out.

using NvmlDeviceHandle = struct nvmlDevice_st*;
struct NvmlMemory {
  unsigned long long total, free, used;
};
struct NvmlUtilisation {
  unsigned gpu, memory;
};
struct NvmlProcess {
  unsigned pid;
  unsigned long long memory;
  unsigned gpu_instance, compute_instance;
};
constexpr int kNvmlClockOfMemory = 2;
constexpr unsigned long long kNvmlNotAvailable = ~0ULL;

// Those that compute, and those that draw: a game holds memory as well as a model does, and one that does both is in
// both lists.
json::array nvml_processes(const Library& nvml, NvmlDeviceHandle handle) {
  std::vector<NvmlProcess> all;
  for (const char* list : {"nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v3"}) {
    std::vector<NvmlProcess> found(kProcessesMax);
    auto count = static_cast<unsigned>(found.size());
    auto* get = nvml.function<int(NvmlDeviceHandle, unsigned*, NvmlProcess*)>(list);
    if (get == nullptr || get(handle, &count, found.data()) != 0) continue;
    for (unsigned i = 0; i < std::min(count, kProcessesMax); ++i) {
      if (found[i].memory == kNvmlNotAvailable) found[i].memory = 0;
      const auto known = std::ranges::find(all, found[i].pid, &NvmlProcess::pid);
      if (known == all.end()) {
        all.push_back(found[i]);
      } else {
        known->memory = std::max(known->memory, found[i].memory);
      }
    }
  }
  json::array processes;
  for (const NvmlProcess& one : all) processes.push_back(json::object{{"pid", one.pid}, {"bytes", one.memory}});
  return processes;
}

json::object nvml_device(const Library& nvml, NvmlDeviceHandle handle) {
  json::object device;
  std::array<char, 96> text{};
  const auto size = static_cast<unsigned>(text.size());
  if (auto* uuid = nvml.function<int(NvmlDeviceHandle, char*, unsigned)>("nvmlDeviceGetUUID");
      uuid != nullptr && uuid(handle, text.data(), size) == 0) {
    device["uuid"] = text_in(text);
  }
  if (auto* name = nvml.function<int(NvmlDeviceHandle, char*, unsigned)>("nvmlDeviceGetName");
      name != nullptr && name(handle, text.data(), size) == 0) {
    device["name"] = text_in(text);
  }
  NvmlMemory memory{};
  if (auto* get = nvml.function<int(NvmlDeviceHandle, NvmlMemory*)>("nvmlDeviceGetMemoryInfo");
      get != nullptr && get(handle, &memory) == 0) {
    device["memory_bytes"] = memory.total;
    device["memory_used_bytes"] = memory.used;
  }
  NvmlUtilisation utilisation{};
  if (auto* get = nvml.function<int(NvmlDeviceHandle, NvmlUtilisation*)>("nvmlDeviceGetUtilizationRates");
      get != nullptr && get(handle, &utilisation) == 0) {
    device["utilisation_percent"] = utilisation.gpu;
  }
  unsigned number = 0;
  if (auto* get = nvml.function<int(NvmlDeviceHandle, int, unsigned*)>("nvmlDeviceGetMaxClockInfo");
      get != nullptr && get(handle, kNvmlClockOfMemory, &number) == 0) {
    device["memory_clock_mhz"] = number;
  }
  if (auto* get = nvml.function<int(NvmlDeviceHandle, unsigned*)>("nvmlDeviceGetMemoryBusWidth");
      get != nullptr && get(handle, &number) == 0) {
    device["memory_bus_bits"] = number;
  }
  device["processes"] = nvml_processes(nvml, handle);
  return device;
}

json::object ask_nvml() {
  const Library nvml("libnvidia-ml.so.1");
  if (!nvml.is_loaded()) return {{"load_error", nvml.error()}};
  auto* init = nvml.function<int()>("nvmlInit_v2");
  if (init == nullptr) return {{"load_error", "libnvidia-ml.so.1 has no nvmlInit_v2"}};
  json::object told;
  const auto remember = [&](int status) {
    told["status"] = status;
    auto* text = nvml.function<const char*(int)>("nvmlErrorString");
    const char* said = text != nullptr ? text(status) : nullptr;
    if (said != nullptr && is_valid_utf8(said)) told["status_text"] = said;
  };
  if (const int status = init(); status != 0) {
    remember(status);
    return told;
  }
  std::array<char, 96> version{};
  if (auto* get = nvml.function<int(char*, unsigned)>("nvmlSystemGetDriverVersion");
      get != nullptr && get(version.data(), static_cast<unsigned>(version.size())) == 0) {
    told["driver_version"] = text_in(version);
  }
  auto* count_devices = nvml.function<int(unsigned*)>("nvmlDeviceGetCount_v2");
  auto* handle_of = nvml.function<int(unsigned, NvmlDeviceHandle*)>("nvmlDeviceGetHandleByIndex_v2");
  unsigned count = 0;
  json::array devices;
  if (count_devices != nullptr && handle_of != nullptr) {
    if (const int status = count_devices(&count); status != 0) remember(status);
    for (unsigned i = 0; i < std::min(count, kDevicesMax); ++i) {
      NvmlDeviceHandle handle = nullptr;
      const int status = handle_of(i, &handle);
      if (status != 0) {
        remember(status);
      } else {
        devices.push_back(nvml_device(nvml, handle));
      }
    }
  }
  told["devices"] = std::move(devices);
  return told;
}

// ---- CUDA, by the driver's own interface: no toolkit is needed for it.

constexpr int kCudaCapabilityMajor = 75;
constexpr int kCudaCapabilityMinor = 76;

json::object ask_cuda() {
  const Library cuda("libcuda.so.1");
  if (!cuda.is_loaded()) return {{"load_error", cuda.error()}};
  auto* init = cuda.function<int(unsigned)>("cuInit");
  if (init == nullptr) return {{"load_error", "libcuda.so.1 has no cuInit"}};
  json::object told;
  Dl_info where{};
  if (::dladdr(reinterpret_cast<void*>(init), &where) != 0 && where.dli_fname != nullptr &&
      is_valid_utf8(where.dli_fname)) {
    told["path"] = where.dli_fname;
  }
  int number = 0;
  if (auto* version = cuda.function<int(int*)>("cuDriverGetVersion"); version != nullptr && version(&number) == 0) {
    told["version"] = number;
  }
  const int status = init(0);
  told["status"] = status;
  if (status != 0) return told;
  auto* count_devices = cuda.function<int(int*)>("cuDeviceGetCount");
  auto* device_of = cuda.function<int(int*, int)>("cuDeviceGet");
  auto* name_of = cuda.function<int(char*, int, int)>("cuDeviceGetName");
  auto* attribute_of = cuda.function<int(int*, int, int)>("cuDeviceGetAttribute");
  int count = 0;
  if (count_devices == nullptr || device_of == nullptr || count_devices(&count) != 0) return told;
  json::array devices;
  for (int i = 0; i < std::min(count, static_cast<int>(kDevicesMax)); ++i) {
    int device = 0;
    if (device_of(&device, i) != 0) continue;
    std::array<char, 96> name{};
    if (name_of != nullptr) name_of(name.data(), static_cast<int>(name.size()), device);
    int major = 0;
    int minor = 0;
    if (attribute_of != nullptr) {
      attribute_of(&major, kCudaCapabilityMajor, device);
      attribute_of(&minor, kCudaCapabilityMinor, device);
    }
    devices.push_back(json::object{{"name", text_in(name)}, {"capability", major * 10 + minor}});
  }
  told["devices"] = std::move(devices);
  return told;
}

// ---- The engine's modules.

constexpr std::array<int, 2> kCudaGenerations = {13, 12};

bool can_be_loaded(const std::string& library) { return Library(library.c_str()).is_loaded(); }

// What a module that was built with CUDA 13 needs of it.
std::vector<std::string> cuda_libraries(int generation) {
  const std::string ending = ".so." + std::to_string(generation);
  return {"libcudart" + ending, "libcublas" + ending, "libcublasLt" + ending};
}

// The loader names only the first library that it misses: "libcudart.so.13: cannot open shared object file: …".
std::vector<std::string> missing_libraries(const std::string& error) {
  const std::string first = error.substr(0, error.find(':'));
  if (first.contains('/') || !error.contains("cannot open shared object file")) return {};
  std::vector<std::string> missing = {first};
  for (const int generation : kCudaGenerations) {
    const auto libraries = cuda_libraries(generation);
    if (std::ranges::find(libraries, first) == libraries.end()) continue;
    for (const std::string& library : libraries) {
      if (library != first && !can_be_loaded(library)) missing.push_back(library);
    }
  }
  return missing;
}

void tell_of_module(const std::filesystem::path& file, const Tell& tell) {
  json::object told = {{"file", file.filename().string()}};
  const Library module(file.c_str());
  told["is_loadable"] = module.is_loaded();
  if (!module.is_loaded()) {
    told["load_error"] = module.error();
    json::array missing;
    for (const std::string& library : missing_libraries(module.error())) missing.emplace_back(library);
    told["missing"] = std::move(missing);
  }
  for (const int generation : kCudaGenerations) {
    const std::string runtime = cuda_libraries(generation).front();
    if (::dlopen(runtime.c_str(), RTLD_LAZY | RTLD_NOLOAD) == nullptr) continue;
    told["cuda_needed"] = generation * 1000;
    break;
  }
  tell_of(tell, "module", std::move(told));
}

}  // namespace

void probe_driver(const DriverProbeOptions& options, const Tell& tell) {
  if (options.memory_only) {
    tell_of(tell, "nvml", ask_nvml());
    tell_of(tell, "end", {});
    return;
  }
  const HostFiles files(options.root);
  // First what cannot hang, then what may. The modules lean on the engine's base library, which the engine brings
  // along.
  const Library base((options.engine_folder / "libggml-base.so").c_str());
  for (const std::string_view name : {"libggml-cuda.so", "libggml-vulkan.so"}) {
    std::error_code error;
    const auto file = options.engine_folder / name;
    if (std::filesystem::exists(file, error)) tell_of_module(file, tell);
  }
  tell_of(tell, "modules_seen", {});
  tell_of_nodes(files, tell);
  tell_of(tell, "nvml", ask_nvml());
  tell_of(tell, "cuda", ask_cuda());
  tell_of(tell, "end", {});
}

}  // namespace gbgreg::gpu
