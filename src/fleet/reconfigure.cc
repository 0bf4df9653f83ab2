// How a fleet takes a new configuration while it runs: Fleet::reconfigure().
#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "fleet/changes.h"
#include "fleet/fleet_state.h"

namespace gbgreg::fleet {
namespace {

std::string id_of(const WorkerOptions& worker) { return worker.role + "/" + worker.model; }

Error model_removed(const std::string& model) {
  return {.kind = Kind::not_found,
          .code = std::string(kModelRemoved),
          .message = "The model " + model +
                     " was taken out of the configuration while this request waited for it; GET /v1/models lists "
                     "those that are there."};
}

std::string bytes_text(std::int64_t bytes) {
  return bytes == Memory::kUnbounded ? "without a bound" : std::to_string(bytes);
}

std::string wait_text(const std::optional<std::chrono::milliseconds>& wait) {
  if (!wait) return "by the objective of each role";
  return *wait == Options::kNoBound ? "off" : std::to_string(wait->count());
}

}  // namespace

// One run of it. Who waits for what is gone is told last of all, when the picture knows: then they choose again by it.
class FleetState::Reconfiguring {
 public:
  Reconfiguring(FleetState& fleet, Options options) : fleet_(fleet), wanted_(std::move(options)) {}

  Reconfigured made() && {
    take_bounds();
    take_workers();
    take_servers();
    note_unchanged_roles();
    fleet_.publish();
    for (auto& [answer, error] : untold_) answer(std::unexpected(std::move(error)));
    fleet_.changed();
    return std::move(report_);
  }

 private:
  void say(const std::string& role, std::string sentence) {
    changed_roles_.insert(role);
    report_.changed.push_back(std::move(sentence));
  }

  // Whoever is made or adopts something from here on reads the new ones.
  void take_bounds() {
    Options& has = fleet_.options_;
    const auto differs = [&](const char* key, const std::string& before, const std::string& after) {
      if (before == after) return;
      report_.changed.push_back(std::string(key).append(" is ").append(after).append(" instead of ").append(before) +
                                ".");
    };
    differs("limits.queue_max", std::to_string(has.queue_max), std::to_string(wanted_.queue_max));
    differs("limits.queue_wait_ms_max", wait_text(has.queue_wait_max), wait_text(wanted_.queue_wait_max));
    const Memory before = has.memory.budget;
    const Memory& after = wanted_.memory.budget;
    differs("memory.ram_bytes_max", bytes_text(before.host), bytes_text(after.host));
    differs("memory.vram_bytes_max", bytes_text(before.card), bytes_text(after.card));
    bounds_differ_ = has.queue_max != wanted_.queue_max || has.queue_wait_max != wanted_.queue_wait_max;
    fleet_.budget_has_shrunk_ |= !before.fits_into(after);
    has.queue_max = wanted_.queue_max;
    has.queue_wait_max = wanted_.queue_wait_max;
    has.memory.budget = wanted_.memory.budget;
    has.find_model = std::move(wanted_.find_model);
    has.workers = wanted_.workers;
    has.servers = wanted_.servers;
  }

