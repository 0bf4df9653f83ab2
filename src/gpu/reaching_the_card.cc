#include "gpu/reaching_the_card.h"

#include "gpu/faults_of_cuda.h"
#include "gpu/faults_of_the_driver.h"
#include "gpu/faults_of_the_nodes.h"
#include "gpu/signs.h"

namespace gbgreg::gpu {
namespace {

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
