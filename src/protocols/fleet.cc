#include "protocols/fleet.h"

#include <algorithm>
#include <array>

#include "protocols/json_reader.h"
#include "protocols/json_writer.h"

namespace gbgreg::protocols::native {
namespace {

using llm::BackendState;

void write_queue(JsonWriter& json, const llm::BackendDetails& backend) {
  const llm::QueueView& queue = backend.queue;
  json.key("queue").open_object();
  json.key("length").number(queue.interactive + queue.batch + queue.retries);
  json.key("length_max").number(backend.view.queue_max);
  json.key("interactive").number(queue.interactive);
  json.key("batch").number(queue.batch);
  json.key("retries").number(queue.retries);
  json.key("waiting").open_array();
  int position = 0;
  for (const llm::WaitingRequest& waiting : queue.first) {
    json.open_object();
    json.key("position").number(++position);
    json.key("priority").text(waiting.priority == llm::Priority::interactive ? "interactive" : "batch");
    json.key("retry").boolean(waiting.is_retry);
    json.key("waited_ms").number(waiting.waited_ms);
    json.key("deadline_in_ms").number_or_null(waiting.deadline_in_ms);
    json.close_object();
  }
  json.close_array();
  json.close_object();
}

std::string_view hold_name(llm::Hold hold) {
  switch (hold) {
    case llm::Hold::nothing:
      return "nothing";
    case llm::Hold::reserved:
      return "reserved";
    case llm::Hold::used:
      return "used";
  }
  return "nothing";
}

void write_memory(JsonWriter& json, const llm::BackendDetails& backend) {
  json.key("memory").open_object();
  json.key("holds").text(hold_name(backend.hold));
  json.key("ram_bytes").number(backend.claim.host);
  json.key("vram_bytes").number(backend.claim.card);
  json.key("predicted_bytes").number_or_null(backend.predicted_bytes);
  json.key("reported_bytes");
  if (backend.reported) {
    json.number(backend.reported->host + backend.reported->card);
  } else {
    json.null();
  }
  json.close_object();
}

void write_server(JsonWriter& json, const llm::BackendDetails& backend) {
  json.key("server");
  if (!backend.server) return json.null();
  const llm::ServerState& server = *backend.server;
  json.open_object();
  json.key("name").text(backend.view.server);
  json.key("breaker").text(server.breaker);
  json.key("failures").number(server.failures);
  json.key("last_error");
  if (server.last_error.empty()) {
    json.null();
  } else {
    json.text(server.last_error);
  }
  json.key("last_error_ago_ms").number_or_null(server.last_error_ago_ms);
  json.key("check_in_ms").number_or_null(server.check_in_ms);
  json.close_object();
}

void write_backend(JsonWriter& json, const llm::BackendDetails& backend, const CardUse& use) {
  const llm::BackendView& view = backend.view;
  json.open_object();
  json.key("id").text(view.id);
  write_backend_health(json, view, use);
  json.key("leaving").boolean(backend.is_leaving);
  json.key("loading_progress").rounded_or_null(backend.loading_progress);
  json.key("context_tokens").number(view.context_tokens);
  json.key("pid").number_or_null(view.process_id);
  json.key("generation").number(view.loads);
  json.key("restarts").number(view.restarts);
  json.key("slots").open_object();
  json.key("total").number(view.slots_total);
  json.key("busy").number(backend.slots_busy);
  json.key("free").number(view.slots_free);
  json.close_object();
  write_queue(json, backend);
  write_memory(json, backend);
  json.key("latency_ms").rounded_or_null(view.latency_ms);
  json.key("keep_alive_seconds");
  if (backend.keep_alive) {
    json.rounded(std::chrono::duration<double>(*backend.keep_alive).count());
  } else {
    json.null();
  }
  json.key("idle_ms").number_or_null(backend.idle_ms);
  write_server(json, backend);
  json.key("log").open_array();
  for (const llm::LogEntry& line : backend.log) {
    json.open_object();
    json.key("level").text(line.level);
    json.key("text").text(line.text);
    json.close_object();
  }
  json.close_array();
  json.close_object();
}

// A role is as well as the best of its backends, for that is who answers.
constexpr std::array kBestFirst = {BackendState::ready,  BackendState::loading,     BackendState::sleeping,
                                   BackendState::failed, BackendState::unreachable, BackendState::stopped};

std::string_view role_state(const FleetReport& report, std::string_view role) {
  for (const BackendState state : kBestFirst) {
    const auto is_it = [&](const llm::BackendDetails& backend) {
      return backend.view.role == role && backend.view.state == state;
    };
    if (std::ranges::any_of(report.fleet.backends, is_it)) return llm::state_name(state);
  }
  return llm::state_name(BackendState::stopped);
}

void write_role(JsonWriter& json, const FleetReport& report, std::string_view role) {
  json.open_object();
  json.key("role").text(role);
  json.key("state").text(role_state(report, role));
  json.key("backends").open_array();
  for (std::size_t i = 0; i < report.fleet.backends.size(); ++i) {
    const llm::BackendDetails& backend = report.fleet.backends[i];
    if (backend.view.role != role) continue;
    write_backend(json, backend, i < report.card_use.size() ? report.card_use[i] : CardUse{});
  }
  json.close_array();
  json.close_object();
}

void write_use(JsonWriter& json, const llm::MemoryUse& use) {
  json.open_object();
  json.key("budget_bytes").number_or_null(use.budget_bytes);
  json.key("used_bytes").number(use.used_bytes);
  json.key("reserved_bytes").number(use.reserved_bytes);
  json.close_object();
}

}  // namespace

std::string write_fleet(const FleetReport& report) {
  std::vector<std::string_view> roles;
  for (const llm::BackendDetails& backend : report.fleet.backends) {
    if (std::ranges::find(roles, backend.view.role) == roles.end()) roles.push_back(backend.view.role);
  }
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("roles").open_array();
  for (const std::string_view role : roles) write_role(json, report, role);
  json.close_array();
  json.key("memory").open_object();
  json.key("ram");
  write_use(json, report.fleet.host);
  json.key("vram");
  write_use(json, report.fleet.card);
  json.close_object();
  json.close_object();
  return out;
}

std::string write_fleet_role(const FleetReport& report, std::string_view role) {
  std::string out;
  JsonWriter json(out);
  write_role(json, report, role);
  return out;
}

Result<std::optional<std::string>> parse_fleet_order(std::string_view body, const Limits& limits) {
  std::optional<std::string> model;
  if (body.empty()) return model;
  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name != "model") return {};
    if (value.type() == JsonType::null) return value.skip();
    return value.read_text(model.emplace(), limits.model_bytes_max);
  };
  const JsonBounds bounds{.bytes_max = limits.body_bytes_max, .depth_max = limits.json_depth_max};
  if (auto read = read_json_object(body, bounds, read_field); !read) return std::unexpected(std::move(read.error()));
  if (model && model->empty()) return fail(Kind::malformed, "invalid_field", "\"model\" must name a model.");
  return model;
}

}  // namespace gbgreg::protocols::native
