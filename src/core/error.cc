#include "core/error.h"

namespace gbgreg {

int http_status(Kind kind) {
  switch (kind) {
    case Kind::malformed:
      return 400;
    case Kind::unauthorized:
      return 401;
    case Kind::forbidden:
      return 403;
    case Kind::not_found:
      return 404;
    case Kind::method_not_allowed:
      return 405;
    case Kind::request_timeout:
      return 408;
    case Kind::conflict:
      return 409;
    case Kind::too_large:
      return 413;
    case Kind::target_too_long:
      return 414;
    case Kind::unsupported_type:
      return 415;
    case Kind::unsatisfiable:
      return 416;
    case Kind::refused:
      return 422;
    case Kind::head_too_large:
      return 431;
    case Kind::busy:
      return 429;
    case Kind::cancelled:
      return 499;
    case Kind::internal:
      return 500;
    case Kind::unsupported:
      return 501;
    case Kind::backend_failed:
      return 502;
    case Kind::unavailable:
      return 503;
    case Kind::timed_out:
      return 504;
    case Kind::unknown_version:
      return 505;
  }
  return 500;
}

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::malformed:
      return "malformed";
    case Kind::unauthorized:
      return "unauthorized";
    case Kind::forbidden:
      return "forbidden";
    case Kind::not_found:
      return "not_found";
    case Kind::method_not_allowed:
      return "method_not_allowed";
    case Kind::request_timeout:
      return "request_timeout";
    case Kind::conflict:
      return "conflict";
    case Kind::too_large:
      return "too_large";
    case Kind::target_too_long:
      return "target_too_long";
    case Kind::unsupported_type:
      return "unsupported_type";
    case Kind::unsatisfiable:
      return "unsatisfiable";
    case Kind::refused:
      return "refused";
    case Kind::head_too_large:
      return "head_too_large";
    case Kind::busy:
      return "busy";
    case Kind::cancelled:
      return "cancelled";
    case Kind::internal:
      return "internal";
    case Kind::unsupported:
      return "unsupported";
    case Kind::backend_failed:
      return "backend_failed";
    case Kind::unavailable:
      return "unavailable";
    case Kind::timed_out:
      return "timed_out";
    case Kind::unknown_version:
      return "unknown_version";
  }
  return "internal";
}

}  // namespace gbgreg
