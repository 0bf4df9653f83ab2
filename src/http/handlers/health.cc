#include "http/handlers/health.h"

#include "protocols/native.h"

namespace gbgreg::http {
namespace {

constexpr std::string_view kPrometheus = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace

HealthHandlers::HealthHandlers(services::Health& health, const metrics::Registry& registry)
    : health_(health), registry_(registry) {}

Task<Result<void>> HealthHandlers::health(Call& call) {
  const auto report = co_await health_.report();
  co_return co_await call.exchange.respond(200, kJson, protocols::native::write_health(report));
}

// Alive means that this thread could answer.
Task<Result<void>> HealthHandlers::live(Call& call) {
  co_return co_await call.exchange.respond(200, kJson, R"({"status":"live"})");
}

Task<Result<void>> HealthHandlers::ready(Call& call) {
  if (health_.can_answer()) co_return co_await call.exchange.respond(200, kJson, R"({"status":"ready"})");
  net::HeaderFields fields{{.name = "Retry-After", .value = "1"}};
  co_return co_await call.exchange.respond(503, kJson, R"({"status":"not_ready"})", std::move(fields));
}

Task<Result<void>> HealthHandlers::metrics(Call& call) {
  co_await health_.look_at_stores();
  const std::string text = registry_.prometheus_text();
  co_return co_await call.exchange.respond(200, kPrometheus, text);
}

Task<Result<void>> HealthHandlers::version(Call& call) {
  co_return co_await call.exchange.respond(200, kJson, protocols::native::write_version(health_.version()));
}

}  // namespace gbgreg::http
