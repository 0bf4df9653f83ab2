// One request on its way through the pipeline, and the shape of what answers it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "http/body_budget.h"
#include "http/caller.h"
#include "http/dialect.h"
#include "net/exchange.h"

namespace gbgreg::http {

// What a handler is given. It lives as long as the request.
struct Call {
  net::Exchange& exchange;
  std::string request_id;
  SteadyTime arrived;
  std::string parameter = {};         // What stood for {id} in the path, decoded; empty when the route has none.
  std::string rest = {};              // What stood for {path...} at its end, likewise.
  Dialect dialect = Dialect::native;  // In which errors are said; the route's, unless a handler knows better.
  ExchangeCaller caller{exchange};
  // For the access log, set by handlers that ask a model.
  std::string role = {};
  std::string model = {};
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
