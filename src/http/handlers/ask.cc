#include "http/handlers/ask.h"

#include <spdlog/spdlog.h>

#include "protocols/native.h"

namespace gbgreg::http {
namespace {

namespace ollama = protocols::ollama;

// A header carries visible ASCII; what is configured or decided may be anything.
std::string header_text(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  for (const char c : text) clean.push_back(c >= 0x20 && c < 0x7f ? c : '?');
  return clean;
}

// The routing decision, for clients that look at headers only.
net::HeaderFields decision_fields(const llm::AnswerNotes& notes) {
  return {{.name = "X-Gbgreg-Role", .value = header_text(notes.role)},
          {.name = "X-Gbgreg-Model", .value = header_text(notes.model)},
          {.name = "X-Gbgreg-Backend", .value = header_text(notes.backend)},
          {.name = "X-Gbgreg-Complexity", .value = std::to_string(notes.complexity.level)},
          {.name = "X-Gbgreg-Reason", .value = header_text(notes.reason)}};
}

std::chrono::nanoseconds nanoseconds(double milliseconds) {
  return std::chrono::nanoseconds{static_cast<std::int64_t>(milliseconds * 1e6)};
}

// `notes` must outlive what is returned.
ollama::GenerateFinal final_of(const services::Answer& answer, std::string_view created_at) {
  return {.model = answer.notes.model,
          .created_at = created_at,
          .reason = ollama::done_reason(answer.completion.reason),
          .usage = answer.completion.usage,
          .total = nanoseconds(answer.notes.total_ms),
          .load = answer.load,
          .notes = &answer.notes};
}

// Notes in the call which model it went to, for the access log.
void note_choice(Call& call, const llm::AnswerNotes& notes) {
  call.role = notes.role;
  call.model = notes.model;
}

// Keeps the text until it is whole.
class WholeSink final : public services::AnswerSink {
 public:
  // Far beyond what any context holds; a worker that goes on for ever is stopped here.
  static constexpr std::size_t kTextBytesMax = 64 * 1024 * 1024;

  explicit WholeSink(Call& call) : call_(call) {}
  std::string& kept() { return text_; }

  void chosen(const llm::AnswerNotes& notes) override { note_choice(call_, notes); }
  Task<Result<void>> text(std::string_view piece) override {
    if (text_.size() + piece.size() > kTextBytesMax) {
      co_return fail(Kind::backend_failed, "answer_too_long", "The model did not stop; its answer was broken off.");
    }
    text_.append(piece);
    co_return Result<void>{};
  }
  bool start_over() override {
    text_.clear();
    return true;
  }

 private:
  Call& call_;
  std::string text_;
};

// Sends each piece as a line as soon as it comes.
class StreamSink final : public services::AnswerSink {
 public:
  StreamSink(Call& call, const Clock& clock) : call_(call), clock_(clock) {}

  void chosen(const llm::AnswerNotes& notes) override {
    note_choice(call_, notes);
    fields_ = decision_fields(notes);
    model_ = notes.model;
  }

  Task<Result<void>> text(std::string_view piece) override {
    line_.clear();
    ollama::write_generate_piece(line_, model_, rfc3339(clock_.wall()), piece);
    co_return co_await send_line();
  }

  bool start_over() override { return !call_.exchange.begun(); }

  // The last line, and the end.
  Task<Result<void>> finish(std::string line) {
    line_ = std::move(line);
    auto sent = co_await send_line();
    if (!sent) co_return sent;
    co_return co_await call_.exchange.finish();
  }

 private:
  Task<Result<void>> send_line() {
    if (!call_.exchange.begun()) {
      auto begun = co_await call_.exchange.begin_stream(200, kNdjson, std::move(fields_));
      if (!begun) co_return begun;
    }
    co_return co_await call_.exchange.write(line_);
  }

