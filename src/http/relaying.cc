#include "http/relaying.h"

#include <spdlog/spdlog.h>

#include "protocols/openai_relay.h"

namespace gbgreg::http {
namespace {

namespace openai = protocols::openai;

constexpr std::string_view kEventStream = "text/event-stream; charset=utf-8";

std::string_view target_of(Relayed what) { return what == Relayed::chat ? "/v1/chat/completions" : "/v1/completions"; }

// What both ways of delivering have in common: the choice, and the body that is sent on.
class RelaySinkBase : public services::RelaySink {
 public:
  RelaySinkBase(Call& call, std::string_view fields, Relayed what) : call_(call), fields_(fields), what_(what) {}

  void chosen(const llm::AnswerNotes& notes) override {
    note_choice(call_, notes);
    notes_ = notes;
    body_ = openai::engine_body(notes.model, fields_);
  }
  backends::Post post() override { return {.target = target_of(what_), .body = body_}; }

 protected:
  Call& call() { return call_; }
  const llm::AnswerNotes& notes() const { return notes_; }

 private:
  Call& call_;
  std::string_view fields_;
  Relayed what_;
  llm::AnswerNotes notes_;
  std::string body_;
};

class WholeRelaySink final : public RelaySinkBase {
 public:
  WholeRelaySink(Call& call, std::string_view fields, Relayed what, const openai::RelayOptions& options)
      : RelaySinkBase(call, fields, what), options_(options) {}
  const std::string& out() const { return out_; }

  Task<Result<void>> bytes(std::string_view piece) override {
    if (kept_.size() + piece.size() > kAnswerBytesMax) co_return answer_too_long();
    kept_.append(piece);
    co_return Result<void>{};
  }
  Result<llm::Completion> end() override { return openai::relay_whole(kept_, options_, out_); }
  bool start_over() override {
    kept_.clear();
    out_.clear();
    return true;
  }

 private:
  openai::RelayOptions options_;
  std::string kept_;
  std::string out_;
};

class StreamRelaySink final : public RelaySinkBase {
 public:
  StreamRelaySink(Call& call, std::string_view fields, Relayed what, const openai::RelayOptions& options)
      : RelaySinkBase(call, fields, what), options_(options), relay_(options) {}

  Task<Result<void>> bytes(std::string_view piece) override {
    auto fed = relay_.feed(piece, out_);
    // What came before a mistake is still part of the answer.
    auto sent = co_await send();
    co_return sent ? std::move(fed) : std::move(sent);
  }
  Result<llm::Completion> end() override { return relay_.finish(); }
  bool start_over() override {
    if (call().exchange.begun()) return false;
    relay_ = openai::StreamRelay(options_);
    out_.clear();
    return true;
  }

  Task<Result<void>> broken(const Error& error) {
    out_.clear();
    openai::write_broken(out_, error);
    auto sent = co_await send();
    if (!sent) co_return sent;
    co_return co_await call().exchange.finish();
  }

 private:
  Task<Result<void>> send() {
    if (out_.empty()) co_return Result<void>{};
    if (!call().exchange.begun()) {
      net::HeaderFields fields = decision_fields(notes());
      fields.push_back({.name = "Cache-Control", .value = "no-cache"});
      auto begun = co_await call().exchange.begin_stream(200, kEventStream, std::move(fields));
      if (!begun) co_return begun;
    }
    auto written = co_await call().exchange.write(out_);
    out_.clear();
    co_return written;
  }

  openai::RelayOptions options_;
  openai::StreamRelay relay_;
  std::string out_;
};

Task<Result<void>> relay_stream(Call& call, services::Generate& generate, llm::Request request, StreamRelaySink& sink) {
  auto answer = co_await generate.relay(call.exchange.io(), std::move(request), sink);
  if (answer) co_return co_await call.exchange.finish();
  const Error& error = answer.error();
  if (error.kind == Kind::cancelled || !call.exchange.begun()) co_return std::unexpected(error);
  spdlog::warn("request {}: the answer broke off: {} ({})", call.request_id, error.message, error.detail);
  auto sent = co_await sink.broken(error);
  if (!sent) co_return sent;
  co_return std::unexpected(error);
}

}  // namespace

Task<Result<void>> relay(Call& call, services::Generate& generate, const Clock& clock, openai::Asked asked,
                         Relayed what) {
  const auto created = std::chrono::duration_cast<std::chrono::seconds>(clock.wall().time_since_epoch()).count();
  const openai::RelayOptions options{.include_usage = asked.include_usage,
                                     .is_chat = what == Relayed::chat,
                                     .logprobs = asked.logprobs,
                                     .created = created};
  if (asked.stream) {
    StreamRelaySink sink(call, asked.fields, what, options);
    co_return co_await relay_stream(call, generate, std::move(asked.request), sink);
  }
  WholeRelaySink sink(call, asked.fields, what, options);
  auto answer = co_await generate.relay(call.exchange.io(), std::move(asked.request), sink);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  co_return co_await call.exchange.respond(200, kJson, sink.out(), decision_fields(answer->notes));
}

}  // namespace gbgreg::http
