#include "http/handlers/doctor.h"

#include "net/http_head.h"
#include "protocols/native.h"

namespace gbgreg::http {

Task<Result<void>> DoctorHandlers::examine(Call& call) {
  // The latest one will do for who is in a hurry; it is seldom older than the doctor's rounds.
  const auto quick = net::query_parameter(call.exchange.head().query, "quick");
  if (!quick) co_return std::unexpected(quick.error());
  if (*quick != "1" && !call.caller.is_admin()) co_return needs_admin();
  const auto latest = *quick == "1" ? doctor_.latest() : nullptr;
  const auto diagnosis = latest ? Result<services::Diagnosis>(*latest) : co_await doctor_.run();
  if (!diagnosis) co_return std::unexpected(diagnosis.error());
  const std::string body = protocols::native::write_doctor({.status = services::status_of(*diagnosis),
                                                            .summary = diagnosis->summary,
                                                            .findings = diagnosis->findings,
                                                            .devices = diagnosis->devices,
                                                            .duration_ms = diagnosis->duration_ms});
  co_return co_await call.exchange.respond(200, kJson, body);
}

}  // namespace gbgreg::http
