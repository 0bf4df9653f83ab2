#include "http/audit_note.h"

#include <spdlog/spdlog.h>

#include <exception>
#include <string>
#include <utility>

namespace gbgreg::http {
namespace {

// What came of it, which the status of an answer that had begun does not say.
int status_of(const Call& call, const Result<void>& outcome) {
  return outcome ? call.exchange.status() : http_status(outcome.error().kind);
}

services::Deed deed_of(const Call& call, std::string_view action, int status, const Result<void>& outcome) {
  services::Deed deed{.peer = std::string(address_of(call.exchange.peer())),
                      .action = action,
                      .target_id = call.target.id.empty() ? call.parameter : call.target.id,
                      .target_name = call.target.name,
                      .status = status,
                      .request_id = call.request_id};
  if (const keys::Key* key = call.caller.key()) {
    deed.actor = key->id;
    deed.actor_name = key->name;
  }
  if (!outcome) deed.error_code = outcome.error().code;
  return deed;
}

}  // namespace

bool is_audited(int status) {
  switch (status) {
    case 401:
    case 403:
    case 409:
    case 422:
    case 499:
      return true;
    default:
      return status < 400 || status >= 500;
  }
}

void note_deed(services::Audit& audit, const Call& call, std::span<const Route> routes, const Route* route,
               const Result<void>& outcome) noexcept {
  try {
    const int status = status_of(call, outcome);
    if (!is_audited(status)) return;
    const net::RequestHead& head = call.exchange.head();
    if (route != nullptr) {
      const std::string_view action = route->action.empty() ? call.action : route->action;
      if (!action.empty()) audit.note(deed_of(call, action, status, outcome));
      return;
    }
    // Web pages of strangers are turned away before the path is looked at, so there is no parameter yet.
    const auto meant = find_route(routes, head.method, head.path);
    if (!meant || meant->route->action.empty()) return;
    services::Deed deed = deed_of(call, meant->route->action, status, outcome);
    deed.target_id = meant->parameter;
    audit.note(deed);
  } catch (const std::exception& error) {
    spdlog::error("the audit trail has nothing of request {}: {}", call.request_id, error.what());
  }
}

}  // namespace gbgreg::http
