#include "gpu/checks.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "gpu/bearing_it_out.h"
#include "gpu/reaching_the_card.h"
#include "gpu/using_the_card.h"

namespace gbgreg::gpu {
namespace {

std::optional<Finding> cpu_type_without_avx(const Facts& facts) {
  if (facts.machine.has_avx2) return std::nullopt;
  const bool is_virtual = facts.machine.is_virtual;
  return Finding{
      .code = "cpu_type_without_avx",
      .severity = Severity::warning,
      .message = is_virtual ? "This virtual machine's processor type hides AVX2, without which everything that runs on "
                              "the processor is several times slower."
                            : "This processor has no AVX2, so everything that runs on it is slow.",
      .evidence = {"/proc/cpuinfo: no avx2 among the flags"},
      .fix = is_virtual ? "Set the machine's CPU type to \"host\" (Proxmox: Hardware, Processors, Type: host; libvirt: "
                          "<cpu mode='host-passthrough'/>) and start it anew."
                        : "Let a GPU do the work, or choose smaller models."};
}

bool leaves_the_card_alone(const Facts& facts) {
  const auto& workers = facts.workers;
  return !workers.empty() &&
         std::ranges::all_of(workers, [](const WorkerFacts& worker) { return worker.policy == DevicePolicy::cpu; });
}

}  // namespace

std::string_view severity_name(Severity severity) {
  constexpr std::array<std::string_view, 3> kNames = {"info", "warning", "error"};
  return kNames[static_cast<std::size_t>(severity)];
}

std::vector<Finding> examine(const Facts& facts) {
  std::vector<Finding> findings;
  if (auto finding = why_the_card_is_not_reached(facts)) findings.push_back(std::move(*finding));
  // A worker's trouble is told when it is not that of the card.
  if (findings.empty()) {
    findings = why_the_card_is_not_used(facts);
    std::ranges::move(what_contradicts_the_card(facts), std::back_inserter(findings));
  }
  if (leaves_the_card_alone(facts)) {
    for (Finding& finding : findings) finding.severity = Severity::info;
  }
  if (auto finding = cpu_type_without_avx(facts)) findings.push_back(std::move(*finding));
  return findings;
}

std::vector<std::string_view> known_codes() {
  std::vector<std::string_view> codes = codes_of_reaching_the_card();
  std::ranges::copy(codes_of_using_the_card(), std::back_inserter(codes));
  std::ranges::copy(codes_of_contradictions(), std::back_inserter(codes));
  codes.push_back("cpu_type_without_avx");
  return codes;
}

}  // namespace gbgreg::gpu
