#include "http/handlers/screenshots.h"

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/json.hpp>

#include "http/query.h"
#include "http/upload_form.h"
#include "http/upload_json.h"
#include "protocols/native.h"

namespace gbgreg::http {
namespace {

namespace json = boost::json;

constexpr UploadForm::Field kFormFields[] = {{.name = "prompt", .bytes_max = 16 * 1024},
                                             {.name = "wait", .bytes_max = 16}};
constexpr std::size_t kSearchBytesMax = 200;
constexpr std::string_view kEventStream = "text/event-stream; charset=utf-8";
// How soon a change is told, and how long nothing is: proxies close what is silent for a minute.
constexpr std::chrono::milliseconds kLookEvery{100};
constexpr std::chrono::seconds kHeartbeatEvery{15};
constexpr std::string_view kHeartbeat = ": nothing new\n\n";

using Timer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;

json::value or_null(const std::optional<std::string>& text) { return text ? json::value(*text) : json::value(nullptr); }

json::object to_json(const storage::Analysis& analysis) {
  const bool is_known = analysis.width > 0;
  json::object object{{"id", analysis.id},
                      {"upload_id", analysis.upload_id},
                      {"status", analysis.status},
                      {"role", or_null(analysis.role)},
                      {"model", or_null(analysis.model)},
                      {"prompt", analysis.prompt},
                      {"description", or_null(analysis.description)},
                      {"extracted_text", or_null(analysis.extracted_text)},
                      {"width", is_known ? json::value(analysis.width) : json::value(nullptr)},
                      {"height", is_known ? json::value(analysis.height) : json::value(nullptr)},
                      {"duration_ms", analysis.duration_ms},
                      {"created_at", analysis.created_at},
                      {"finished_at", or_null(analysis.finished_at)}};
  if (analysis.error_code) {
    object["error"] = json::object{{"code", *analysis.error_code}, {"message", analysis.error_message.value_or("")}};
  }
  return object;
}

// True unless the form says otherwise.
Result<bool> read_wait(const std::optional<std::string>& wait) {
  if (!wait || *wait == "true" || *wait == "1") return true;
  if (*wait == "false" || *wait == "0") return false;
  return bad_part(Kind::malformed, "wait", "invalid_parameter", "\"wait\" must be true or false.");
}

Result<storage::AnalysisQuery> parse_query(std::string_view query) {
  storage::AnalysisQuery wanted;
  const auto limit = query_number(query, "limit", wanted.limit);
  if (!limit) return std::unexpected(limit.error());
  auto cursor = query_text(query, "cursor");
  if (!cursor) return std::unexpected(std::move(cursor.error()));
  auto q = query_text(query, "q");
  if (!q) return std::unexpected(std::move(q.error()));
  wanted.limit = *limit;
  wanted.cursor = std::move(*cursor);
  wanted.q = std::move(*q);
  if (wanted.q.size() > kSearchBytesMax) {
    return fail(Kind::malformed, "q_too_long", "q may have at most " + std::to_string(kSearchBytesMax) + " bytes.");
  }
  return wanted;
}

std::string event(std::string_view name, std::string_view data) {
  return "event: " + std::string(name) + "\ndata: " + std::string(data) + "\n\n";
}

}  // namespace

Task<Result<void>> ScreenshotHandlers::upload(Call& call) {
  UploadForm form(call.exchange, intake_, uploads_.upload_bytes_max(), kFormFields);
  auto read = co_await form.read();
  if (!read) co_return read;
  const auto waits = read_wait(form.field("wait"));
  if (!waits) co_return std::unexpected(waits.error());
  // What is done later is nobody's request any more, so nobody's role or tokens would be looked at.
  if (!*waits && (call.caller.is_restricted() || call.caller.is_metered())) {
    co_return fail(
        Kind::forbidden, "key_must_wait",
        "This key has roles or tokens that are limited, so it has to wait for its answers: leave \"wait\" out.");
  }
  services::FileFacts facts;
  auto stored = co_await form.store(std::move(facts));
  if (!stored) co_return std::unexpected(std::move(stored.error()));
  call.target.name = stored->filename;

  call.exchange.cancel_when_client_leaves();
  json::object answer{{"upload", upload_json(*stored)}};
  services::Screenshots::Asked asked{.upload = std::move(*stored),
                                     .prompt = form.field("prompt").value_or(""),
                                     .request_id = call.request_id,
                                     .caller = &call.caller};
  auto analysis = *waits ? co_await screenshots_.analyse(call.exchange.io(), std::move(asked))
                         : co_await screenshots_.enqueue(std::move(asked));
  if (!analysis) co_return std::unexpected(std::move(analysis.error()));
  call.target.id = analysis->id;
  call.use.role = analysis->role.value_or("");
  call.use.model = analysis->model.value_or("");
  answer["analysis"] = to_json(*analysis);
  const std::string body = json::serialize(answer);
  co_return co_await call.exchange.respond(*waits ? 200 : 202, kJson, body);
}

Task<Result<void>> ScreenshotHandlers::list(Call& call) {
  auto query = parse_query(call.exchange.head().query);
  if (!query) co_return std::unexpected(std::move(query.error()));
  const auto page = co_await screenshots_.list(std::move(*query));
  if (!page) co_return std::unexpected(page.error());

  json::array analyses;
  analyses.reserve(page->analyses.size());
  for (const storage::Analysis& analysis : page->analyses) analyses.push_back(to_json(analysis));
  const json::object answer{{"screenshots", std::move(analyses)}, {"next_cursor", or_null(page->next_cursor)}};
  const std::string body = json::serialize(answer);
  co_return co_await call.exchange.respond(200, kJson, body);
}

Task<Result<void>> ScreenshotHandlers::find(Call& call) {
  const auto analysis = co_await screenshots_.find(call.parameter);
  if (!analysis) co_return std::unexpected(analysis.error());
  const std::string body = json::serialize(json::object{{"analysis", to_json(*analysis)}});
  co_return co_await call.exchange.respond(200, kJson, body);
}

Task<Result<void>> ScreenshotHandlers::events(Call& call) {
  net::Exchange& exchange = call.exchange;
  std::uint64_t seen = screenshots_.changes();  // Before it is looked up, or a change between the two would be missed.
  auto analysis = co_await screenshots_.find(call.parameter);
  if (!analysis) co_return std::unexpected(std::move(analysis.error()));
  exchange.cancel_when_client_leaves();
  exchange.begin_stream(200, kEventStream, {{.name = "Cache-Control", .value = "no-cache"}});
  if (exchange.head().method == "HEAD") co_return co_await exchange.finish();

  Timer timer(co_await asio::this_coro::executor);
  std::string news = event("analysis", json::serialize(to_json(*analysis)));
  SteadyTime told = std::chrono::steady_clock::now();
  while (true) {
    if (!news.empty()) {
      auto written = co_await exchange.write(news);
      if (!written) co_return written;
      told = std::chrono::steady_clock::now();
      news.clear();
    }
    const bool is_last = !analysis || analysis->is_finished();
    if (is_last || screenshots_.is_stopping()) co_return co_await exchange.finish();

    timer.expires_after(kLookEvery);
    co_await timer.async_wait(use_task);
    const std::uint64_t now = screenshots_.changes();
    const bool is_silent = std::chrono::steady_clock::now() - told >= kHeartbeatEvery;
    if (now == seen && !is_silent) continue;
    // After a silence even if nothing of the queue has changed: it goes with its upload, which the queue does not see.
    seen = now;
    const std::string status = analysis->status;
    analysis = co_await screenshots_.find(call.parameter);
    if (!analysis) {
      news = event("error", protocols::native::write_error(analysis.error(), call.request_id));
    } else if (analysis->status != status) {
      news = event("analysis", json::serialize(to_json(*analysis)));
    } else if (is_silent) {
      news = kHeartbeat;
    }
  }
}

}  // namespace gbgreg::http
