#include "gpu/probe.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <csignal>
#include <thread>
#include <utility>

namespace gbgreg::gpu {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kToldBytesMax = 1024 * 1024;
constexpr std::chrono::milliseconds kReapWaitMax{200};

// ---- The other process.

struct Told {
  std::string text;
  bool is_over_time = false;
};

// Reads until the other side closes, the bound or the time is reached.
Told read_until(int file, Clock::time_point until) {
  Told told;
  std::array<char, 8192> piece{};
  while (told.text.size() < kToldBytesMax) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    if (left.count() <= 0) {
      told.is_over_time = true;
      return told;
    }
    pollfd wanted{.fd = file, .events = POLLIN, .revents = 0};
    if (::poll(&wanted, 1, static_cast<int>(left.count())) <= 0) continue;
    const ssize_t got = ::read(file, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return told;
    told.text.append(piece.data(), static_cast<std::size_t>(got));
  }
  return told;
}

// One that hangs inside the driver does not even die when it is killed: it is left to the kernel then.
void end_and_reap(pid_t child) {
  ::kill(child, SIGKILL);
  const auto until = Clock::now() + kReapWaitMax;
  while (::waitpid(child, nullptr, WNOHANG) == 0 && Clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

// Absent when the process could not be started.
std::optional<Told> run(const ProbeOptions& options) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return std::nullopt;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, pipe[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);

  std::vector<std::string> words = {
      "gbgreg", "probe-driver", "--root", options.root.string(), "--engine-folder", options.engine_folder.string()};
  if (options.asks == Asks::memory) words.emplace_back("--memory-only");
  std::vector<std::string> variables = options.environment;
  const auto pointers = [](std::vector<std::string>& texts) {
    std::vector<char*> list;
    list.reserve(texts.size() + 1);
    for (std::string& text : texts) list.push_back(text.data());
    list.push_back(nullptr);
    return list;
  };
  pid_t child = 0;
  const int failed = ::posix_spawn(&child, options.program.c_str(), &actions, nullptr, pointers(words).data(),
                                   pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  ::close(pipe[1]);
  std::optional<Told> told;
  if (failed == 0) {
    told = read_until(pipe[0], Clock::now() + options.timeout);
    end_and_reap(child);
  }
  ::close(pipe[0]);
  return told;
}

// ---- What it told. Whatever is not of the right kind is left at what it is when not told.

std::string text_of(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::optional<std::int64_t> number_of(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  if (value == nullptr) return std::nullopt;
  boost::system::error_code error;
  const auto number = value->to_number<std::int64_t>(error);
  return error ? std::nullopt : std::optional(number);
}

int int_of(const json::object& object, std::string_view name) {
  return static_cast<int>(std::clamp<std::int64_t>(number_of(object, name).value_or(0), -1'000'000'000, 1'000'000'000));
}

std::optional<int> maybe_int_of(const json::object& object, std::string_view name) {
  return object.contains(name) ? std::optional(int_of(object, name)) : std::nullopt;
}

std::uint64_t bytes_of(const json::object& object, std::string_view name) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, number_of(object, name).value_or(0)));
}

template <class Take>
void for_each_object(const json::object& object, std::string_view name, Take take) {
  const json::value* list = object.if_contains(name);
  if (list == nullptr || !list->is_array()) return;
  for (const json::value& one : list->get_array()) {
    if (one.is_object()) take(one.get_object());
  }
}

Nvml nvml_from(const json::object& told) {
  Nvml nvml{.load_error = text_of(told, "load_error"),
            .status = int_of(told, "status"),
            .status_text = text_of(told, "status_text"),
            .driver_version = text_of(told, "driver_version")};
  for_each_object(told, "devices", [&](const json::object& one) {
    NvmlDevice device{.uuid = text_of(one, "uuid"),
                      .name = text_of(one, "name"),
                      .memory_bytes = bytes_of(one, "memory_bytes"),
                      .memory_used_bytes = bytes_of(one, "memory_used_bytes"),
                      .utilisation_percent = maybe_int_of(one, "utilisation_percent"),
                      .memory_clock_mhz = maybe_int_of(one, "memory_clock_mhz"),
                      .memory_bus_bits = maybe_int_of(one, "memory_bus_bits")};
    for_each_object(one, "processes", [&](const json::object& process) {
      device.processes.push_back({.pid = int_of(process, "pid"), .bytes = bytes_of(process, "bytes")});
    });
    nvml.devices.push_back(std::move(device));
  });
  return nvml;
}

Cuda cuda_from(const json::object& told) {
  Cuda cuda{.load_error = text_of(told, "load_error"),
            .path = text_of(told, "path"),
            .status = int_of(told, "status"),
            .version = int_of(told, "version")};
  for_each_object(told, "devices", [&](const json::object& one) {
    cuda.devices.push_back({.name = text_of(one, "name"), .capability = int_of(one, "capability")});
  });
  return cuda;
}

EngineModule module_from(const json::object& told) {
  EngineModule module{.file = text_of(told, "file"),
                      .is_loadable = told.contains("is_loadable") && told.at("is_loadable") == json::value(true),
                      .load_error = text_of(told, "load_error"),
                      .cuda_needed = maybe_int_of(told, "cuda_needed")};
  if (const json::value* missing = told.if_contains("missing"); missing != nullptr && missing->is_array()) {
    for (const json::value& one : missing->get_array()) {
      if (one.is_string()) module.missing.emplace_back(one.get_string());
    }
  }
  return module;
}

void note_node(const json::object& told, Machine& machine) {
  const auto node = std::ranges::find(machine.nodes, text_of(told, "path"), &DeviceNode::path);
  if (node != machine.nodes.end()) node->open_error = int_of(told, "open_error");
}

}  // namespace

Probe ask_driver(const ProbeOptions& options, Machine& machine) {
  const auto told = run(options);
  return told ? read_probe(told->text, told->is_over_time, machine) : Probe{};
}

Probe read_probe(std::string_view told, bool is_over_time, Machine& machine) {
  Probe probe{.has_hung = is_over_time, .has_died = !is_over_time};
  while (!told.empty()) {
    const std::string_view line = told.substr(0, told.find('\n'));
    told.remove_prefix(std::min(told.size(), line.size() + 1));
    boost::system::error_code error;
    const json::value value = json::parse(json::string_view(line.data(), line.size()), error);
    if (error || !value.is_object()) continue;
    for (const auto& [what, member] : value.get_object()) {
      if (!member.is_object()) continue;
      const json::object& object = member.get_object();
      if (what == "end") probe.has_died = false;
      if (what == "node") note_node(object, machine);
      if (what == "nvml") probe.nvml = nvml_from(object);
      if (what == "cuda") probe.cuda = cuda_from(object);
      if (what == "modules_seen" && !probe.modules) probe.modules.emplace();
      if (what == "module") {
        if (!probe.modules) probe.modules.emplace();
        probe.modules->push_back(module_from(object));
      }
    }
  }
  return probe;
}

}  // namespace gbgreg::gpu
