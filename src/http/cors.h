// What a web page that may use the gateway is told, so that its browser lets it read the answers (CORS). Which pages
// may is decided in web_guard.h. Pure but for the exchange; any thread.
#pragma once

#include <string>
#include <string_view>

#include "net/exchange.h"

namespace gbgreg::http {

// On every answer to such a page, errors and streams too. Credentials are never allowed: what a browser adds on its own
// proves nothing, and a page that has a key sends it itself.
void add_cors_fields(net::Exchange& exchange, std::string_view origin);

// The answer to OPTIONS at a path that takes `methods` ("GET, HEAD"), for a page's preflight and for anybody else. It
// needs no key: a browser has none to send with its question.
net::HeaderFields options_fields(const net::RequestHead& head, const std::string& methods);

}  // namespace gbgreg::http
