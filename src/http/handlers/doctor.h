// GET /api/doctor. The examination is services/doctor's.
#pragma once

#include "core/core.h"
#include "http/call.h"
#include "services/doctor.h"

namespace gbgreg::http {

class DoctorHandlers {
 public:
  explicit DoctorHandlers(services::Doctor& doctor) : doctor_(doctor) {}

  Task<Result<void>> examine(Call& call);

 private:
  services::Doctor& doctor_;
};

}  // namespace gbgreg::http
