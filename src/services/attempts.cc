#include "services/attempts.h"

namespace gbgreg::services {
namespace {

bool is_workers_fault(Kind kind) { return kind == Kind::backend_failed || kind == Kind::unavailable; }

Error failed_again(const Error& last) {
  return {.kind = Kind::backend_failed,
          .code = "backend_failed_again",
          .message =
              "The model's server broke down over this request more than once, so it is not tried again. Change "
              "the request, or ask another model.",
          .detail = last.message + " " + last.detail};
}

}  // namespace

bool Attempts::failed(const Error& error, fleet::Lease& lease) const {
  // A deadline that passed says something about the request, and nothing about the worker.
  const bool is_late = clock_.steady() >= deadline_;
  if (is_workers_fault(error.kind) || error.kind == Kind::busy || (error.kind == Kind::timed_out && !is_late)) {
    if (begun_ == 1) lease.report_failure(error);
    if (begun_ > 1) lease.report_repeated_failure(error);
  }
  const bool is_silent = error.kind == Kind::timed_out;
  return (is_workers_fault(error.kind) || error.kind == Kind::busy || is_silent) && !is_late;
}

std::optional<Error> Attempts::give_up(const Error& last) {
  // Asking the same server again at once changes nothing.
  if (last.kind == Kind::busy || last.kind == Kind::timed_out || last.code == "backend_key_refused" ||
      last.code == "backend_has_no_model")
    return last;
  if (last.kind == Kind::backend_failed && ++failures_ >= limits_.failures_max) return failed_again(last);
  if (begun_ >= limits_.attempts_max) return last;
  return std::nullopt;
}

}  // namespace gbgreg::services