  Call& call_;
  const Clock& clock_;
  net::HeaderFields fields_;
  std::string model_;
  std::string line_;
};

}  // namespace

AskHandlers::AskHandlers(services::Generate& generate, const Clock& clock, const Options& options)
    : generate_(generate),
      clock_(clock),
      json_bytes_max_(options.json_bytes_max),
      json_budget_(options.json_bytes_held_max) {
  limits_.body_bytes_max = options.json_bytes_max;
}

Task<Result<void>> AskHandlers::generate(Call& call) {
  auto body = co_await read_json_body(call.exchange, json_bytes_max_, json_budget_);
  if (!body) co_return std::unexpected(std::move(body.error()));
  auto asked = ollama::parse_generate(body->text, limits_);
  if (!asked) co_return std::unexpected(std::move(asked.error()));
  body->drop_text();  // It may be megabytes of images, and the answer takes a while.
  asked->request.id = call.request_id;

  call.exchange.cancel_when_client_leaves();
  if (asked->load_only) co_return co_await load(call, *asked);
  if (asked->stream) co_return co_await answer_stream(call, std::move(*asked));
  co_return co_await answer_whole(call, std::move(*asked));
}

Task<Result<void>> AskHandlers::load(Call& call, const ollama::GenerateRequest& asked) {
  auto loaded = co_await generate_.load(asked.request);
  if (!loaded) co_return std::unexpected(std::move(loaded.error()));
  note_choice(call, loaded->notes);
  const std::string created_at = rfc3339(clock_.wall());
  auto last = final_of(*loaded, created_at);
  last.reason = ollama::DoneReason::load;
  std::string body;
  ollama::write_generate_final(body, last);
  co_return co_await call.exchange.respond(200, asked.stream ? kNdjson : kJson, body, decision_fields(loaded->notes));
}

Task<Result<void>> AskHandlers::answer_whole(Call& call, ollama::GenerateRequest asked) {
  WholeSink sink(call);
  auto answer = co_await generate_.answer(call.exchange.io(), std::move(asked.request), sink);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  const std::string created_at = rfc3339(clock_.wall());
  auto last = final_of(*answer, created_at);
  last.response = sink.kept();
  std::string body;
  ollama::write_generate_final(body, last);
  co_return co_await call.exchange.respond(200, kJson, body, decision_fields(answer->notes));
}

Task<Result<void>> AskHandlers::answer_stream(Call& call, ollama::GenerateRequest asked) {
  StreamSink sink(call, clock_);
  auto answer = co_await generate_.answer(call.exchange.io(), std::move(asked.request), sink);
  std::string line;
  if (answer) {
    const std::string created_at = rfc3339(clock_.wall());
    const auto last = final_of(*answer, created_at);
    ollama::write_generate_final(line, last);
    co_return co_await sink.finish(std::move(line));
  }
  const Error& error = answer.error();
  if (error.kind == Kind::cancelled || !call.exchange.begun()) co_return std::unexpected(error);
  // The status has gone out as 200: the last line is the only place left for the truth.
  spdlog::warn("request {}: the answer broke off: {} ({})", call.request_id, error.message, error.detail);
  ollama::write_generate_error(line, error, call.request_id, asked.model_named);
  auto sent = co_await sink.finish(std::move(line));
  if (!sent) co_return sent;
  co_return std::unexpected(error);  // The answer is whole, and so the connection stays; log and figures know better.
}

Task<Result<void>> AskHandlers::route(Call& call) {
  auto body = co_await read_json_body(call.exchange, json_bytes_max_, json_budget_);
  if (!body) co_return std::unexpected(std::move(body.error()));
  auto request = protocols::native::parse_route(body->text, limits_);
  if (!request) co_return std::unexpected(std::move(request.error()));
  auto decision = generate_.decide(*request);
  if (!decision) co_return std::unexpected(std::move(decision.error()));
  co_return co_await call.exchange.respond(200, kJson, protocols::native::write_decision(*decision));
}

}  // namespace gbgreg::http