  void take_workers() {
    had_ = std::exchange(fleet_.workers_, {});
    std::vector<WorkerPlace> places(wanted_.workers.size());
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (auto known = take_place_of(id_of(wanted_.workers[i]))) {
        places[i] = std::move(*known);
        go_on(places[i], wanted_.workers[i]);
      }
    }
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (!places[i].now) places[i] = begin(wanted_.workers[i]);
    }
    fleet_.workers_ = std::move(places);
    for (WorkerPlace& place : had_) leave_out(std::move(place));
    fleet_.take_budget();
  }

  // The place of the worker that is of this id, or was to become it.
  std::optional<WorkerPlace> take_place_of(const std::string& id) {
    const auto becomes = [&](const WorkerPlace& place) { return place.next && place.next->id() == id; };
    const auto is = [&](const WorkerPlace& place) { return place.now->id() == id; };
    auto found = std::ranges::find_if(had_, becomes);
    if (found == had_.end()) found = std::ranges::find_if(had_, is);
    if (found == had_.end()) return std::nullopt;
    WorkerPlace place = std::move(*found);
    had_.erase(found);
    return place;
  }

  void go_on(WorkerPlace& place, const WorkerOptions& wanted) {
    const bool is_to_become_it = place.next && place.next->id() == id_of(wanted);
    Worker& target = is_to_become_it ? *place.next : *place.now;
    const Change change = compare(target.options(), wanted);
    const std::string subject = wanted.role + ": " + wanted.model;
    if (change.difference == Difference::replaces) {
      say(wanted.role, subject + " starts anew with " + change.words + ".");
    } else if (change.difference == Difference::adjusts) {
      say(wanted.role, subject + " has " + change.words + ".");
    }
    const bool target_can_go_on = change.difference != Difference::replaces;
    if (is_to_become_it && target_can_go_on) {
      if (change.difference == Difference::adjusts || bounds_differ_) place.next->adopt(wanted);
      return;
    }
    if (place.next) fleet_.retire(std::move(place.next));
    // It may be what it was before the last time.
    const bool is_it = place.now->id() == id_of(wanted);
    const Difference difference = is_it ? compare(place.now->options(), wanted).difference : Difference::replaces;
    if (difference == Difference::replaces) return replace(place, wanted);
    if (difference == Difference::adjusts || bounds_differ_) place.now->adopt(wanted);
  }

  // In the place of one of its role that is left out and works, so that the role goes on answering; else for itself.
  WorkerPlace begin(const WorkerOptions& wanted) {
    const auto makes_room = [&](const WorkerPlace& place) {
      return place.now->options().role == wanted.role && place.now->options().embeds == wanted.embeds;
    };
    const auto predecessor = std::ranges::find_if(had_, makes_room);
    const std::string subject = wanted.role + ": " + wanted.model;
    if (predecessor == had_.end()) {
      say(wanted.role, subject + " is new.");
      WorkerPlace place{.now = fleet_.make_worker(wanted)};
      if (fleet_.is_begun_) place.now->want_ahead();
      return place;
    }
    say(wanted.role, subject + " takes the place of " + predecessor->now->options().model + ".");
    WorkerPlace place = std::move(*predecessor);
    had_.erase(predecessor);
    if (place.next) fleet_.retire(std::move(place.next));
    replace(place, wanted);
    return place;
  }

  // Beside it where that can be and is of use; the fleet lets it follow in time (let_successors_follow()).
  void replace(WorkerPlace& place, const WorkerOptions& wanted) {
    place.next = fleet_.make_worker(wanted);
    if (fleet_.is_begun_) place.next->want_ahead();
    const bool wants_its_port = wanted.port && wanted.port == place.now->options().port;
    if (place.now->is_up() && !wants_its_port && !fleet_.goes_to_a_card_unplanned(wanted)) return;
    hand_over(place);
  }

  void hand_over(WorkerPlace& place) {
    const bool is_same = place.now->id() == place.next->id();
    std::unique_ptr<Worker> old = std::exchange(place.now, std::move(place.next));
    for (Waiting& waiting : old->take_waiting()) {
      if (is_same) {
        place.now->ask(waiting.backend_id, waiting.waiter, std::move(waiting.answer));
      } else {
        untold_.emplace_back(std::move(waiting.answer), model_removed(old->options().model));
      }
    }
    fleet_.retire(std::move(old));
  }

  void leave_out(WorkerPlace place) {
    const WorkerOptions& options = place.now->options();
    say(options.role, options.role + ": " + options.model + " was taken out.");
    for (Waiting& waiting : place.now->take_waiting()) {
      untold_.emplace_back(std::move(waiting.answer), model_removed(options.model));
    }
    if (place.next) fleet_.retire(std::move(place.next));
    fleet_.retire(std::move(place.now));
  }

  void take_servers() {
    auto had = std::exchange(fleet_.servers_, {});
    fleet_.servers_.reserve(wanted_.servers.size());
    for (const ServerOptions& wanted : wanted_.servers) {
      const auto known = std::ranges::find_if(had, [&](const auto& one) { return one->options().name == wanted.name; });
      if (known == had.end()) {
        fleet_.servers_.push_back(fleet_.make_server(wanted));
        if (fleet_.is_begun_) fleet_.servers_.back()->start();
        note_models({}, wanted);
        continue;
      }
      fleet_.servers_.push_back(std::move(*known));
      had.erase(known);
      go_on(*fleet_.servers_.back(), wanted);
    }
    for (const auto& server : had) {
      note_models(server->options(), {.name = server->options().name});
      leave_out(server->retire());
    }
  }

  void go_on(OutsideServer& server, const ServerOptions& wanted) {
    const ServerOptions before = server.options();
    const Change change = compare(before, wanted);
    if (change.difference != Difference::none) {
      report_.changed.push_back("server " + wanted.name + ": " + change.words + ".");
      for (const OutsideModelOptions& model : wanted.models) changed_roles_.insert(model.role);
    }
    const bool models_differ = note_models(before, wanted);
    if (change.difference == Difference::none && !models_differ && !bounds_differ_) return;
    leave_out(server.adopt(wanted));
  }

  // True when something of them is different.
  bool note_models(const ServerOptions& before, const ServerOptions& after) {
    const auto find = [](const ServerOptions& server, const OutsideModelOptions& model) {
      const auto found = std::ranges::find_if(server.models, [&](const OutsideModelOptions& other) {
        return other.role == model.role && other.model == model.model;
      });
      return found == server.models.end() ? nullptr : &*found;
    };
    bool differs = false;
    const auto note = [&](const OutsideModelOptions& model, const std::string& what) {
      differs = true;
      say(model.role, model.role + ": " + model.model + " on " + after.name + " " + what + ".");
    };
    for (const OutsideModelOptions& model : after.models) {
      const OutsideModelOptions* had = find(before, model);
      if (had == nullptr) {
        note(model, "is new");
      } else if (const Change change = compare(*had, model); change.difference != Difference::none) {
        note(model, "has " + change.words);
      }
    }
    for (const OutsideModelOptions& model : before.models) {
      if (find(after, model) == nullptr) note(model, "was taken out");
    }
    return differs;
  }

  void leave_out(std::vector<OutsideServer::LeftOut> left_out) {
    for (auto& [model, answer] : left_out) untold_.emplace_back(std::move(answer), model_removed(model));
  }

  void note_unchanged_roles() {
    const auto note = [&](const std::string& role) {
      if (!changed_roles_.insert(role).second) return;
      report_.unchanged.push_back(role);
    };
    for (const WorkerOptions& worker : wanted_.workers) note(worker.role);
    for (const ServerOptions& server : wanted_.servers) {
      for (const OutsideModelOptions& model : server.models) note(model.role);
    }
  }

  FleetState& fleet_;
  Options wanted_;
  Reconfigured report_;
  std::set<std::string> changed_roles_;
  bool bounds_differ_ = false;
  std::vector<WorkerPlace> had_;  // Those whose place nobody has taken yet.
  std::vector<std::pair<Answer, Error>> untold_;
};

