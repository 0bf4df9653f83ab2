#include "http/key_refusals.h"

namespace gbgreg::http {

KeyRefusals::KeyRefusals(metrics::Registry& registry) {
  for (const std::string_view reason :
       {"key_missing", "key_invalid", "key_expired", "key_revoked", "admin_only", "role_not_allowed",
        "requests_per_minute_exceeded", "tokens_per_minute_exceeded", "tokens_per_day_exceeded",
        "request_over_limit"}) {
    by_reason_[reason] = &registry.counter(
        "gbgreg_key_refusals_total", "Requests turned away for the sake of their key, or for want of one, by reason.",
        metrics::label("reason", reason));
  }
}

void KeyRefusals::count(int lane, const Error& error) const {
  // What a body says of a key that is to be made may be malformed, too, and then bears the same code.
  if (error.kind == Kind::malformed) return;
  if (const auto found = by_reason_.find(error.code); found != by_reason_.end()) found->second->add(lane);
}

}  // namespace gbgreg::http
