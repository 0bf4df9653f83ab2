// A row of gbgreg_requests as SOCI reads and writes it; for the files of RequestStore.
#pragma once

#include <string_view>

#include "storage/requests.h"

namespace gbgreg::storage {

inline constexpr std::string_view kRequestColumns =
    "id, request_id, created_at, route, role, model, backend, device, key_id, status, error_code, complexity, "
    "prompt_tokens, completion_tokens, queue_ms, ttft_ms, total_ms, objective_ms";

inline constexpr std::string_view kRequestPlaces = "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?";

// `bind` of each value, in the order of kRequestColumns.
template <class Bind>
void each_column(const RequestRow& row, Bind& bind) {
  bind(row.id), bind(row.request_id), bind(row.created_at), bind(row.route), bind(row.role), bind(row.model);
  bind(row.backend), bind(row.device), bind(row.key_id), bind(row.status), bind(row.error_code), bind(row.complexity);
  bind(row.prompt_tokens), bind(row.completion_tokens), bind(row.queue_ms), bind(row.ttft_ms), bind(row.total_ms);
  bind(row.objective_ms);
}

// One row as SOCI binds it, in either direction. It must not move while a statement uses it.
struct BoundRequest {
  RequestRow row;
  long long status = 0, complexity = 0, prompt_tokens = 0, completion_tokens = 0, objective_ms = 0;

  void take(const RequestRow& from) {
    row = from;
    status = from.status;
    complexity = from.complexity;
    prompt_tokens = from.prompt_tokens;
    completion_tokens = from.completion_tokens;
    objective_ms = from.objective_ms;
  }
  RequestRow give() const {
    RequestRow out = row;
    out.status = status;
    out.complexity = complexity;
    out.prompt_tokens = prompt_tokens;
    out.completion_tokens = completion_tokens;
    out.objective_ms = objective_ms;
    return out;
  }
  // By position, in the order of kRequestColumns.
  template <class Bind>
  void each(Bind bind) {
    bind(row.id), bind(row.request_id), bind(row.created_at), bind(row.route), bind(row.role), bind(row.model);
    bind(row.backend), bind(row.device), bind(row.key_id), bind(status), bind(row.error_code), bind(complexity);
    bind(prompt_tokens), bind(completion_tokens), bind(row.queue_ms), bind(row.ttft_ms), bind(row.total_ms);
    bind(objective_ms);
  }
};

}  // namespace gbgreg::storage
