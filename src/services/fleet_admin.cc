#include "services/fleet_admin.h"

#include <algorithm>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include "models/name.h"
#include "routing/candidates.h"
#include "routing/policy.h"
#include "services/card_use.h"

namespace gbgreg::services {
namespace {

using Timer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;

constexpr std::chrono::milliseconds kLookEvery{20};
constexpr int kRetryAfterSeconds = 30;

std::string known_names(std::span<const llm::BackendView> backends, std::string_view role) {
  std::vector<std::string_view> known;
  known.reserve(backends.size());
  for (const llm::BackendView& backend : backends) {
    if (role.empty()) known.push_back(backend.role);
    if (backend.role == role) known.push_back(backend.model);
  }
  return "{\"known\":" + routing::json_names(known) + "}";
}

std::unexpected<Error> no_own_worker(std::string_view name) {
  return fail(Kind::conflict, "no_own_worker",
              routing::quoted(name) + " is on outside servers only, which the gateway neither loads nor unloads.");
}

std::string_view word_for(fleet::Order order) {
  return order == fleet::Order::unload ? "unload" : order == fleet::Order::restart ? "restart" : "load";
}

const llm::BackendView* find(std::span<const llm::BackendView> backends, std::string_view id) {
  const auto found = std::ranges::find(backends, id, &llm::BackendView::id);
  return found == backends.end() ? nullptr : &*found;
}

// How often each must have been loaded for the order to be done. One that is on its way out has to come back first.
std::vector<std::int64_t> loads_wanted(fleet::Order order, const std::vector<std::string>& workers,
                                       const fleet::Obeyed& obeyed) {
  std::vector<std::int64_t> wanted = obeyed.loads_before;
  for (std::size_t i = 0; i < workers.size(); ++i) {
    const auto leaves = [&](const llm::BackendDetails& backend) {
      return backend.view.id == workers[i] && backend.is_leaving;
    };
    const bool is_next = order != fleet::Order::load || std::ranges::any_of(obeyed.fleet.backends, leaves);
    if (is_next) ++wanted[i];
  }
  return wanted;
}

struct Whole {
  Standing standing = Standing::done;
  std::string why;  // Of the first that has failed.
};

Whole standing_of_all(fleet::Order order, const std::vector<std::string>& workers,
                      const std::vector<std::int64_t>& loads, std::span<const llm::BackendView> backends) {
  bool is_under_way = false;
  std::optional<std::string> why;
  for (std::size_t i = 0; i < workers.size(); ++i) {
    const llm::BackendView* view = find(backends, workers[i]);
    const Standing standing = standing_of(order, loads[i], view);
    is_under_way |= standing == Standing::under_way;
    if (standing != Standing::failed || why) continue;
    if (view == nullptr) {
      why = "The configuration has it no more.";
    } else if (view->state == llm::BackendState::sleeping) {
      why = view->model + " was sent out of memory again, or gave way to another model.";
    } else if (view->state == llm::BackendState::stopped) {
      why = "The gateway is shutting down.";
    } else {
      why = view->detail;
    }
  }
  if (is_under_way) return {.standing = Standing::under_way, .why = {}};
  if (why) return {.standing = Standing::failed, .why = std::move(*why)};
  return {};
}

std::unexpected<Error> failed(fleet::Order order, std::string why) {
  const bool unloads = order == fleet::Order::unload;
  return std::unexpected(Error{.kind = Kind::unavailable,
                               .code = unloads ? "model_not_unloaded" : "model_not_loaded",
                               .message = std::move(why),
                               .retry_after_seconds = kRetryAfterSeconds});
}

std::vector<llm::BackendView> views_of(const llm::FleetDetails& fleet) {
  std::vector<llm::BackendView> views;
  views.reserve(fleet.backends.size());
  for (const llm::BackendDetails& backend : fleet.backends) views.push_back(backend.view);
  return views;
}

}  // namespace

Result<std::vector<std::string>> workers_for(std::string_view role, const std::optional<std::string>& model,
                                             std::span<const llm::BackendView> backends) {
  const auto is_role = [&](const llm::BackendView& backend) { return backend.role == role; };
  if (std::ranges::none_of(backends, is_role)) {
    return std::unexpected(
        Error{.kind = Kind::not_found,
              .code = "role_not_found",
              .message = "There is no role " + routing::quoted(role) + " here: name one of those in details.",
              .details_json = known_names(backends, {})});
  }
  bool is_known = false;
  std::vector<std::string> workers;
  for (const llm::BackendView& backend : backends) {
    if (!is_role(backend) || (model && !routing::is_named(backend.model, *model))) continue;
    is_known = true;
    if (backend.server.empty()) workers.push_back(backend.id);
  }
  if (!is_known) {
    return std::unexpected(Error{.kind = Kind::not_found,
                                 .code = "model_not_found",
                                 .message = "The role " + routing::quoted(role) + " has no model " +
                                            routing::quoted(*model) + ": name one of those in details.",
                                 .details_json = known_names(backends, role)});
  }
  if (workers.empty()) return no_own_worker(model ? *model : role);
  return workers;
}

Standing standing_of(fleet::Order order, std::int64_t loads, const llm::BackendView* view) {
  using llm::BackendState;
  if (view == nullptr) return Standing::failed;
  const bool is_down = view->state == BackendState::sleeping || view->state == BackendState::stopped;
  if (order == fleet::Order::unload) {
    // Who waited for it has woken it again: it was out of memory all the same.
    if (is_down || view->loads >= loads) return Standing::done;
    return view->state == BackendState::failed ? Standing::failed : Standing::under_way;
  }
  if (view->state == BackendState::ready && view->loads >= loads) return Standing::done;
  return is_down || view->state == BackendState::failed ? Standing::failed : Standing::under_way;
}

protocols::native::FleetReport FleetAdmin::with_cards(llm::FleetDetails fleet) const {
  protocols::native::FleetReport report;
  if (const auto diagnosis = doctor_.latest()) report.card_use = card_use_of(views_of(fleet), diagnosis->devices);
  report.fleet = std::move(fleet);
  return report;
}

Task<protocols::native::FleetReport> FleetAdmin::report() const { co_return with_cards(co_await fleet_.details()); }

Task<Result<FleetAdmin::Ordered>> FleetAdmin::order(FleetOrder order) {
  const auto workers = workers_for(order.role, order.model, *fleet_.snapshot());
  if (!workers) co_return std::unexpected(workers.error());
  fleet::Obeyed obeyed = co_await fleet_.order(*workers, order.order);
  const auto loads = loads_wanted(order.order, *workers, obeyed);
  Whole whole = standing_of_all(order.order, *workers, loads, views_of(obeyed.fleet));
  if (whole.standing == Standing::under_way && order.wait) {
    auto settled = co_await wait_for(order, *workers, loads);
    if (!settled) co_return std::unexpected(std::move(settled.error()));
    co_return Ordered{.standing = Standing::done, .report = co_await report()};
  }
  if (whole.standing == Standing::failed) co_return failed(order.order, std::move(whole.why));
  co_return Ordered{.standing = whole.standing, .report = with_cards(std::move(obeyed.fleet))};
}

Task<Result<void>> FleetAdmin::wait_for(const FleetOrder& order, const std::vector<std::string>& workers,
                                        const std::vector<std::int64_t>& loads) const {
  Timer timer(co_await asio::this_coro::executor);
  const SteadyTime deadline = clock_.steady() + *order.wait;
  for (;;) {
    // What the fleet shows is never older than its answer to the order.
    Whole whole = standing_of_all(order.order, workers, loads, *fleet_.snapshot());
    if (whole.standing == Standing::done) co_return Result<void>{};
    if (whole.standing == Standing::failed) co_return failed(order.order, std::move(whole.why));
    if (clock_.steady() >= deadline) {
      const std::string word(word_for(order.order));
      co_return fail(Kind::timed_out, word + "_timed_out",
                     "To " + word + " " + routing::quoted(order.role) +
                         " takes longer than was to be waited for; it "
                         "goes on, and GET /api/fleet says how far it is.");
    }
    timer.expires_after(kLookEvery);
    co_await timer.async_wait(use_task);
  }
}

Result<llm::AnswerNotes> FleetAdmin::unload(std::string_view name) {
  if (!routing::is_asked_by_name(name)) {
    return fail(Kind::malformed, "model_missing", "To unload a model, name it in \"model\".");
  }
  const auto backends = fleet_.snapshot();
  std::vector<std::string> workers;
  llm::AnswerNotes notes;
  bool is_known = false;
  for (const llm::BackendView& backend : *backends) {
    if (!routing::is_asked_for(backend, name)) continue;
    is_known = true;
    if (!backend.server.empty()) continue;
    if (workers.empty()) {
      notes.role = backend.role;
      notes.model = backend.model;
      notes.backend = backend.id;
      notes.device = backend.placement.device;
      notes.reason = "The request sends the model out of memory.";
    }
    workers.push_back(backend.id);
  }
  if (!is_known) return routing::model_not_found(name, *backends);
  if (workers.empty()) return no_own_worker(name);
  fleet_.tell(std::move(workers), fleet::Order::unload);
  return notes;
}

void FleetAdmin::unload_when_idle(std::string_view role, std::string_view model) {
  const auto backends = fleet_.snapshot();
  const auto is_it = [&](const llm::BackendView& backend) {
    return backend.role == role && backend.model == model && backend.server.empty();
  };
  const auto found = std::ranges::find_if(*backends, is_it);
  if (found != backends->end()) fleet_.tell({found->id}, fleet::Order::unload_when_idle);
}

void FleetAdmin::model_fetched(std::string_view name) {
  const auto fetched = models::parse_name(name);
  if (!fetched) return;
  std::vector<std::string> workers;
  const auto backends = fleet_.snapshot();
  for (const llm::BackendView& backend : *backends) {
    const auto used = models::parse_name(backend.model);
    if (backend.server.empty() && used && models::is_same(*used, *fetched)) workers.push_back(backend.id);
  }
  if (!workers.empty()) fleet_.tell(std::move(workers), fleet::Order::look_again);
}

}  // namespace gbgreg::services
