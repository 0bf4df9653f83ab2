// What a gateway needs beside a GPU: an engine, model files, memory, disk, folders that it may write. Blocks for a look
// at a few files.
#pragma once

#include <vector>

#include "gpu/finding.h"
#include "services/doctor.h"

namespace gbgreg::services {

std::vector<gpu::Finding> check_up(const DoctorOptions& options);

}  // namespace gbgreg::services
