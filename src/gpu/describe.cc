#include "gpu/describe.h"

#include <array>
#include <boost/json.hpp>
#include <string_view>

#include "core/utf8.h"

namespace gbgreg::gpu {
namespace {

namespace json = boost::json;

constexpr std::size_t kUuidBytesKept = 12;  // "GPU-1a2b3c4d"

std::string_view name_of(Container container) {
  constexpr std::array<std::string_view, 6> kNames = {"none", "docker", "podman", "kubernetes", "lxc", "other"};
  return kNames[static_cast<std::size_t>(container)];
}

template <class Value>
json::value or_null(const std::optional<Value>& value) {
  return value ? json::value_from(*value) : json::value(nullptr);
}

json::value text_or_null(const std::optional<std::string>& text) {
  return text ? json::value(to_valid_utf8(*text)) : json::value(nullptr);
}

json::array texts(const std::vector<std::string>& list) {
  json::array array;
  for (const std::string& text : list) array.emplace_back(to_valid_utf8(text));
  return array;
}

json::object of(const Machine& machine) {
  json::array cards;
  for (const PciCard& card : machine.cards) {
    cards.push_back(json::object{{"address", card.address}, {"device", card.device}, {"driver", card.driver}});
  }
  json::array nodes;
  for (const DeviceNode& node : machine.nodes) {
    nodes.push_back(json::object{
        {"path", node.path}, {"major", node.major}, {"open_error", node.open_error}, {"owner", node.owner}});
  }
  json::array modules;
  for (const std::string& name : machine.modules.value_or(std::vector<std::string>{})) {
    const bool is_of_interest = name.starts_with("nvidia") || name == "nouveau" || name == "vfio_pci" || name == "i915";
    if (is_of_interest) modules.emplace_back(name);
  }
  json::value driver = nullptr;
  if (machine.driver) driver = json::object{{"version", machine.driver->version}, {"is_open", machine.driver->is_open}};
  return {{"container", name_of(machine.container)},
          {"is_virtual", machine.is_virtual},
          {"is_root", machine.is_root},
          {"has_avx2", machine.has_avx2},
          {"cards", std::move(cards)},
          {"nodes", std::move(nodes)},
          {"driver", std::move(driver)},
          {"kernel_modules", machine.modules ? json::value(std::move(modules)) : json::value(nullptr)},
          {"nvidia_major", or_null(machine.nvidia_major)},
          {"uvm_major", or_null(machine.uvm_major)},
          {"hmm_disabled", or_null(machine.hmm_disabled)},
          {"suspends", or_null(machine.suspends)},
          {"kernel_log_readable", machine.kernel_log_readable},
          {"kernel_log", texts(machine.kernel_log)},
          {"cuda_libraries", texts(machine.cuda_libraries)},
          {"snap_docker", text_or_null(machine.snap_docker)}};
}

json::value of(const std::optional<Nvml>& nvml) {
  if (!nvml) return nullptr;
  json::array devices;
  for (const NvmlDevice& device : nvml->devices) {
    json::array processes;
    for (const GpuProcess& process : device.processes) {
      processes.push_back(json::object{{"pid", process.pid}, {"bytes", process.bytes}});
    }
    devices.push_back(json::object{{"uuid", device.uuid.substr(0, kUuidBytesKept)},
                                   {"name", device.name},
                                   {"memory_bytes", device.memory_bytes},
                                   {"memory_used_bytes", device.memory_used_bytes},
                                   {"utilisation_percent", or_null(device.utilisation_percent)},
                                   {"memory_clock_mhz", or_null(device.memory_clock_mhz)},
                                   {"memory_bus_bits", or_null(device.memory_bus_bits)},
                                   {"processes", std::move(processes)}});
  }
  return json::object{{"load_error", to_valid_utf8(nvml->load_error)},
                      {"status", nvml->status},
                      {"status_text", nvml->status_text},
                      {"driver_version", nvml->driver_version},
                      {"devices", std::move(devices)}};
}

json::value of(const std::optional<Cuda>& cuda) {
  if (!cuda) return nullptr;
  json::array devices;
  for (const CudaDevice& device : cuda->devices) {
    devices.push_back(json::object{{"name", device.name}, {"capability", device.capability}});
  }
  return json::object{{"load_error", to_valid_utf8(cuda->load_error)},
                      {"path", cuda->path},
                      {"status", cuda->status},
                      {"version", cuda->version},
                      {"devices", std::move(devices)}};
}

json::value of(const std::optional<std::vector<EngineModule>>& modules) {
  if (!modules) return nullptr;
  json::array list;
  for (const EngineModule& module : *modules) {
    list.push_back(json::object{{"file", module.file},
                                {"is_loadable", module.is_loadable},
                                {"load_error", to_valid_utf8(module.load_error)},
                                {"missing", texts(module.missing)},
                                {"cuda_needed", or_null(module.cuda_needed)}});
  }
  return list;
}

}  // namespace

std::string describe(const Facts& facts) {
  const Environment& environment = facts.environment;
  return json::serialize(json::object{
      {"machine", of(facts.machine)},
      {"environment", json::object{{"CUDA_VISIBLE_DEVICES", text_or_null(environment.cuda_visible_devices)},
                                   {"NVIDIA_VISIBLE_DEVICES", text_or_null(environment.nvidia_visible_devices)},
                                   {"NVIDIA_DRIVER_CAPABILITIES", text_or_null(environment.nvidia_driver_capabilities)},
                                   {"LD_LIBRARY_PATH", text_or_null(environment.library_path)}}},
      {"probe", json::object{{"has_hung", facts.probe.has_hung},
                             {"has_died", facts.probe.has_died},
                             {"nvml", of(facts.probe.nvml)},
                             {"cuda", of(facts.probe.cuda)},
                             {"engine_modules", of(facts.probe.modules)}}}});
}

}  // namespace gbgreg::gpu
