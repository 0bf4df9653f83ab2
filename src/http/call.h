// One request on its way through the pipeline, and the shape of what answers it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "http/body_budget.h"
#include "http/caller.h"
#include "http/dialect.h"
#include "net/exchange.h"
#include "records/said.h"

namespace gbgreg::http {

// What became of a question to a model, for the access log and the record of the request. All of it is empty where none
// was asked.
struct ModelUse {
  std::string role = {};
  std::string model = {};
  std::string backend = {};
  std::string device = {};
  int complexity = 0;    // 1 to 5.
  int objective_ms = 0;  // Of the role.
  double queue_ms = 0;   // Of the last attempt.
  double ttft_ms = 0;    // Of an answer that is whole, as are the tokens.
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
};

// What a change was about, for the audit trail.
struct Target {
  std::string id = {};  // Where it is empty, it is what stood for {id}.
  std::string name = {};
};

// What a handler is given. It lives as long as the request.
struct Call {
  net::Exchange& exchange;
  std::string request_id;
  SteadyTime arrived;
  std::string parameter = {};         // What stood for {id} in the path, decoded; empty when the route has none.
  std::string rest = {};              // What stood for {path...} at its end, likewise.
  Dialect dialect = Dialect::native;  // In which errors are said; the route's, unless a handler knows better.
  ExchangeCaller caller{exchange};
  ModelUse use = {};                       // Set by handlers that ask a model.
  std::optional<records::Said> said = {};  // Where it is to be kept; likewise.
  // For the audit trail: of what, set by handlers of routes that have an action (routes.h), and the action of a route
  // that has none, where it was asked for a change all the same.
  Target target = {};
  std::string_view action = {};
};

// Answers a call, or returns an Error, which the pipeline's error writer turns into the answer. An Error after the
// answer has begun breaks the connection, which is how a client of HTTP learns that its answer is not whole.
using Handle = std::function<Task<Result<void>>(Call&)>;

inline constexpr std::string_view kJson = "application/json; charset=utf-8";
inline constexpr std::string_view kNdjson = "application/x-ndjson";

// The body of a request whose route takes JSON, and its share of the memory for all of them.
struct JsonBody {
  std::string text = {};
  BodyBudget::Share share = {};

  // Once it is parsed. The share stays, as large as the text was: what was parsed from it is held on and is as large.
  void drop_text();
  // For what a request brings in from elsewhere. Errors: unavailable (the budget is spent).
  Result<void> hold_more(std::uint64_t bytes);
};

// The error for a body, or for what is made of it, that the budget has no room for.
std::unexpected<Error> budget_spent();

// The whole body of a request whose route takes JSON, which is parsed in one pass and so held in memory, up to
// `bytes_max`. A declared length over the bound is refused before a byte is read.
// Errors: too_large, unavailable (the budget is spent), and what Exchange::read_body says.
Task<Result<JsonBody>> read_json_body(net::Exchange& exchange, std::uint64_t bytes_max, BodyBudget& budget);

}  // namespace gbgreg::http
