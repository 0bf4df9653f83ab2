#include "http/answering.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace gbgreg::http {
namespace {

// A header carries visible ASCII; what is configured or decided may be anything.
std::string header_text(std::string_view text) {
  std::string clean(text);
  for (char& c : clean) c = c >= 0x20 && c < 0x7f ? c : '?';
  return clean;
}

std::size_t size_of(const llm::Delta& piece) {
  std::size_t bytes = piece.text.size() + piece.thinking.size();
  for (const auto& call : piece.tool_calls) bytes += call.arguments.size();
  return bytes;
}

// Keeps the answer until it is whole.
class WholeSink final : public services::AnswerSink {
 public:
  explicit WholeSink(Call& call) : call_(call) {}
  const llm::Delta& kept() const { return kept_; }

  void chosen(const llm::AnswerNotes& notes) override { note_choice(call_, notes); }
  Task<Result<void>> delta(const llm::Delta& piece) override {
    if (call_.said) call_.said->add_answer(piece.text);
    kept_.append(piece);
    bytes_ += size_of(piece);
    if (bytes_ > kAnswerBytesMax) co_return answer_too_long();
    co_return Result<void>{};
  }
  bool start_over() override {
    if (call_.said) call_.said->answer.clear();
    kept_.clear();
    bytes_ = 0;
    return true;
  }

 private:
  Call& call_;
  llm::Delta kept_;
  std::size_t bytes_ = 0;
};

// Sends each piece as soon as it comes.
class StreamSink final : public services::AnswerSink {
 public:
  StreamSink(Call& call, const Clock& clock, protocols::AnswerWriter& writer)
      : call_(call), clock_(clock), writer_(writer) {}

  void chosen(const llm::AnswerNotes& notes) override {
    note_choice(call_, notes);
    notes_ = notes;
  }

  Task<Result<void>> delta(const llm::Delta& piece) override {
    bytes_ += size_of(piece);
    if (bytes_ > kAnswerBytesMax) return too_long();
    if (call_.said) call_.said->add_answer(piece.text);
    begin_once();
    writer_.delta(out_, piece, clock_.wall());
    return send();
  }

  bool start_over() override { return !call_.exchange.begun() && !has_begun_; }

  Task<Result<void>> end(const llm::Answer& answer) {
    begin_once();
    writer_.end(out_, answer, clock_.wall());
    co_return co_await send_last();
  }

  Task<Result<void>> broken(const Error& error) {
    out_.clear();
    writer_.broken(out_, error, call_.request_id);
    co_return co_await send_last();
  }

 private:
  void begin_once() {
    if (!std::exchange(has_begun_, true)) writer_.begin(out_, notes_, clock_.wall());
  }

  static Task<Result<void>> too_long() { co_return answer_too_long(); }

  Task<Result<void>> send() {
    if (out_.empty()) co_return Result<void>{};
    if (!call_.exchange.begun()) {
      net::HeaderFields fields = decision_fields(notes_);
      fields.push_back({.name = "Cache-Control", .value = "no-cache"});
      call_.exchange.begin_stream(200, writer_.stream_type(), std::move(fields));
    }
    auto written = co_await call_.exchange.write(out_);
    out_.clear();
    co_return written;
  }

  Task<Result<void>> send_last() {
    auto sent = co_await send();
    if (!sent) co_return sent;
    co_return co_await call_.exchange.finish();
  }

