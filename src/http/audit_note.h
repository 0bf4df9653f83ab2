// What the audit trail is told of a request, once it is over.
#pragma once

#include <span>

#include "core/core.h"
#include "http/call.h"
#include "http/routes.h"
#include "services/audit.h"

namespace gbgreg::http {

// Whether a status is worth a row: of what was done, or may have been, and of what was refused because of who asked or
// of how things stood. What was not understood, was not there or was too much changed nothing and was kept from nobody.
bool is_audited(int status);

// Notes the call, if it asked for something that is audited. `route` is null where nobody was let in; what was meant is
// then looked up among `routes`.
void note_deed(services::Audit& audit, const Call& call, std::span<const Route> routes, const Route* route,
               const Result<void>& outcome) noexcept;

}  // namespace gbgreg::http
