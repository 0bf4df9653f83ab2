#include "protocols/native.h"

#include <algorithm>

#include "protocols/ask_body.h"

namespace gbgreg::protocols::native {
namespace {

void write_complexity(JsonWriter& json, const llm::Complexity& complexity) {
  json.open_object();
  json.key("level").number(complexity.level);
  json.key("score").rounded(complexity.score);
  json.close_object();
}

void write_source(JsonWriter& json, const llm::Source& source) {
  json.open_object();
  if (!source.upload_id.empty()) json.key("upload_id").text(source.upload_id);
  if (!source.project_id.empty()) json.key("project_id").text(source.project_id);
  json.key("path").text(source.path);
  if (source.first_line > 0) {
    json.key("lines").open_array();
    json.number(source.first_line);
    json.number(source.last_line);
    json.close_array();
  }
  json.close_object();
}

std::string_view health_state_name(llm::BackendState state) {
  return llm::state_name(state == llm::BackendState::draining ? llm::BackendState::stopped : state);
}

void write_text_or_null(JsonWriter& json, std::string_view text) {
  if (text.empty()) {
    json.null();
  } else {
    json.text(text);
  }
}

// Without what was read to find it, which names files of this machine, unless it is asked for.
enum class Evidence : std::uint8_t { left_out, told };
void write_findings(JsonWriter& json, std::span<const gpu::Finding> findings, Evidence evidence) {
  json.open_array();
  for (const gpu::Finding& finding : findings) {
    json.open_object();
    json.key("code").text(finding.code);
    json.key("severity").text(gpu::severity_name(finding.severity));
    json.key("message").text(finding.message);
    if (evidence == Evidence::told) {
      json.key("evidence").open_array();
      for (const std::string& line : finding.evidence) json.text(line);
      json.close_array();
    }
    json.key("fix").text(finding.fix);
    json.close_object();
  }
  json.close_array();
}

void write_gpu(JsonWriter& json, const HealthReport& report) {
  json.open_object();
  json.key("status").text(report.gpu.status);
  json.key("devices").open_array();
  for (const auto& device : report.gpu.devices) {
    json.open_object();
    json.key("id").text(device.id);
    json.key("name").text(device.name);
    json.key("memory_total_bytes").number_or_null(device.memory_total_bytes);
    json.key("memory_free_bytes").number_or_null(device.memory_free_bytes);
    json.key("bandwidth_bytes_per_second").number_or_null(device.bandwidth_bytes_per_second);
    json.key("utilisation_percent").number_or_null(device.utilisation_percent);
    json.key("utilisation_decoding_percent").number_or_null(device.utilisation_decoding_percent);
    json.key("processes").open_array();
    for (const GpuHolder& holder : device.processes) {
      json.open_object();
      json.key("role");
      write_text_or_null(json, holder.role);
      json.key("model");
      write_text_or_null(json, holder.model);
      json.key("bytes").number_or_null(holder.bytes);
      json.close_object();
    }
    json.close_array();
    json.close_object();
  }
  json.close_array();
  json.key("findings");
  write_findings(json, report.gpu.findings, Evidence::left_out);
  json.close_object();
}

}  // namespace

void write_backend_health(JsonWriter& json, const llm::BackendView& backend, const CardUse& use) {
  json.key("role").text(backend.role);
  json.key("model").text(backend.model);
  json.key("state").text(health_state_name(backend.state));
  json.key("port").number_or_null(backend.port);
  json.key("device").text(backend.placement.device);
  json.key("gpu_layers").number_or_null(backend.placement.gpu_layers);
  json.key("total_layers").number_or_null(backend.placement.total_layers);
  json.key("projector");
  write_text_or_null(json, backend.placement.projector.value_or(""));
  json.key("gpu_memory_bytes").number_or_null(use.memory_bytes);
  json.key("tokens_per_second").rounded_or_null(backend.tokens_per_second);
  json.key("tokens_per_second_bound").rounded_or_null(use.tokens_per_second_bound);
  json.key("objective_ms").number(backend.objective_ms);
  json.key("p95_ms").rounded_or_null(backend.total_p95_ms);
  json.key("objective_met").boolean(!backend.total_p95_ms || *backend.total_p95_ms <= backend.objective_ms);
  json.key("embeddings").boolean(backend.embeds);
  json.key("demo").boolean(backend.is_demo);
  json.key("detail");
  write_text_or_null(json, backend.detail);
}

std::string write_error(const Error& error, std::string_view request_id) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("error").open_object();
  json.key("code").text(error.code.empty() ? kind_name(error.kind) : std::string_view(error.code));
  json.key("message").text(error.message);
  if (!error.details_json.empty()) json.key("details").raw(error.details_json);
  json.key("request_id").text(request_id);
  json.close_object();
  json.close_object();
  return out;
}

