#include "http/record.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace gbgreg::http {
namespace {

constexpr std::array<std::string_view, 4> kWatched{"/", "/metrics", "/api/version", "/openapi.json"};
constexpr std::array<std::string_view, 3> kWatchedBelow{"/health", "/api/analytics", "/api/audit"};

constexpr int kFirstError = 400;
constexpr int kUnauthorized = 401;

}  // namespace

bool is_on_record(const Route& route, int status) {
  if (status == kUnauthorized || std::ranges::find(kWatched, route.pattern) != kWatched.end()) return false;
  return std::ranges::none_of(kWatchedBelow, [&](std::string_view front) { return route.pattern.starts_with(front); });
}

records::Ended record_of(Call& call, std::string_view route, int status, double total_ms, const Result<void>& outcome,
                         WallTime now) {
  const ModelUse& use = call.use;
  const keys::Key* key = call.caller.key();
  const int on_record = !outcome && status < kFirstError ? http_status(outcome.error().kind) : status;
  return {.at = now,
          .row = {.request_id = call.request_id,
                  .route = route,
                  .role = use.role,
                  .model = use.model,
                  .backend = use.backend,
                  .device = use.device,
                  .key_id = key != nullptr ? std::string_view(key->id) : std::string_view(),
                  .status = on_record,
                  .error_code = outcome ? std::string_view() : outcome.error().code,
                  .complexity = use.complexity,
                  .prompt_tokens = use.prompt_tokens,
                  .completion_tokens = use.completion_tokens,
                  .queue_ms = use.queue_ms,
                  .ttft_ms = use.ttft_ms,
                  .total_ms = total_ms,
                  .objective_ms = use.objective_ms},
          .said = std::move(call.said)};
}

}  // namespace gbgreg::http
