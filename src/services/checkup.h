// What a gateway needs beside a GPU: an engine, model files, memory, disk, folders that it may write, a database, an
// address to listen on. Blocks for a look at a few files, and for bounded looks at the engine and the database.
#pragma once

#include <vector>

#include "gpu/finding.h"
#include "services/doctor.h"

namespace gbgreg::services {

std::vector<gpu::Finding> check_up(const DoctorOptions& options);

}  // namespace gbgreg::services
