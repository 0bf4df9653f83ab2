#include "http/handlers/fleet.h"

#include <charconv>

#include "net/http_head.h"
#include "protocols/fleet.h"

namespace gbgreg::http {
namespace {

using services::FleetAdmin;

Result<bool> read_wait(std::string_view query) {
  const auto wait = net::query_parameter(query, "wait");
  if (!wait) return std::unexpected(wait.error());
  if (!*wait || **wait == "false" || **wait == "0") return false;
  if (**wait == "true" || **wait == "1") return true;
  return fail(Kind::malformed, "invalid_parameter", "\"wait\" must be true or false.");
}

Result<std::chrono::milliseconds> read_deadline(std::string_view query) {
  const auto text = net::query_parameter(query, "deadline_ms");
  if (!text) return std::unexpected(text.error());
  if (!*text) return FleetAdmin::kWaitDefault;
  std::int64_t ms = 0;
  const char* const end = (*text)->data() + (*text)->size();
  const auto parsed = std::from_chars((*text)->data(), end, ms);
  if (parsed.ec != std::errc{} || parsed.ptr != end || ms < 1 || ms > FleetAdmin::kWaitMax.count()) {
    return fail(
        Kind::malformed, "invalid_parameter",
        "\"deadline_ms\" must be a whole number from 1 to " + std::to_string(FleetAdmin::kWaitMax.count()) + ".");
  }
  return std::chrono::milliseconds{ms};
}

}  // namespace

Task<Result<void>> FleetHandlers::show(Call& call) {
  const auto report = co_await admin_.report();
  co_return co_await call.exchange.respond(200, kJson, protocols::native::write_fleet(report));
}

Task<Result<void>> FleetHandlers::load(Call& call) { return order(call, fleet::Order::load); }

Task<Result<void>> FleetHandlers::unload(Call& call) { return order(call, fleet::Order::unload); }

Task<Result<void>> FleetHandlers::restart(Call& call) { return order(call, fleet::Order::restart); }

Task<Result<void>> FleetHandlers::order(Call& call, fleet::Order order) {
  const std::string_view query = call.exchange.head().query;
  const auto waits = read_wait(query);
  if (!waits) co_return std::unexpected(waits.error());
  const auto deadline = read_deadline(query);
  if (!deadline) co_return std::unexpected(deadline.error());
  auto body = co_await json_.read(call.exchange);
  if (!body) co_return std::unexpected(std::move(body.error()));
  auto model = protocols::native::parse_fleet_order(body->text, json_.limits());
  if (!model) co_return std::unexpected(std::move(model.error()));

  call.target.name = model->value_or("");
  services::FleetOrder asked{.role = call.parameter, .model = std::move(*model), .order = order};
  if (*waits) asked.wait = *deadline;
  call.exchange.cancel_when_client_leaves();
  const auto ordered = co_await admin_.order(std::move(asked));
  if (!ordered) co_return std::unexpected(ordered.error());
  const int status = ordered->standing == services::Standing::done ? 200 : 202;
  const std::string text = protocols::native::write_fleet_role(ordered->report, call.parameter);
  co_return co_await call.exchange.respond(status, kJson, text);
}

}  // namespace gbgreg::http