  Call& call_;
  const Clock& clock_;
  protocols::AnswerWriter& writer_;
  llm::AnswerNotes notes_;
  std::string out_;
  std::size_t bytes_ = 0;  // Some writers keep what they have said.
  bool has_begun_ = false;
};

Task<Result<void>> answer_whole(Call& call, services::Generate& generate, const Clock& clock, llm::Request request,
                                protocols::AnswerWriter& writer, services::Attached* attached) {
  WholeSink sink(call);
  auto answer = co_await generate.answer(call.exchange.io(), std::move(request), sink, attached);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  note_answer(call, *answer);
  std::string body;
  writer.whole(body, sink.kept(), *answer, clock.wall());
  co_return co_await call.exchange.respond(200, kJson, body, decision_fields(answer->notes));
}

Task<Result<void>> answer_stream(Call& call, services::Generate& generate, const Clock& clock, llm::Request request,
                                 protocols::AnswerWriter& writer, services::Attached* attached) {
  StreamSink sink(call, clock, writer);
  auto answer = co_await generate.answer(call.exchange.io(), std::move(request), sink, attached);
  if (answer) {
    note_answer(call, *answer);
    co_return co_await sink.end(*answer);
  }
  const Error& error = answer.error();
  if (error.kind == Kind::cancelled || !call.exchange.begun()) co_return std::unexpected(error);
  // The status has gone out as 200: the last line is the only place left for the truth.
  spdlog::warn("request {}: the answer broke off: {} ({})", call.request_id, error.message, error.detail);
  auto sent = co_await sink.broken(error);
  if (!sent) co_return sent;
  co_return std::unexpected(error);  // The answer is whole, and so the connection stays; log and figures know better.
}

}  // namespace

net::HeaderFields decision_fields(const llm::AnswerNotes& notes) {
  net::HeaderFields fields;
  fields.reserve(8);  // With the one that a stream adds.
  fields.push_back({.name = "X-Gbgreg-Role", .value = header_text(notes.role)});
  fields.push_back({.name = "X-Gbgreg-Model", .value = header_text(notes.model)});
  fields.push_back({.name = "X-Gbgreg-Backend", .value = header_text(notes.backend)});
  fields.push_back({.name = "X-Gbgreg-Device", .value = header_text(notes.device)});
  fields.push_back({.name = "X-Gbgreg-Complexity", .value = std::to_string(notes.complexity.level)});
  fields.push_back({.name = "X-Gbgreg-Reason", .value = header_text(notes.reason)});
  if (!notes.ignored_options.empty()) {
    std::string names;
    for (const std::string& name : notes.ignored_options) names.append(names.empty() ? "" : ", ").append(name);
    fields.push_back({.name = "X-Gbgreg-Options-Ignored", .value = header_text(names)});
  }
  return fields;
}

void note_choice(Call& call, const llm::AnswerNotes& notes) {
  call.use.role = notes.role;
  call.use.model = notes.model;
  call.use.backend = notes.backend;
  call.use.device = notes.device;
  call.use.complexity = notes.complexity.level;
  call.use.objective_ms = notes.objective_ms;
  call.use.queue_ms = notes.queue_ms;
}

void note_prompt(Call& call, const llm::Request& request) {
  if (!call.said) return;
  constexpr auto kName = [](llm::Speaker speaker) -> std::string_view {
    switch (speaker) {
      case llm::Speaker::system:
        return "system";
      case llm::Speaker::user:
        return "user";
      case llm::Speaker::assistant:
        return "assistant";
      case llm::Speaker::tool:
        return "tool";
    }
    return "user";
  };
  const bool is_alone = request.messages.size() == 1;
  for (const llm::Message& message : request.messages) {
    if (!is_alone) call.said->add_prompt(std::string(kName(message.speaker)) + ": ");
    call.said->add_prompt(message.text);
    if (!is_alone) call.said->add_prompt("\n");
  }
}

void note_answer(Call& call, const llm::Answer& answer) {
  call.use.ttft_ms = answer.notes.ttft_ms;
  call.use.prompt_tokens = answer.completion.usage.prompt_tokens;
  call.use.completion_tokens = answer.completion.usage.completion_tokens;
}

std::unexpected<Error> answer_too_long() {
  return fail(Kind::backend_failed, "answer_too_long", "The model did not stop; its answer was broken off.");
}

Task<Result<void>> answer(Call& call, services::Generate& generate, const Clock& clock, llm::Request request,
                          protocols::AnswerWriter& writer, Delivery delivery, services::Attached* attached) {
  note_prompt(call, request);
  if (delivery == Delivery::stream) {
    co_return co_await answer_stream(call, generate, clock, std::move(request), writer, attached);
  }
  co_return co_await answer_whole(call, generate, clock, std::move(request), writer, attached);
}

}  // namespace gbgreg::http
