// Which web pages may use the gateway. A browser sends requests for any page that a person visits, so without this a
// page could spend the models, upload, and, with a name of its own that suddenly points at 127.0.0.1 (DNS rebinding),
// read everything.
//
// Programs are not held up: they send no Origin, and a Host that nobody can take over. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "core/core.h"
#include "net/http_head.h"

namespace gbgreg::http {

// `hosts`: names under which this gateway is known, beside those that need no mention: addresses, names without a dot,
// and names below localhost, local, internal, lan and home.arpa, which no stranger can own.
// Errors: forbidden (host_not_allowed, origin_not_allowed).
Result<void> check_web_caller(const net::RequestHead& head, const std::vector<std::string>& hosts);

}  // namespace gbgreg::http
