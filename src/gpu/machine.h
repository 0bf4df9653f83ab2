// What the machine says of its card, its driver and of itself, from its files alone. Quick: no device is opened.
#pragma once

#include <span>
#include <string>

#include "gpu/facts.h"
#include "gpu/host_files.h"

namespace gbgreg::gpu {

// The nodes' open_error is left at 0: opening one can take long where a card hangs, and is the probe's business.
Machine read_machine(const HostFiles& files);

// Has it an NVIDIA card, as far as its files say, that was not handed on to a virtual machine?
bool has_own_card(const Machine& machine);

// Of the process that the workers inherit it from: "NAME=value" each.
Environment read_environment(std::span<const std::string> environment);

}  // namespace gbgreg::gpu
