#include "http/pipeline.h"

#include <fmt/compile.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <cmath>
#include <iterator>

#include "http/audit_note.h"
#include "http/cors.h"
#include "http/record.h"
#include "net/io_thread.h"

namespace gbgreg::http {
namespace {

constexpr std::array kStatuses{200, 202, 204, 206, 304, 400, 401, 403, 404, 405, 408, 409, 413,
                               414, 415, 416, 422, 429, 431, 499, 500, 501, 502, 503, 504, 505};

// What escaped a handler, as an error. Cancellation arrives as an exception when a task went on after its client left.
Error from_exception(const std::exception_ptr& escaped, const std::string& request_id) {
  std::string detail = "unknown exception";
  try {
    std::rethrow_exception(escaped);
  } catch (const boost::system::system_error& error) {
    if (error.code() == boost::asio::error::operation_aborted) {
      return {.kind = Kind::cancelled, .code = "client_left", .message = "The client left."};
    }
    detail = error.what();
  } catch (const std::exception& error) {
    detail = error.what();
  } catch (...) {
    // Only what is not a std::exception comes here; its text is unknown.
  }
  spdlog::error("request {} failed by a mistake of ours: {}", request_id, detail);
  return {.kind = Kind::internal,
          .code = "internal",
          .message = "Something went wrong inside gbgreg. The log says more under this request id.",
          .detail = detail};
}

// What every answer carries, a refusal included.
void add_common_fields(const Call& call) {
  call.exchange.add_field("X-Request-Id", call.request_id);
  call.exchange.add_field("X-Content-Type-Options", "nosniff");
}

}  // namespace

Pipeline::Pipeline(std::vector<Route> routes, const Options& options, metrics::Registry& registry, const Clock& clock,
                   KeyGate* gate, records::Recorder* recorder, services::Audit* audit, traces::Tracer* tracer)
    : routes_(std::move(routes)),
      guard_(registry.lanes(), WebGuard(options)),
      clock_(clock),
      gate_(gate),
      recorder_(recorder),
      audit_(audit),
      tracer_(tracer),
      bytes_in_(registry.counter("gbgreg_http_request_body_bytes_total", "Bytes of request bodies read.")),
      bytes_out_(registry.counter("gbgreg_http_response_body_bytes_total", "Bytes of answers' bodies written.")),
      broken_(registry.counter("gbgreg_answers_broken_total", "Answers that ended early after they had begun.")),
      key_refusals_(registry) {
  for (const Route& route : routes_) figures_.push_back(make_figures(registry, route.method, route.pattern));
  figures_.push_back(make_figures(registry, "any", "none"));
}

// The concerns, in order:
//   1. request id   first, so that everything after it, an error included, can name the request
//   2. dialect      of the path, so that every refusal is one that its client understands
//   3. web guard    web pages of strangers are turned away before they learn anything, even which paths there are;
//                   for all others every answer from here on is one that their browser lets them read
//   4. route        404 and 405 before anything is read; OPTIONS is answered here
//   5. key          whose it is, whether it counts and has a request left; after the route, which says who may come in,
//                   and after OPTIONS, with which a browser sends no key; before a byte of the body
//   6. limits       the handler's reader refuses a declared length over its bound before a byte of the body
//   7. handler      the only step that differs between routes
//   8. errors       one writer for all of them, unless the answer has begun or nobody is left to read it
//   9. metrics      after the answer, so that its status and bytes are known; refusals are counted like the rest
//  10. record       a row of the database, written later by another thread
//  11. audit trail  of what changes something, or was refused
//  12. access log   with everything known, and the end of its trace, if it has one
Task<void> Pipeline::handle(net::Exchange& exchange) {
  const auto sent_id = exchange.head().field("x-request-id");
  const bool usable = sent_id && is_valid_request_id(*sent_id);
  Call call{.exchange = exchange,
            .request_id = usable ? std::string(*sent_id) : new_uuid(clock_.wall()),
            .arrived = clock_.steady()};
  add_common_fields(call);
  if (recorder_ != nullptr && recorder_->keeps_texts()) call.said.emplace();
  const auto trace = tracer_ != nullptr ? tracer_->begin(exchange.head()) : nullptr;
  call.caller.trace_by(trace.get());

  const Route* route = nullptr;
  Result<void> outcome;
  std::exception_ptr escaped;
  try {
    std::optional<keys::Refused> lacking;
    auto found = find_open(call, lacking);
    if (lacking) {
      auto let_in = co_await gate_->let_in_later(call, (*found)->access, *lacking);
      if (!let_in) found = std::unexpected(std::move(let_in.error()));
    }
    if (found) {
      route = *found;
      outcome = co_await (route != nullptr ? route->handle(call) : answer_options(call));
    } else {
      outcome = std::unexpected(std::move(found.error()));
    }
  } catch (...) {
    escaped = std::current_exception();
  }
  if (escaped) outcome = std::unexpected(from_exception(escaped, call.request_id));

  const bool can_say_so = !outcome && outcome.error().kind != Kind::cancelled && !exchange.begun();
  // The client may leave in the middle of that, and memory may be short; it is recorded all the same.
  try {
    if (can_say_so) co_await write_error(call, outcome.error());
  } catch (...) {
    outcome = std::unexpected(from_exception(std::current_exception(), call.request_id));
  }
  record(call, route, outcome);
  end_trace(trace.get(), call, route, outcome);
}

Task<void> Pipeline::refuse(net::Exchange& exchange, Error error) {
  Call call{.exchange = exchange, .request_id = new_uuid(clock_.wall()), .arrived = clock_.steady()};
  add_common_fields(call);
  try {
    co_await write_error(call, error);
  } catch (...) {
    error = from_exception(std::current_exception(), call.request_id);
  }
  record(call, nullptr, std::unexpected(std::move(error)));
}

Result<const Route*> Pipeline::find_open(Call& call, std::optional<keys::Refused>& lacking) {
  auto found = find(call);
  if (!found || *found == nullptr || gate_ == nullptr) return found;
  auto let_in = gate_->let_in(call, (*found)->access);
  if (!let_in) return std::unexpected(std::move(let_in.error()));
  lacking = *let_in;
  return found;
}

Result<const Route*> Pipeline::find(Call& call) {
  const net::RequestHead& head = call.exchange.head();
  const Route* plain = plain_routes_.find(head.method, head.path);
  call.dialect = plain != nullptr ? plain->dialect : dialect_at(routes_, head.path);
  // Anthropic's own name for it, on refusals too: its client has no other id to show.
  if (call.dialect == Dialect::anthropic) call.exchange.add_field("request-id", call.request_id);
  auto page = guard_.read(call.exchange.io().index()).check(head);
  if (!page) return std::unexpected(std::move(page.error()));
  if (*page) add_cors_fields(call.exchange, **page);
  if (plain != nullptr) return plain;
  auto match = find_route(routes_, head.method, head.path);
  if (!match) {
    // "*" is the gateway as a whole (RFC 9110, 9.3.7).
    const bool is_there = match.error().kind == Kind::method_not_allowed || head.path == "*";
    if (is_there && head.method == "OPTIONS") return nullptr;
    return std::unexpected(std::move(match.error()));
  }
  call.dialect = match->route->dialect;
  call.parameter = std::move(match->parameter);
  call.rest = std::move(match->rest);
  return match->route;
}

Task<Result<void>> Pipeline::answer_options(Call& call) {
  const net::RequestHead& head = call.exchange.head();
  auto fields = options_fields(head, allowed_methods(routes_, head.path));
  co_return co_await call.exchange.respond(204, "", "", std::move(fields));
}

Task<void> Pipeline::write_error(Call& call, const Error& error) {
  net::HeaderFields fields;
  if (error.kind == Kind::method_not_allowed) {
    fields.push_back({.name = "Allow", .value = allowed_methods(routes_, call.exchange.head().path)});
  }
  if (error.kind == Kind::unauthorized) {
    fields.push_back({.name = "WWW-Authenticate", .value = "Bearer realm=\"gbgreg\""});
  }
  if (error.retry_after_seconds) {
    fields.push_back({.name = "Retry-After", .value = std::to_string(*error.retry_after_seconds)});
  }
  const std::string body = http::write_error(call.dialect, error, call.request_id);
  // A client that does not wait for its error has lost nothing that we could still give it.
  (void)co_await call.exchange.respond(http_status(error.kind), kJson, body, std::move(fields));
}

Pipeline::RouteFigures Pipeline::make_figures(metrics::Registry& registry, std::string_view method,
                                              std::string_view pattern) {
  RouteFigures figures;
  figures.name.append(method).append(" ").append(pattern);
  const std::string route = metrics::label("method", method) + "," + metrics::label("route", pattern);
  const auto counter = [&](const std::string& status) {
    figures.by_status.push_back(
        &registry.counter("gbgreg_http_requests_total", "Requests answered, by route and status.",
                          route + "," + metrics::label("status", status), metrics::Shown::once_counted));
  };
  for (const int status : kStatuses) counter(std::to_string(status));
  counter("other");
  figures.duration =
      &registry.histogram("gbgreg_http_request_seconds", "From the head of a request to the end of its answer.", route,
                          metrics::Shown::once_counted);
  return figures;
}

void Pipeline::end_trace(traces::RequestTrace* trace, const Call& call, const Route* route,
                         const Result<void>& outcome) {
  if (trace == nullptr) return;
  const bool left = !outcome && outcome.error().kind == Kind::cancelled;
  const keys::Key* key = call.caller.key();
  traces::EndedRequest ended;
  ended.status = left ? http_status(Kind::cancelled) : call.exchange.status();
  ended.request_id = call.request_id;
  if (route != nullptr) ended.method = route->method;
  if (route != nullptr) ended.route = route->pattern;
  if (key != nullptr) ended.key_id = key->id;
  if (!outcome) ended.error = outcome.error().code;
  trace->end(ended);
}

void Pipeline::record(Call& call, const Route* route, const Result<void>& outcome) {
  net::Exchange& exchange = call.exchange;
  const int lane = exchange.io().index();
  const bool left = !outcome && outcome.error().kind == Kind::cancelled;
  const int status = left ? http_status(Kind::cancelled) : exchange.status();
  const double seconds = std::chrono::duration<double>(clock_.steady() - call.arrived).count();

  RouteFigures& figures =
      figures_[route == nullptr ? routes_.size() : static_cast<std::size_t>(route - routes_.data())];
  const auto known = std::ranges::find(kStatuses, status) - kStatuses.begin();
  figures.by_status[static_cast<std::size_t>(known)]->add(lane);
  figures.duration->observe(lane, seconds);
  if (!outcome && !left && exchange.begun() && status < 400) broken_.add(lane);
  if (!outcome) key_refusals_.count(lane, outcome.error());
  bytes_in_.add(lane, exchange.body_bytes_read());
  bytes_out_.add(lane, exchange.body_bytes_written());

  if (recorder_ != nullptr && route != nullptr && is_on_record(*route, status)) {
    recorder_->record(lane, record_of(call, figures.name, status, seconds * 1000, outcome, clock_.wall()));
  }
  if (audit_ != nullptr) note_deed(*audit_, call, routes_, route, outcome);
  log_access(call, status, seconds, outcome);
}

// One line a request, so it is put together by a format that was read when this was compiled.
void Pipeline::log_access(const Call& call, int status, double seconds, const Result<void>& outcome) {
  if (!spdlog::should_log(spdlog::level::info)) return;
  // A request that could not be read has no method and no path.
  const auto or_dash = [](std::string_view text) { return text.empty() ? std::string_view("-") : text; };
  const net::Exchange& exchange = call.exchange;
  const auto tenths = std::llround(seconds * 1e4);  // Of a millisecond.
  const keys::Key* key = call.caller.key();
  spdlog::memory_buf_t line;
  // The path without its query: queries may hold what people search for.
  fmt::format_to(std::back_inserter(line),
                 FMT_COMPILE("access id={} peer={} method={} path={} status={} in={} out={} ms={}.{} key={} role={} "
                             "model={} error={} detail={}"),
                 call.request_id, or_dash(exchange.peer()), or_dash(exchange.head().method),
                 or_dash(exchange.head().path), status, exchange.body_bytes_read(), exchange.body_bytes_written(),
                 tenths / 10, tenths % 10, key != nullptr ? std::string_view(key->id) : "-", or_dash(call.use.role),
                 or_dash(call.use.model), outcome ? std::string_view("-") : std::string_view(outcome.error().code),
                 outcome ? std::string_view("-") : or_dash(outcome.error().detail));
  spdlog::info(std::string_view(line.data(), line.size()));
}

}  // namespace gbgreg::http