Result<Reconfigured> FleetState::reconfigure(Options options) {
  if (is_stopping_) {
    return std::unexpected(Error{.kind = Kind::unavailable,
                                 .code = "stopping",
                                 .message = "The gateway is stopping, and takes no other configuration any more.",
                                 .retry_after_seconds = 5});
  }
  return Reconfiguring(*this, std::move(options)).made();
}

// Asked after everything that changes. One that sleeps when memory has been given out got none: its predecessor has to
// go first. One that does not start leaves its predecessor where it is, unless that is of no use either.
void FleetState::let_successors_follow() {
  if (is_stopping_) return;
  for (WorkerPlace& place : workers_) {
    if (!place.next) continue;
    const llm::BackendState next = place.next->state();
    const llm::BackendState now = place.now->state();
    const bool found_no_room = place.next->is_asleep() && next != llm::BackendState::failed;
    const bool is_of_no_use = now == llm::BackendState::sleeping || now == llm::BackendState::failed;
    if (next == llm::BackendState::ready || found_no_room || is_of_no_use) follow(place);
  }
}

void FleetState::follow(WorkerPlace& place) {
  std::unique_ptr<Worker> old = std::exchange(place.now, std::move(place.next));
  spdlog::info("worker {}: goes on with its new settings", place.now->id());
  const bool is_same = place.now->id() == old->id();
  std::vector<Waiting> waiting = old->take_waiting();
  publish();  // Before anybody is told to choose again.
  for (Waiting& one : waiting) {
    if (is_same) {
      place.now->ask(one.backend_id, one.waiter, std::move(one.answer));
    } else {
      one.answer(std::unexpected(model_removed(old->options().model)));
    }
  }
  retire(std::move(old));
}

void FleetState::retire(std::unique_ptr<Worker> worker) {
  spdlog::info("worker {}: leaves when what it does is done", worker->id());
  worker->retire();
  leaving_.push_back(std::move(worker));
}

// Without a budget of the card's memory nobody counts what is there, and an engine that finds too little left puts
// a part of the model on the processor.
bool FleetState::goes_to_a_card_unplanned(const WorkerOptions& worker) const {
  return options_.has_gpu && memory_.budget.card == Memory::kUnbounded && worker.device != gpu::DevicePolicy::cpu;
}

bool FleetState::waits_for_another_to_end(const Worker& worker) const {
  const bool needs_a_card = goes_to_a_card_unplanned(worker.options());
  const std::optional<int> port = worker.options().port;
  return std::ranges::any_of(leaving_, [&](const auto& other) {
    const WorkerOptions& has = other->options();
    return (needs_a_card && goes_to_a_card_unplanned(has)) || (port && has.port == port);
  });
}

void FleetState::keep_to_a_smaller_budget(const std::vector<Tenant>& tenants, const std::vector<Worker*>& workers) {
  if (!budget_has_shrunk_) return;
  const Excess excess = over_budget(tenants, clock_.steady(), memory_);
  budget_has_shrunk_ = excess.is_over;
  for (const std::size_t index : excess.unload) workers[index]->unload();
}

// Nothing of theirs is under way any more but what looks first whether they are there.
void FleetState::bury_the_gone() {
  std::erase_if(leaving_, [](const auto& worker) {
    const bool is_gone = worker->state() == llm::BackendState::stopped;
    if (is_gone) spdlog::info("worker {}: has left", worker->id());
    return is_gone;
  });
}

}  // namespace gbgreg::fleet
