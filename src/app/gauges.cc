#include "app/gauges.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "services/card_use.h"

namespace gbgreg::app {
namespace {

using llm::BackendState;
using llm::BackendView;
using metrics::label;
using metrics::Sample;
using Samples = std::vector<Sample>;

constexpr std::string_view kGauge = "gauge";
constexpr std::string_view kCounter = "counter";

// Which backend that is. Several servers may have the same model for the same role.
std::string labels_of(const BackendView& view) {
  std::string labels = label("role", view.role) + "," + label("model", view.model);
  if (!view.server.empty()) labels += "," + label("server", view.server);
  return labels;
}

Samples one(auto value) { return {{.labels = {}, .value = static_cast<double>(value)}}; }

Samples of_each(const fleet::Fleet& fleet, double (*value)(const BackendView&)) {
  Samples samples;
  for (const BackendView& view : fleet.views()) samples.push_back({.labels = labels_of(view), .value = value(view)});
  return samples;
}

Samples states(const fleet::Fleet& fleet) {
  constexpr std::array kStates{BackendState::stopped,    BackendState::sleeping, BackendState::loading,
                               BackendState::ready,      BackendState::draining, BackendState::failed,
                               BackendState::unreachable};
  Samples samples;
  for (const BackendView& view : fleet.views()) {
    for (const BackendState state : kStates) {
      samples.push_back({.labels = labels_of(view) + "," + label("state", llm::state_name(state)),
                         .value = view.state == state ? 1.0 : 0.0});
    }
  }
  return samples;
}

Samples devices(const fleet::Fleet& fleet) {
  Samples samples;
  for (const BackendView& view : fleet.views()) {
    samples.push_back({.labels = labels_of(view) + "," + label("device", view.placement.device), .value = 1});
  }
  return samples;
}

Samples layers(const fleet::Fleet& fleet) {
  Samples samples;
  for (const BackendView& view : fleet.views()) {
    if (!view.placement.gpu_layers || !view.placement.total_layers) continue;
    const int on_cards = *view.placement.gpu_layers;
    const int elsewhere = std::max(0, *view.placement.total_layers - on_cards);
    samples.push_back({.labels = labels_of(view) + "," + label("on", "gpu"), .value = static_cast<double>(on_cards)});
    samples.push_back({.labels = labels_of(view) + "," + label("on", "cpu"), .value = static_cast<double>(elsewhere)});
  }
  return samples;
}

Samples speeds(const fleet::Fleet& fleet) {
  Samples samples;
  for (const BackendView& view : fleet.views()) {
    if (view.tokens_per_second) samples.push_back({.labels = labels_of(view), .value = *view.tokens_per_second});
  }
  return samples;
}

// Each state of each outside server.
Samples breakers(const fleet::Fleet& fleet) {
  using State = fleet::Breaker::State;
  using Named = std::pair<State, std::string_view>;
  constexpr std::array kStates{Named{State::closed, "closed"}, Named{State::half_open, "half_open"},
                               Named{State::open, "open"}};
  Samples samples;
  for (const fleet::ServerView& server : fleet.servers()) {
    for (const auto& [state, name] : kStates) {
      samples.push_back({.labels = label("server", server.name) + "," + label("state", name),
                         .value = server.breaker == state ? 1.0 : 0.0});
    }
  }
  return samples;
}

void add_workers(metrics::Registry& registry, const fleet::Fleet& fleet) {
  const auto of_fleet = [&](const char* name, const char* help, std::string_view type,
                            double (*value)(const BackendView&)) {
    registry.sampled(name, help, type, [&fleet, value] { return of_each(fleet, value); });
  };
  of_fleet("gbgreg_worker_ready", "1 when the worker can take a request.", kGauge,
           [](const BackendView& view) { return view.state == BackendState::ready ? 1.0 : 0.0; });
  registry.sampled("gbgreg_worker_state", "1 for the state that the worker is in.", kGauge,
                   [&fleet] { return states(fleet); });
  of_fleet("gbgreg_worker_slots", "Answers the worker can give at once.", kGauge,
           [](const BackendView& view) { return static_cast<double>(view.slots_total); });
  of_fleet("gbgreg_worker_slots_free", "Of these, how many are free.", kGauge,
           [](const BackendView& view) { return static_cast<double>(view.slots_free); });
  of_fleet("gbgreg_worker_queued", "Requests waiting for a slot.", kGauge,
           [](const BackendView& view) { return static_cast<double>(view.queued); });
  of_fleet("gbgreg_worker_restarts_total", "Times the worker was started again after it died.", kCounter,
           [](const BackendView& view) { return static_cast<double>(view.restarts); });
  of_fleet("gbgreg_worker_loads_total", "Times the worker was loaded, for whatever reason.", kCounter,
           [](const BackendView& view) { return static_cast<double>(view.loads); });
  of_fleet("gbgreg_worker_memory_bytes", "What the worker takes of memory when it is loaded.", kGauge,
           [](const BackendView& view) { return static_cast<double>(view.memory_bytes); });
  of_fleet("gbgreg_worker_objective_seconds", "What the role promises for an answer.", kGauge,
           [](const BackendView& view) { return static_cast<double>(view.objective_ms) / 1000; });
  registry.sampled("gbgreg_worker_device", "1, with the device that really computes, by the engine's own word.", kGauge,
                   [&fleet] { return devices(fleet); });
  registry.sampled("gbgreg_worker_layers", "Layers of the model, by where they are.", kGauge,
                   [&fleet] { return layers(fleet); });
  registry.sampled("gbgreg_worker_tokens_per_second", "Tokens written in a second, smoothed over the last answers.",
                   kGauge, [&fleet] { return speeds(fleet); });
  registry.sampled("gbgreg_server_breaker", "1 for the state that the breaker before an outside server is in.", kGauge,
                   [&fleet] { return breakers(fleet); });
}

// Of each card that the driver knew when the doctor last looked.
Samples of_cards(const services::Doctor& doctor, std::optional<double> (*value)(const gpu::NvmlDevice&)) {
  Samples samples;
  const auto diagnosis = doctor.latest();
  if (diagnosis == nullptr) return samples;
  for (const gpu::NvmlDevice& card : diagnosis->devices) {
    const auto number = value(card);
    if (number)
      samples.push_back({.labels = label("uuid", card.uuid) + "," + label("name", card.name), .value = *number});
  }
  return samples;
}

Samples card_memory_of_workers(const fleet::Fleet& fleet, const services::Doctor& doctor) {
  Samples samples;
  const auto diagnosis = doctor.latest();
  if (diagnosis == nullptr) return samples;
  const auto views = fleet.views();
  const auto uses = services::card_use_of(views, diagnosis->devices);
  for (std::size_t i = 0; i < views.size(); ++i) {
    if (!uses[i].memory_bytes) continue;
    samples.push_back({.labels = labels_of(views[i]), .value = static_cast<double>(*uses[i].memory_bytes)});
  }
  return samples;
}

Samples findings(const services::Doctor& doctor) {
  using gpu::Severity;
  Samples samples;
  const auto diagnosis = doctor.latest();
  if (diagnosis == nullptr) return samples;
  for (const auto& [severity, name] :
       {std::pair<Severity, std::string_view>{Severity::error, "error"}, {Severity::warning, "warning"}}) {
    const auto count = std::ranges::count(diagnosis->findings, severity, &gpu::Finding::severity);
    samples.push_back({.labels = label("severity", name), .value = static_cast<double>(count)});
  }
  return samples;
}

void add_cards(metrics::Registry& registry, const fleet::Fleet& fleet, const services::Doctor& doctor) {
  const auto of_card = [&](const char* name, const char* help, std::optional<double> (*value)(const gpu::NvmlDevice&)) {
    registry.sampled(name, help, kGauge, [&doctor, value] { return of_cards(doctor, value); });
  };
  of_card("gbgreg_gpu_memory_bytes", "Memory of the card, by the driver's word.",
          [](const gpu::NvmlDevice& card) { return std::optional(static_cast<double>(card.memory_bytes)); });
  of_card("gbgreg_gpu_memory_used_bytes", "Of that, what is taken, by whomever.",
          [](const gpu::NvmlDevice& card) { return std::optional(static_cast<double>(card.memory_used_bytes)); });
  of_card("gbgreg_gpu_utilisation_ratio", "How busy the card was when it was last looked at, from 0 to 1.",
          [](const gpu::NvmlDevice& card) -> std::optional<double> {
            if (!card.utilisation_percent) return std::nullopt;
            return static_cast<double>(*card.utilisation_percent) / 100;
          });
  registry.sampled("gbgreg_worker_gpu_memory_bytes", "What the worker holds of the cards, by the driver's word.",
                   kGauge, [&fleet, &doctor] { return card_memory_of_workers(fleet, doctor); });
  registry.sampled("gbgreg_doctor_findings", "What the doctor found at fault when it last looked.", kGauge,
                   [&doctor] { return findings(doctor); });
}

void add_stores(metrics::Registry& registry, const services::StoresWatch& stores) {
  registry.sampled("gbgreg_database_up", "1 when the database answers.", kGauge, [&stores] {
    const auto seen = stores.last();
    return Samples{
        {.labels = label("kind", stores.database_kind()), .value = seen && seen->database_answers ? 1.0 : 0.0}};
  });
  registry.sampled("gbgreg_storage_up", "1 when the folder of uploads can be written to.", kGauge, [&stores] {
    const auto seen = stores.last();
    return one(seen && seen->folder_is_writable ? 1 : 0);
  });
  registry.sampled("gbgreg_storage_free_bytes", "Place that is left where uploads are.", kGauge, [&stores] {
    const auto seen = stores.last();
    return seen ? one(seen->free_bytes) : Samples{};
  });
}

void add_uploads(metrics::Registry& registry, const services::Intake& intake) {
  registry.sampled("gbgreg_uploads_total", "Files stored since the start, without those of projects.", kCounter,
                   [&intake] { return one(intake.figures().stored); });
  registry.sampled("gbgreg_upload_bytes_total", "Bytes of these files.", kCounter,
                   [&intake] { return one(intake.figures().stored_bytes); });
  registry.sampled("gbgreg_uploads_in_flight", "Files on their way in.", kGauge,
                   [&intake] { return one(intake.figures().incoming); });
  registry.sampled("gbgreg_downloads_in_flight", "Stored files on their way out.", kGauge,
                   [&intake] { return one(intake.figures().outgoing); });
}

void add_connections(metrics::Registry& registry, const net::Server& server) {
  registry.sampled("gbgreg_connections", "Open client connections.", kGauge,
                   [&server] { return one(server.figures().connections); });
  registry.sampled("gbgreg_connections_total", "Client connections accepted.", kCounter,
                   [&server] { return one(server.figures().accepted); });
  registry.sampled("gbgreg_connections_refused_total", "Client connections over the limit.", kCounter,
                   [&server] { return one(server.figures().refused); });
}

}  // namespace

void add_gauges(metrics::Registry& registry, const Gauged& from, const std::string& version) {
  add_workers(registry, from.fleet);
  add_cards(registry, from.fleet, from.doctor);
  add_stores(registry, from.stores);
  add_uploads(registry, from.intake);
  add_connections(registry, from.server);
  registry.sampled("gbgreg_build_info", "1, with the version that runs.", kGauge,
                   [version] { return Samples{{.labels = label("version", version), .value = 1}}; });
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const double started = std::chrono::duration<double>(now).count();
  registry.sampled("gbgreg_start_time_seconds", "When the gateway was started, in seconds since 1970.", kGauge,
                   [started] { return one(started); });
}

}  // namespace gbgreg::app
