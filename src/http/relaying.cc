#include "http/relaying.h"

#include <spdlog/spdlog.h>

#include "http/answering.h"
#include "protocols/engine_wire.h"
#include "protocols/openai.h"
#include "protocols/openai_relay.h"

namespace gbgreg::http {
namespace {

namespace engine_wire = protocols::engine_wire;
namespace openai = protocols::openai;

constexpr std::string_view kEventStream = "text/event-stream; charset=utf-8";

std::string_view target_of(Relayed what) { return what == Relayed::chat ? "/v1/chat/completions" : "/v1/completions"; }

// Only where what is said is to be kept. Of the older completions, whose answers are of another shape, the bytes are.
void note_relayed(Call& call, std::string_view body, const openai::RelayOptions& options) {
  if (!call.said) return;
  const auto answer = options.is_chat ? engine_wire::read_answer(body) : std::unexpected(Error{});
  call.said->add_answer(answer ? std::string_view(answer->delta.text) : body);
}

// The words of a stream that passes through, for the same purpose.
class KeptStream {
 public:
  void take(records::Said& said, std::string_view bytes, const openai::RelayOptions& options) {
    if (!options.is_chat) return said.add_answer(bytes);
    piece_.clear();
    // What it does not understand the relay does not either, and says so.
    [[maybe_unused]] const auto fed = reader_.feed(bytes, piece_);
    said.add_answer(piece_.text);
  }

 private:
  engine_wire::StreamReader reader_;
  llm::Delta piece_;
};

// What both ways of delivering have in common: the choice, and the body that is sent on.
class RelaySinkBase : public services::RelaySink {
 public:
  RelaySinkBase(Call& call, const openai::SentOn& fields, Relayed what) : call_(call), fields_(fields), what_(what) {}

  void chosen(const llm::AnswerNotes& notes) override {
    note_choice(call_, notes);
    notes_ = &notes;
  }
  backends::Post post(protocols::Takes server) override {
    body_ = openai::engine_body(notes_->model, fields_, server);
    return {.target = target_of(what_), .body = {body_.begin, body_.large, body_.end}};
  }

 protected:
  Call& call() { return call_; }
  // Of the attempt under way.
  const llm::AnswerNotes& notes() const { return *notes_; }

 private:
  Call& call_;
  const openai::SentOn& fields_;
  Relayed what_;
  const llm::AnswerNotes* notes_ = nullptr;
  openai::SentOn body_;
};

class WholeRelaySink final : public RelaySinkBase {
 public:
  WholeRelaySink(Call& call, const openai::SentOn& fields, Relayed what, const openai::RelayOptions& options)
      : RelaySinkBase(call, fields, what), options_(options) {}
  const std::string& out() const { return out_; }

  bool comes_whole() const override { return true; }
  Result<bool> bytes(std::string_view piece) override {
    if (kept_.size() + piece.size() > kAnswerBytesMax) return answer_too_long();
    kept_.append(piece);
    return false;
  }
  Task<Result<void>> drain() override { co_return Result<void>{}; }
  Result<llm::Completion> end() override {
    note_relayed(call(), kept_, options_);
    return openai::relay_whole(kept_, options_, out_);
  }
  bool start_over() override {
    if (call().said) call().said->answer.clear();
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
  StreamRelaySink(Call& call, const openai::SentOn& fields, Relayed what, const openai::RelayOptions& options)
      : RelaySinkBase(call, fields, what), options_(options), relay_(options) {}

  Result<bool> bytes(std::string_view piece) override {
    if (call().said) kept_.take(*call().said, piece, options_);
    auto fed = relay_.feed(piece, out_);
    // What came before a mistake is still part of the answer.
    const bool sent = send_at_once();
    if (sent && !fed) return std::unexpected(std::move(fed.error()));
    fed_ = std::move(fed);
    return !sent;
  }
  Task<Result<void>> drain() override {
    auto sent = co_await call().exchange.flush();
    co_return sent ? std::move(fed_) : std::move(sent);
  }
  Result<llm::Completion> end() override { return relay_.finish(); }
  bool start_over() override {
    if (call().exchange.begun()) return false;
    relay_ = openai::StreamRelay(options_);
    kept_ = {};
    if (call().said) call().said->answer.clear();
    out_.clear();
    return true;
  }

  Task<Result<void>> broken(const Error& error) {
    out_.clear();
    openai::write_broken(out_, error);
    if (!send_at_once()) {
      auto sent = co_await call().exchange.flush();
      if (!sent) co_return sent;
    }
    co_return co_await call().exchange.finish();
  }

 private:
  bool send_at_once() {
    if (out_.empty()) return true;
    if (!call().exchange.begun()) {
      net::HeaderFields fields = decision_fields(notes());
      fields.push_back({.name = "Cache-Control", .value = "no-cache"});
      call().exchange.begin_stream(200, kEventStream, std::move(fields));
    }
    const bool sent = call().exchange.write_at_once(out_);
    out_.clear();
    return sent;
  }

  openai::RelayOptions options_;
  openai::StreamRelay relay_;
  KeptStream kept_;
  Result<void> fed_;  // What drain() says when all is sent.
  std::string out_;
};

Task<Result<void>> relay_stream(Call& call, services::Generate& generate, openai::Asked& asked, Relayed what,
                                const openai::RelayOptions& options) {
  StreamRelaySink sink(call, asked.fields, what, options);
  auto answer = co_await generate.relay(call.exchange.io(), asked.request, sink);
  if (answer) {
    note_answer(call, *answer);
    co_return co_await call.exchange.finish();
  }
  const Error& error = answer.error();
  if (error.kind == Kind::cancelled || !call.exchange.begun()) co_return std::unexpected(error);
  spdlog::warn("request {}: the answer broke off: {} ({})", call.request_id, error.message, error.detail);
  auto sent = co_await sink.broken(error);
  if (!sent) co_return sent;
  co_return std::unexpected(error);
}

Task<Result<void>> relay_whole(Call& call, services::Generate& generate, openai::Asked& asked, Relayed what,
                               const openai::RelayOptions& options) {
  WholeRelaySink sink(call, asked.fields, what, options);
  auto answer = co_await generate.relay(call.exchange.io(), asked.request, sink);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  note_answer(call, *answer);
  co_return co_await call.exchange.respond(200, kJson, sink.out(), decision_fields(answer->notes));
}

}  // namespace

Task<Result<void>> relay(Call& call, JsonReading& json, services::Generate& generate, const Clock& clock,
                         Relayed what) {
  auto body = co_await json.read(call.exchange);
  if (!body) co_return std::unexpected(std::move(body.error()));
  auto asked = what == Relayed::chat ? openai::parse_chat(body->text, json.limits())
                                     : openai::parse_completion(body->text, json.limits());
  if (!asked) co_return std::unexpected(std::move(asked.error()));
  if (asked->fields.large.empty()) body->drop_text();
  asked->request.id = call.request_id;
  asked->request.caller = &call.caller;
  call.exchange.cancel_when_client_leaves();
  note_prompt(call, asked->request);

  const auto created = std::chrono::duration_cast<std::chrono::seconds>(clock.wall().time_since_epoch()).count();
  const openai::RelayOptions options{.include_usage = asked->include_usage,
                                     .is_chat = what == Relayed::chat,
                                     .logprobs = asked->logprobs,
                                     .created = created};
  const auto answer = asked->stream ? relay_stream : relay_whole;
  co_return co_await answer(call, generate, *asked, what, options);
}

}  // namespace gbgreg::http
