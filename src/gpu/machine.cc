#include "gpu/machine.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <ranges>

namespace gbgreg::gpu {
namespace {

constexpr std::string_view kNvidia = "0x10de";
constexpr std::string_view kDisplayClass = "0x03";
constexpr std::size_t kLogLinesMax = 64;
constexpr std::size_t kLogLineBytesMax = 300;

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? "" : text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

auto lines_of(std::string_view text) {
  return text | std::views::split('\n') |
         std::views::transform([](auto&& line) { return std::string_view(line.begin(), line.end()); });
}

template <class Number>
std::optional<Number> number_in(std::string_view text, int base = 10) {
  text = trimmed(text);
  if (base == 16 && text.starts_with("0x")) text.remove_prefix(2);
  Number number{};
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return read.ec == std::errc{} ? std::optional(number) : std::nullopt;
}

// GB202 to GB207 and the B200 family, by the ranges of their device ids.
bool is_blackwell(std::uint16_t device) {
  return (device >= 0x2900 && device <= 0x297f) || (device >= 0x2b80 && device <= 0x2dff) ||
         (device >= 0x2f00 && device <= 0x2fff);
}

std::vector<PciCard> read_cards(const HostFiles& files) {
  std::vector<PciCard> cards;
  for (const std::string& address : files.names("/sys/bus/pci/devices")) {
    const std::string folder = "/sys/bus/pci/devices/" + address;
    if (files.line(folder + "/vendor") != kNvidia) continue;
    if (!files.line(folder + "/class").value_or("").starts_with(kDisplayClass)) continue;
    const auto device = number_in<std::uint16_t>(files.line(folder + "/device").value_or(""), 16).value_or(0);
    cards.push_back({.address = address,
                     .device = device,
                     .driver = files.link_name(folder + "/driver").value_or(""),
                     .is_blackwell = is_blackwell(device)});
  }
  return cards;
}

std::string owner_of(const struct stat& node) {
  const passwd* user = getpwuid(node.st_uid);        // NOLINT(concurrency-mt-unsafe): only doctor's thread asks.
  const group* group_of_it = getgrgid(node.st_gid);  // NOLINT(concurrency-mt-unsafe)
  std::array<char, 8> mode{};
  std::snprintf(mode.data(), mode.size(), "%04o", node.st_mode & 07777U);
  return (user != nullptr ? user->pw_name : std::to_string(node.st_uid)) + std::string(":") +
         (group_of_it != nullptr ? group_of_it->gr_name : std::to_string(node.st_gid)) + " " + mode.data();
}

// In a root of a test a node is a file that begins with its major number.
unsigned written_major(const HostFiles& files, const std::string& path) {
  return number_in<unsigned>(files.line(path).value_or("")).value_or(0);
}

std::vector<DeviceNode> read_nodes(const HostFiles& files) {
  std::vector<DeviceNode> nodes;
  for (const std::string& name : files.names("/dev")) {
    if (!name.starts_with("nvidia")) continue;
    const std::string path = "/dev/" + name;
    struct stat found{};
    if (::stat(files.at(path).c_str(), &found) != 0 || S_ISDIR(found.st_mode)) continue;
    const bool is_device = S_ISCHR(found.st_mode);
    if (!is_device && files.is_own_machine()) continue;
    nodes.push_back({.path = path,
                     .major = is_device ? major(found.st_rdev) : written_major(files, path),
                     .owner = owner_of(found)});
  }
  return nodes;
}

// "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build …"
std::optional<KernelDriver> read_driver(const HostFiles& files) {
  const auto line = files.line("/proc/driver/nvidia/version");
  if (!line) return std::nullopt;
  KernelDriver driver{.version = "", .is_open = line->contains("Open Kernel Module")};
  for (const auto word : std::string_view(*line) | std::views::split(' ')) {
    const std::string_view text(word.begin(), word.end());
    const bool is_version = text.contains('.') && text.find_first_not_of("0123456789.") == std::string_view::npos;
    if (is_version) driver.version = text;
  }
  return driver;
}

std::optional<std::vector<std::string>> read_modules(const HostFiles& files) {
  const auto text = files.text("/proc/modules");
  if (!text) return std::nullopt;
  std::vector<std::string> modules;
  for (const std::string_view line : lines_of(*text)) {
    if (!line.empty()) modules.emplace_back(line.substr(0, line.find(' ')));
  }
  return modules;
}

// "195 nvidia-frontend" among the character devices.
std::optional<unsigned> major_of(const HostFiles& files, std::initializer_list<std::string_view> names) {
  const auto text = files.text("/proc/devices");
  if (!text) return std::nullopt;
  for (std::string_view line : lines_of(*text)) {
    line = trimmed(line);
    const std::size_t blank = line.find(' ');
    if (blank == std::string_view::npos || std::ranges::find(names, trimmed(line.substr(blank))) == names.end())
      continue;
    return number_in<unsigned>(line.substr(0, blank));
  }
  return std::nullopt;
}

// Records of /dev/kmsg are "6,1234,5678,-;NVRM: …", and " KEY=value" lines behind some.
void read_kernel_log(const HostFiles& files, Machine& machine) {
  const auto text = files.text("/dev/kmsg");
  if (!text) return;
  machine.kernel_log_readable = true;
  for (std::string_view line : lines_of(*text)) {
    if (const std::size_t semicolon = line.find(';'); semicolon != std::string_view::npos)
      line.remove_prefix(semicolon + 1);
    if (!line.contains("NVRM") && !line.contains("nvidia")) continue;
    machine.kernel_log.emplace_back(line.substr(0, kLogLineBytesMax));
  }
  // The newest say how it is now.
  const std::size_t surplus = machine.kernel_log.size() - std::min(machine.kernel_log.size(), kLogLinesMax);
  machine.kernel_log.erase(machine.kernel_log.begin(),
                           machine.kernel_log.begin() + static_cast<std::ptrdiff_t>(surplus));
}

std::vector<std::string> find_cuda_libraries(const HostFiles& files) {
  constexpr std::string_view kFolders[] = {"/usr/lib/x86_64-linux-gnu",
                                           "/usr/lib/aarch64-linux-gnu",
                                           "/usr/lib64",
                                           "/usr/lib",
                                           "/usr/lib/wsl/lib",
                                           "/usr/local/nvidia/lib64",
                                           "/usr/local/nvidia/lib",
                                           "/usr/lib/x86_64-linux-gnu/nvidia/current",
                                           "/run/nvidia/driver/usr/lib/x86_64-linux-gnu"};
  std::vector<std::string> found;
  for (const std::string_view folder : kFolders) {
    std::string file = std::string(folder) + "/libcuda.so.1";
    if (files.exists(file)) found.push_back(std::move(file));
  }
  return found;
}

Container container_named(std::string_view text) {
  if (text.contains("kubepods")) return Container::kubernetes;
  if (text.contains("docker")) return Container::docker;
  if (text.contains("podman") || text.contains("libpod")) return Container::podman;
  if (text.contains("lxc")) return Container::lxc;
  return Container::none;
}

Container read_container(const HostFiles& files) {
  if (files.exists("/run/.containerenv")) return Container::podman;
  if (files.exists("/var/run/secrets/kubernetes.io")) return Container::kubernetes;
  if (files.exists("/.dockerenv")) return Container::docker;
  for (const std::string_view file : {"/run/systemd/container", "/proc/1/environ", "/proc/1/cgroup"}) {
    auto text = files.text(file).value_or("");
    // Of the environment only the variable that container managers set.
    if (file == "/proc/1/environ") {
      const std::size_t at = text.starts_with("container=") ? 0 : text.find(std::string("\0container=", 11));
      text = at == std::string::npos ? "" : text.substr(at, text.find('\0', at + 1) - at);
    }
    if (const Container container = container_named(text); container != Container::none) return container;
  }
  return Container::none;
}

}  // namespace

Machine read_machine(const HostFiles& files) {
  Machine machine;
  machine.container = read_container(files);
  machine.is_root = ::geteuid() == 0;
  machine.cards = read_cards(files);
  machine.nodes = read_nodes(files);
  machine.driver = read_driver(files);
  machine.modules = read_modules(files);
  machine.nvidia_major = major_of(files, {"nvidia", "nvidia-frontend"});
  machine.uvm_major = major_of(files, {"nvidia-uvm"});
  if (const auto hmm = files.line("/sys/module/nvidia_uvm/parameters/uvm_disable_hmm")) {
    machine.hmm_disabled = hmm == "Y" || hmm == "1";
  }
  machine.suspends = number_in<int>(files.line("/sys/power/suspend_stats/success").value_or(""));
  read_kernel_log(files, machine);
  machine.cuda_libraries = find_cuda_libraries(files);
  for (const std::string_view path : {"/snap/bin/docker", "/var/snap/docker"}) {
    if (!machine.snap_docker && files.exists(path) && !files.exists("/usr/bin/docker")) machine.snap_docker = path;
  }
  const std::string processor = files.text("/proc/cpuinfo").value_or("");
  const std::size_t flags = processor.find("\nflags");
  if (flags != std::string::npos) {
    const std::string line = processor.substr(flags + 1, processor.find('\n', flags + 1) - flags - 1) + " ";
    machine.is_virtual = line.contains(" hypervisor ");
    machine.has_avx2 = line.contains(" avx2 ");
  }
  return machine;
}

bool has_own_card(const Machine& machine) {
  const bool is_on_bus =
      std::ranges::any_of(machine.cards, [](const PciCard& card) { return card.driver != "vfio-pci"; });
  return is_on_bus || machine.driver || !machine.nodes.empty();
}

Environment read_environment(std::span<const std::string> environment) {
  const auto value = [&](std::string_view name) -> std::optional<std::string> {
    for (const std::string& variable : environment) {
      if (variable.starts_with(name) && variable.size() > name.size() && variable[name.size()] == '=') {
        return variable.substr(name.size() + 1);
      }
    }
    return std::nullopt;
  };
  return {.cuda_visible_devices = value("CUDA_VISIBLE_DEVICES"),
          .nvidia_visible_devices = value("NVIDIA_VISIBLE_DEVICES"),
          .nvidia_driver_capabilities = value("NVIDIA_DRIVER_CAPABILITIES"),
          .library_path = value("LD_LIBRARY_PATH")};
}

}  // namespace gbgreg::gpu
