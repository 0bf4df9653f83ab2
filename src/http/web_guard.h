// Which web pages may use the gateway. A browser sends requests for any page that a person visits, so without this a
// page could spend the models, upload, and, with a name of its own that suddenly points at 127.0.0.1 (DNS rebinding),
// read everything.
//
// Programs are not held up: they send no Origin, and a Host that nobody can take over. What pages that may ask are told
// is in cors.h. Immutable; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "http/options.h"
#include "http/web_origin.h"
#include "net/http_head.h"

namespace gbgreg::http {

class WebGuard {
 public:
  // Of the options it keeps hosts, origins and any_origin.
  explicit WebGuard(const Options& options);

  // The Origin of the page that asks, as it was sent; absent when no page does.
  // Errors: forbidden (host_not_allowed, origin_not_allowed).
  Result<std::optional<std::string_view>> check(const net::RequestHead& head) const;

 private:
  bool is_host_allowed(const std::string& host) const;
  bool is_origin_allowed(std::string_view text, const net::RequestHead& head) const;

  std::vector<std::string> hosts_;
  std::vector<WebOrigin> origins_;
  bool any_origin_;
};

}  // namespace gbgreg::http
