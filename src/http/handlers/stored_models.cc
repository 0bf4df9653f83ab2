#include "http/handlers/stored_models.h"

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <memory>

#include "protocols/native.h"
#include "protocols/ollama.h"

namespace gbgreg::http {
namespace {

// How often a client hears how far it is.
constexpr std::chrono::milliseconds kTellEvery{100};

using Timer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;

void write_native_error(std::string& out, const Error& error, std::string_view request_id) {
  out += protocols::native::write_error(error, request_id);
  out += '\n';
}

}  // namespace

Task<Result<void>> StoredModelHandlers::pull_as_ollama(Call& call) {
  return pull_in(call, {protocols::ollama::write_pull_step, protocols::ollama::write_error});
}

Task<Result<void>> StoredModelHandlers::pull(Call& call) {
  return pull_in(call, {protocols::native::write_pull_step, write_native_error});
}

Task<Result<void>> StoredModelHandlers::pull_in(Call& call, Words words) {
  auto body = co_await json_.read(call.exchange);
  if (!body) co_return std::unexpected(std::move(body.error()));
  const auto asked = protocols::parse_pull(body->text, json_.limits());
  if (!asked) co_return std::unexpected(asked.error());
  // What may stand behind it in an address is not needed to know the model, and may be a secret.
  call.target.id = asked->model.substr(0, asked->model.find_first_of("?#"));
  // A client that leaves takes its fetching along: this is then cancelled, and lets it go.
  call.exchange.cancel_when_client_leaves();
  const auto pulling = models_.pull(asked->model);
  if (!pulling) co_return std::unexpected(pulling.error());
  if (asked->stream) co_return co_await stream(call, **pulling, words);
  co_return co_await wait(call, **pulling, words);
}

Task<Result<void>> StoredModelHandlers::stream(Call& call, services::Pulling& pulling, Words words) {
  Timer timer(co_await asio::this_coro::executor);
  std::string out;
  bool has_begun = false;
  while (true) {
    const auto outcome = pulling.outcome();  // Before the news, or the last of them could be missed.
    for (const protocols::PullStep& step : pulling.take()) {
      // Until it is known that there is such a model, the answer may still be an error.
      const bool is_first = step.stage == protocols::PullStep::Stage::manifest;
      words.step(out, step);
      if (is_first || has_begun) continue;
      has_begun = true;
      call.exchange.begin_stream(200, kNdjson, {{.name = "Cache-Control", .value = "no-cache"}});
    }
    if (outcome && !*outcome) {
      if (!has_begun) co_return *outcome;
      words.error(out, outcome->error(), call.request_id);
    }
    if (!out.empty() && has_begun) {
      auto written = co_await call.exchange.write(out);
      if (!written) co_return written;
      out.clear();
    }
    if (outcome) {
      auto finished = co_await call.exchange.finish();
      co_return finished ? *outcome : finished;
    }
    timer.expires_after(kTellEvery);
    co_await timer.async_wait(use_task);
  }
}

Task<Result<void>> StoredModelHandlers::wait(Call& call, services::Pulling& pulling, Words words) {
  Timer timer(co_await asio::this_coro::executor);
  while (true) {
    if (const auto outcome = pulling.outcome()) {
      if (!*outcome) co_return *outcome;
      std::string out;
      words.step(out, {.stage = protocols::PullStep::Stage::done});
      co_return co_await call.exchange.respond(200, kJson, out);
    }
    timer.expires_after(kTellEvery);
    co_await timer.async_wait(use_task);
  }
}

Task<Result<void>> StoredModelHandlers::remove(Call& call) {
  auto body = co_await json_.read(call.exchange);
  if (!body) co_return std::unexpected(std::move(body.error()));
  auto asked = protocols::ollama::parse_model(body->text, json_.limits());
  if (!asked) co_return std::unexpected(std::move(asked.error()));
  call.target.id = *asked;
  auto removed = co_await models_.remove(std::move(*asked));
  if (!removed) co_return removed;
  co_return co_await call.exchange.respond(200, "text/plain; charset=utf-8", "");
}

Task<Result<void>> StoredModelHandlers::list(Call& call) {
  const auto all = co_await models_.list();
  co_return co_await call.exchange.respond(200, kJson, protocols::native::write_models(all));
}

}  // namespace gbgreg::http