void write_notes(JsonWriter& json, const llm::AnswerNotes& notes) {
  json.open_object();
  json.key("request_id").text(notes.request_id);
  json.key("role").text(notes.role);
  json.key("model").text(notes.model);
  json.key("backend").text(notes.backend);
  json.key("device").text(notes.device);
  json.key("complexity");
  write_complexity(json, notes.complexity);
  json.key("reason").text(notes.reason);
  json.key("queue_ms").rounded(notes.queue_ms);
  json.key("ttft_ms").rounded(notes.ttft_ms);
  json.key("total_ms").rounded(notes.total_ms);
  json.key("truncated").open_object();
  json.key("kept_tokens").number(notes.kept_tokens);
  json.key("dropped_tokens").number(notes.dropped_tokens);
  json.close_object();
  json.key("sources").open_array();
  for (const llm::Source& source : notes.sources) write_source(json, source);
  json.close_array();
  if (!notes.ignored_options.empty()) {
    json.key("ignored_options").open_array();
    for (const auto& name : notes.ignored_options) json.text(name);
    json.close_array();
  }
  json.close_object();
}

Result<RouteAsked> parse_route(std::string_view body, const Limits& limits) {
  auto ask = parse_ask(body, limits, AskForm::prompt_or_messages);
  if (!ask) return std::unexpected(std::move(ask.error()));
  return RouteAsked{.request = std::move(ask->request), .upload_ids = std::move(ask->upload_ids)};
}

std::string write_decision(const llm::Decision& decision) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("role").text(decision.role);
  json.key("model").text(decision.model);
  json.key("backend").text(decision.backend);
  json.key("complexity");
  write_complexity(json, decision.complexity);
  json.key("confidence").rounded(decision.confidence);
  json.key("signals").open_array();
  for (const auto& signal : decision.signals) {
    json.open_object();
    json.key("name").text(signal.name);
    json.key("value").rounded(signal.value);
    json.key("weight").rounded(signal.weight);
    json.close_object();
  }
  json.close_array();
  json.key("predicted").open_object();
  json.key("queue_ms").rounded(decision.predicted.queue_ms);
  json.key("ttft_ms").rounded(decision.predicted.ttft_ms);
  json.key("total_ms").rounded(decision.predicted.total_ms);
  json.key("tokens").number(decision.predicted.tokens);
  json.close_object();
  json.key("alternatives").open_array();
  for (const auto& alternative : decision.alternatives) {
    json.open_object();
    json.key("role").text(alternative.role);
    json.key("model").text(alternative.model);
    json.key("score").rounded(alternative.score);
    json.key("why_not").text(alternative.why_not);
    json.close_object();
  }
  json.close_array();
  json.key("reason").text(decision.reason);
  json.close_object();
  return out;
}

bool is_operational(const llm::BackendView& backend) {
  return backend.state == llm::BackendState::ready || backend.state == llm::BackendState::sleeping;
}

std::string write_health(const HealthReport& report) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("status").text(report.status);
  json.key("version").text(report.version);
  json.key("uptime_seconds").number(report.uptime_seconds);
  json.key("models").open_object();
  json.key("operational").number(static_cast<std::int64_t>(std::ranges::count_if(report.backends, is_operational)));
  json.key("total").number(static_cast<std::int64_t>(report.backends.size()));
  json.key("roles").open_array();
  for (std::size_t i = 0; i < report.backends.size(); ++i) {
    json.open_object();
    write_backend_health(json, report.backends[i], i < report.card_use.size() ? report.card_use[i] : CardUse{});
    json.close_object();
  }
  json.close_array();
  json.close_object();
  json.key("database").open_object();
  json.key("status").text(report.database.status);
  json.key("kind").text(report.database.kind);
  json.close_object();
  json.key("storage").open_object();
  json.key("status").text(report.storage.status);
  json.key("free_bytes").number_or_null(report.storage.free_bytes);
  json.close_object();
  json.key("gpu");
  write_gpu(json, report);
  json.close_object();
  return out;
}

std::string write_doctor(const DoctorReport& report) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("status").text(report.status);
  json.key("summary").text(report.summary);
  json.key("findings");
  write_findings(json, report.findings, Evidence::told);
  json.key("devices").open_array();
  for (const gpu::NvmlDevice& device : report.devices) {
    json.open_object();
    json.key("id").text(device.uuid);
    json.key("name").text(device.name);
    json.key("memory_total_bytes").number(static_cast<std::int64_t>(device.memory_bytes));
    json.key("memory_used_bytes").number(static_cast<std::int64_t>(device.memory_used_bytes));
    json.key("utilisation_percent").number_or_null(device.utilisation_percent);
    json.close_object();
  }
  json.close_array();
  json.key("duration_ms").rounded(report.duration_ms);
  json.close_object();
  return out;
}

std::string write_reload(const ReloadReport& report) {
  std::string out;
  JsonWriter json(out);
  const auto list = [&](std::string_view key, const std::vector<std::string>& items) {
    json.key(key).open_array();
    for (const std::string& item : items) json.text(item);
    json.close_array();
  };
  json.open_object();
  json.key("reloaded").boolean(true);
  list("changed", report.changed);
  list("unchanged", report.unchanged);
  list("needs_restart", report.needs_restart);
  json.close_object();
  return out;
}

std::string write_version(std::string_view version) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("version").text(version);
  json.close_object();
  return out;
}

}  // namespace gbgreg::protocols::native
