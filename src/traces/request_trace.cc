#include "traces/request_trace.h"

#include <algorithm>
#include <utility>

namespace gbgreg::traces {
namespace {

constexpr std::size_t kSpansMost = 3;  // Of nearly all requests.

void set(Span& span, std::string_view key, std::string_view text) {
  if (!text.empty()) span.attributes.push_back({.key = key, .value = std::string(text)});
}

void set(Span& span, std::string_view key, std::int64_t number) {
  span.attributes.push_back({.key = key, .value = number});
}

void set_choice(Span& span, const llm::AnswerNotes& chosen) {
  set(span, "gbgreg.role", chosen.role);
  set(span, "gen_ai.request.model", chosen.model);
  set(span, "gbgreg.backend", chosen.backend);
  set(span, "gbgreg.device", chosen.device);
}

// Of the backend that was chosen last, for the request as a whole.
void copy_choice(const Span& from, Span& whole) {
  for (const Attribute& attribute : from.attributes) {
    const bool is_there = std::ranges::find(whole.attributes, attribute.key, &Attribute::key) != whole.attributes.end();
    if (!is_there) whole.attributes.push_back(attribute);
  }
}

void set_usage(Span& span, const llm::Usage& usage) {
  set(span, "gen_ai.usage.input_tokens", usage.prompt_tokens);
  set(span, "gen_ai.usage.output_tokens", usage.completion_tokens);
}

}  // namespace

RequestTrace::RequestTrace(SpanSink* sink, const Clock& clock, const Context& context, const std::optional<Sent>& sent)
    : sink_(sink), context_(context) {
  if (sent) state_ = sent->state;
  fields_ = write_fields(context_, state_);
  if (sink_ == nullptr) return;
  clock_ = &clock;
  began_ = clock.steady();
  began_at_ = clock.wall();
  spans_.reserve(kSpansMost);
  Span& whole = begin("HTTP", SpanKind::server, began_);
  whole.id = context_.span;
  whole.parent = sent ? sent->context.span : SpanId{};
}

// By the clock that never jumps, from where it began.
WallTime RequestTrace::at(SteadyTime time) const {
  return began_at_ + std::chrono::duration_cast<WallTime::duration>(time - began_);
}

Span& RequestTrace::begin(std::string name, SpanKind kind, SteadyTime since) {
  spans_.push_back({.trace = context_.trace,
                    .parent = context_.span,
                    .state = state_,
                    .name = std::move(name),
                    .kind = kind,
                    .start = at(since)});
  return spans_.back();
}

void RequestTrace::waited(const llm::AnswerNotes& chosen, SteadyTime since, std::string_view error) {
  if (sink_ == nullptr) return;
  Span& wait = begin("wait for a slot", SpanKind::internal, since);
  wait.id = new_span_id();
  wait.end = at(clock_->steady());
  wait.error = error;
  set_choice(wait, chosen);
}

void RequestTrace::asks(const llm::AnswerNotes& chosen) {
  if (sink_ == nullptr) return;
  end_call("cancelled");
  Span& call = begin("ask " + chosen.model, SpanKind::client, clock_->steady());
  call.id = new_span_id();
  set_choice(call, chosen);
  is_calling_ = true;
  Context of_call = context_;
  of_call.span = call.id;
  fields_ = write_fields(of_call, state_);
}

void RequestTrace::told(const llm::Usage& usage, std::string_view error) {
  if (sink_ == nullptr || !is_calling_) return;
  if (error.empty()) {
    set_usage(spans_.back(), usage);
    set_usage(spans_.front(), usage);
  }
  end_call(error);
}

void RequestTrace::end_call(std::string_view error) {
  if (!std::exchange(is_calling_, false)) return;
  spans_.back().end = at(clock_->steady());
  spans_.back().error = error;
}

void RequestTrace::end(const EndedRequest& ended) {
  if (sink_ == nullptr) return;
  end_call("cancelled");
  Span& whole = spans_.front();
  whole.end = at(clock_->steady());
  if (!ended.route.empty()) whole.name = std::string(ended.method).append(" ").append(ended.route);
  set(whole, "http.request.method", ended.method.empty() ? "_OTHER" : ended.method);
  set(whole, "http.route", ended.route);
  set(whole, "http.response.status_code", ended.status);
  set(whole, "gbgreg.request_id", ended.request_id);
  set(whole, "gbgreg.key_id", ended.key_id);
  if (spans_.size() > 1) copy_choice(spans_.back(), whole);
  // That a client asked for what it cannot have is not the gateway's failure.
  const bool is_clients = ended.status >= 400 && ended.status < 500;
  if (is_clients) {
    set(whole, "error.type", ended.error);
  } else {
    whole.error = ended.error;
  }
  std::exchange(sink_, nullptr)->take(std::move(spans_));
}

}  // namespace gbgreg::traces
