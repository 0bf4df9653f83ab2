#include "gpu/faults_of_the_driver.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gpu/kernel_log.h"
#include "gpu/signs.h"

namespace gbgreg::gpu {
namespace {

constexpr int kNvmlLibraryMismatch = 18;

const std::string* log_line_with(const Machine& machine, std::string_view words) {
  const auto found =
      std::ranges::find_if(machine.kernel_log, [&](const std::string& line) { return line.contains(words); });
  return found == machine.kernel_log.end() ? nullptr : &*found;
}

}  // namespace

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

}  // namespace gbgreg::gpu
