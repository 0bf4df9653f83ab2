// The part of the check-up that is about the programs that open archives and images: whether they are there, and
// whether the kernel gives them all the bars of their cage (jail/cage.h).
#pragma once

#include <vector>

#include "gpu/finding.h"
#include "services/doctor.h"

namespace gbgreg::services {

void check_jail(const DoctorOptions& options, std::vector<gpu::Finding>& findings);

}  // namespace gbgreg::services
