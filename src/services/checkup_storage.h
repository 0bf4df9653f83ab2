// The part of the check-up that is about what is kept: the data folder, its disk, the database.
#pragma once

#include <vector>

#include "gpu/finding.h"
#include "services/doctor.h"

namespace gbgreg::services {

void check_data_folder(const DoctorOptions& options, std::vector<gpu::Finding>& findings);
void check_database(const DoctorOptions& options, std::vector<gpu::Finding>& findings);

}  // namespace gbgreg::services
