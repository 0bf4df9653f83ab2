#include "http/cors.h"

#include <algorithm>

namespace gbgreg::http {
namespace {

// How long a browser may remember the answer to a preflight: what Chromium takes at most.
constexpr std::string_view kMaxAgeSeconds = "7200";
// Fields that a page may send. It names as many as it likes, so there is a bound to how many are said back.
constexpr int kRequestedFieldsMax = 100;
// What a page may read beside the handful that every page may.
constexpr std::string_view kExposedFields =
    "X-Request-Id, request-id, Retry-After, X-Gbgreg-Role, X-Gbgreg-Model, X-Gbgreg-Backend, X-Gbgreg-Device, "
    "X-Gbgreg-Complexity, X-Gbgreg-Reason, X-Gbgreg-Options-Ignored, Content-Disposition, Content-Range, ETag, "
    "x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, x-ratelimit-limit-tokens, "
    "x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens";

bool is_field_name(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  const auto may_be = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || kMarks.contains(c);
  };
  return !text.empty() && std::ranges::all_of(text, may_be);
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// The names among `requested`. They are said back one by one: "*" would leave out Authorization, and the clients bring
// fields of their own (x-stainless-…) whose names no list of ours would keep up with.
std::string allowed_fields(std::string_view requested) {
  std::string allowed;
  for (int i = 0; i < kRequestedFieldsMax && !requested.empty(); ++i) {
    const std::size_t comma = std::min(requested.find(','), requested.size());
    const std::string_view name = trimmed(requested.substr(0, comma));
    requested.remove_prefix(std::min(comma + 1, requested.size()));
    if (is_field_name(name)) allowed.append(allowed.empty() ? "" : ", ").append(name);
  }
  return allowed;
}

}  // namespace

void add_cors_fields(net::Exchange& exchange, std::string_view origin) {
  exchange.add_field("Access-Control-Allow-Origin", std::string(origin));
  exchange.add_field("Vary", "Origin");
  exchange.add_field("Access-Control-Expose-Headers", std::string(kExposedFields));
}

net::HeaderFields options_fields(const net::RequestHead& head, const std::string& methods) {
  net::HeaderFields fields{{.name = "Allow", .value = methods + (methods.empty() ? "OPTIONS" : ", OPTIONS")}};
  const bool is_preflight = head.field("origin") && head.field("access-control-request-method");
  if (!is_preflight) return fields;
  fields.push_back({.name = "Access-Control-Allow-Methods", .value = methods});
  std::string names = allowed_fields(head.field("access-control-request-headers").value_or(""));
  if (!names.empty()) fields.push_back({.name = "Access-Control-Allow-Headers", .value = std::move(names)});
  fields.push_back({.name = "Access-Control-Max-Age", .value = std::string(kMaxAgeSeconds)});
  // A page of the internet asks before it reaches into a house, and one that may ask at all may do that.
  if (head.field("access-control-request-private-network") == "true") {
    fields.push_back({.name = "Access-Control-Allow-Private-Network", .value = "true"});
  }
  return fields;
}

}  // namespace gbgreg::http
