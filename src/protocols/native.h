// gbgreg's own shapes: errors, the `gbgreg` block, routing decisions, health. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "gpu/facts.h"
#include "gpu/finding.h"
#include "llm/decision.h"
#include "llm/llm.h"
#include "protocols/json_writer.h"
#include "protocols/options.h"

namespace gbgreg::protocols::native {

// {"error":{"code","message","details"?,"request_id"}}: always valid UTF-8 JSON; Error::detail stays out of it.
std::string write_error(const Error& error, std::string_view request_id);

// The `gbgreg` block as the next value of a JSON text that is being written.
void write_notes(JsonWriter& json, const llm::AnswerNotes& notes);

struct RouteAsked {
  llm::Request request;
  std::vector<std::string> upload_ids = {};  // As ollama::Asked's.
};

// The body of POST /api/route: what /api/generate takes, or {"messages":[{role,content,images?}],…}.
// Errors: as ollama::parse_generate.
Result<RouteAsked> parse_route(std::string_view body, const Limits& limits);
std::string write_decision(const llm::Decision& decision);

// A process that holds memory on a card; without a role when it is none of our workers.
struct GpuHolder {
  std::string role = {};
  std::string model = {};
  std::optional<std::int64_t> bytes = {};
};

// What a worker takes of the cards.
struct CardUse {
  std::optional<std::int64_t> memory_bytes = {};       // By the driver's word of its process.
  std::optional<double> tokens_per_second_bound = {};  // What the card's memory allows at most.
};

// What /health says of a backend, as the members of an object that is being written.
void write_backend_health(JsonWriter& json, const llm::BackendView& backend, const CardUse& use);

struct GpuDevice {
  std::string id;  // "CUDA0"
  std::string name;
  std::optional<std::int64_t> memory_total_bytes = {};
  std::optional<std::int64_t> memory_free_bytes = {};
  std::optional<std::int64_t> bandwidth_bytes_per_second = {};
  std::optional<int> utilisation_percent = {};
  std::optional<int> utilisation_decoding_percent = {};  // When models on a card were last seen at work.
  std::vector<GpuHolder> processes = {};
};

struct HealthReport {
  std::string status = "healthy";  // "healthy", "degraded", "unhealthy"
  std::string version;
  std::int64_t uptime_seconds = 0;
  std::vector<llm::BackendView> backends = {};
  std::vector<CardUse> card_use = {};  // One for each backend, or none at all.
  struct {
    std::string status = "healthy";
    std::string kind = "sqlite";
  } database = {};
  struct {
    std::string status = "healthy";
    std::optional<std::int64_t> free_bytes = {};
  } storage = {};
  struct {
    std::string status = "absent";  // "ok", "absent", "fault"
    std::vector<GpuDevice> devices = {};
    std::vector<gpu::Finding> findings = {};
  } gpu = {};
};

// A backend that answers: it is ready, or a request starts it. One that is being loaded is not there yet.
bool is_operational(const llm::BackendView& backend);

// The body of GET /health. What was not measured is null, but for `objective_met`: no answer, no objective missed.
// The contract has no word for `draining`; it is "stopped", which it is about to be.
std::string write_health(const HealthReport& report);

struct DoctorReport {
  std::string_view status;  // "ok", "warning", "error"
  std::string_view summary;
  std::span<const gpu::Finding> findings = {};
  std::span<const gpu::NvmlDevice> devices = {};
  double duration_ms = 0;
};

// The body of GET /api/doctor, which `gbgreg doctor --json` prints too.
std::string write_doctor(const DoctorReport& report);

// What a new configuration has changed in the running gateway.
struct ReloadReport {
  std::vector<std::string> changed = {};        // A sentence each.
  std::vector<std::string> unchanged = {};      // Roles.
  std::vector<std::string> needs_restart = {};  // Keys of the configuration.
};

// The body of POST /api/reload.
std::string write_reload(const ReloadReport& report);

// {"version":"…"}
std::string write_version(std::string_view version);

}  // namespace gbgreg::protocols::native
