// What the kernel's log says of a GPU that hangs. Quick: no device is opened.
#pragma once

#include <string>
#include <string_view>

#include "gpu/host_files.h"

namespace gbgreg::gpu {

// Is it one of the driver's reports ("NVRM: Xid (PCI:0000:01:00): 79, …") that only a reset or a power cycle ends?
bool tells_of_hang(std::string_view line);

// The newest record that does, with its number and time, so that another hang of the same kind is another text; empty
// when there is none or the log may not be read.
std::string newest_hang(const HostFiles& files);

}  // namespace gbgreg::gpu
