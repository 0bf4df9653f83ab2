// What several of the checks ask of the facts, and the lines by which they show what they saw. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gpu/facts.h"

namespace gbgreg::gpu {

bool is_container(const Machine& machine);
// Null when there is no node of this path.
const DeviceNode* node(const Machine& machine, std::string_view path);
// Without the capability nodes, which nothing here needs.
bool has_card_node(const Machine& machine);
// A card that was handed on to a virtual machine is that machine's business.
bool is_ours(const PciCard& card);
bool has_card(const Machine& machine);
// Anything that speaks of one: the bus, a node, the driver, or that it worked before.
bool is_there_a_card(const Facts& facts);
// Is there a role that requires one, and that does not, or could not, have one of some maker's already?
bool is_gpu_required(const Facts& facts);
bool cuda_works(const Facts& facts);
// Of cuInit, of a library that was loaded.
std::optional<int> cuda_status(const Facts& facts);
bool cuda_is_not_found(const Facts& facts);
bool nvml_works(const Facts& facts);

// ---- Evidence, a line each.

std::string line_of(const DeviceNode& node);
std::string line_of(const PciCard& card);
std::string line_of(const KernelDriver& driver);
std::vector<std::string> card_lines(const Machine& machine);
std::string cuda_line(const Facts& facts);
std::string nvml_line(const Facts& facts);
std::string environment_line(std::string_view name, const std::optional<std::string>& value);

}  // namespace gbgreg::gpu
