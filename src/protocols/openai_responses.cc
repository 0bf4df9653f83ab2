#include "protocols/openai_responses.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>

namespace gbgreg::protocols::openai_responses {
namespace {

using Form = OutputItem::Form;
using Status = OutputItem::Status;

// How a form of item is told in events. A call has its arguments without a part around them.
struct Names {
  std::string_view id_prefix;
  std::string_view part_added, part_done;
  std::string_view text_delta, text_done;
  std::string_view part_index;
};
constexpr std::array<Names, 4> kNames{{
    {"rs_", "response.content_part.added", "response.content_part.done", "response.reasoning_text.delta",
     "response.reasoning_text.done", "content_index"},
    {"rs_", "response.reasoning_summary_part.added", "response.reasoning_summary_part.done",
     "response.reasoning_summary_text.delta", "response.reasoning_summary_text.done", "summary_index"},
    {"msg_", "response.content_part.added", "response.content_part.done", "response.output_text.delta",
     "response.output_text.done", "content_index"},
    {"fc_", "", "", "response.function_call_arguments.delta", "response.function_call_arguments.done", ""},
}};

const Names& names_of(Form form) { return kNames.at(static_cast<std::size_t>(form)); }

std::string_view status_name(Status status) {
  switch (status) {
    case Status::in_progress:
      return "in_progress";
    case Status::completed:
      return "completed";
    case Status::incomplete:
      return "incomplete";
  }
  return "completed";
}

// Ours, in the form that theirs have.
std::string without_dashes(std::string_view request_id) {
  std::string id;
  std::ranges::copy_if(request_id, std::back_inserter(id), [](char c) { return c != '-'; });
  return id;
}

std::int64_t seconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

// A call without arguments has none to name, but what stands there must be read as JSON.
std::string_view text_of(const OutputItem& item) {
  return item.form == Form::call && item.text.empty() ? std::string_view("{}") : std::string_view(item.text);
}

void write_none(JsonWriter& json, std::string_view key) {
  json.key(key).open_array();
  json.close_array();
}

void write_part(JsonWriter& json, Form form, std::string_view text) {
  json.open_object();
  if (form == Form::message) {
    json.key("type").text("output_text");
    write_none(json, "annotations");
    write_none(json, "logprobs");
  } else {
    json.key("type").text(form == Form::summary ? "summary_text" : "reasoning_text");
  }
  json.key("text").text(text);
  json.close_object();
}

// `is_new`: its parts and its arguments are still to come, by events of their own.
void write_item(JsonWriter& json, const OutputItem& item, bool is_new) {
  const auto parts = [&](std::string_view key, Form form) {
    json.key(key).open_array();
    if (!is_new && item.form == form) write_part(json, form, item.text);
    json.close_array();
  };
  json.open_object();
  json.key("id").text(item.id);
  switch (item.form) {
    case Form::thought:
    case Form::summary:
      json.key("type").text("reasoning");
      parts("summary", Form::summary);
      if (item.form == Form::thought) parts("content", Form::thought);
      break;
    case Form::message:
      json.key("type").text("message");
      json.key("role").text("assistant");
      parts("content", Form::message);
      break;
    case Form::call:
      json.key("type").text("function_call");
      json.key("call_id").text(item.call_id);
      json.key("name").text(item.name);
      json.key("arguments").text(is_new ? std::string_view{} : text_of(item));
      break;
  }
  json.key("status").text(status_name(item.status));
  json.close_object();
}

template <class Value, class Write>
void write_or_null(JsonWriter& json, std::string_view key, const std::optional<Value>& value, Write write) {
  json.key(key);
  if (value) {
    write(*value);
  } else {
    json.null();
  }
}

// Which item an event is about, and where in the output it stands; within it there is but one part.
void write_place(JsonWriter& json, const OutputItem& item, std::size_t output_index) {
  json.key("item_id").text(item.id);
  json.key("output_index").number(static_cast<std::int64_t>(output_index));
  const std::string_view part_index = names_of(item.form).part_index;
  if (!part_index.empty()) json.key(part_index).number(0);
}

void write_usage(JsonWriter& json, const llm::Usage& usage) {
  json.open_object();
  json.key("input_tokens").number(usage.prompt_tokens);
  json.key("input_tokens_details").open_object();
  json.key("cached_tokens").number(usage.cached_prompt_tokens);
  json.close_object();
  json.key("output_tokens").number(usage.completion_tokens);
  json.key("output_tokens_details").open_object();
  json.key("reasoning_tokens").number(0);  // Among the output tokens; a worker does not count them apart.
  json.close_object();
  json.key("total_tokens").number(std::int64_t{usage.prompt_tokens} + usage.completion_tokens);
  json.close_object();
}

// `event: NAME` and `data: {"type":NAME,"sequence_number":N,` of one event, and its end.
class Event {
 public:
  Event(std::string& out, std::string_view name, int& sequence_number) : out_(out), json_(out) {
    out.append("event: ").append(name).append("\ndata: ");
    json_.open_object();
    json_.key("type").text(name);
    json_.key("sequence_number").number(sequence_number++);
  }
  ~Event() {
    json_.close_object();
    out_.append("\n\n");
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  JsonWriter& json() { return json_; }

 private:
  std::string& out_;
  JsonWriter json_;
};

}  // namespace

// What an answer has come to beside its items.
struct ResponseWriter::Outcome {
  std::string_view status = "in_progress";
  const llm::Usage* usage = nullptr;
  const Error* error = nullptr;
  std::optional<WallTime> completed = {};
};

void ResponseWriter::write_response(JsonWriter& json, const Outcome& outcome) const {
  const auto text = [&](const std::string& value) { json.text(value); };
  const auto number = [&](auto value) { json.number(value); };
  json.open_object();
  json.key("id").text("resp_" + without_dashes(notes_.request_id));
  json.key("object").text("response");
  json.key("created_at").number(seconds(created_));
  json.key("status").text(outcome.status);
  json.key("background").boolean(false);
  write_or_null(json, "completed_at", outcome.completed, [&](WallTime time) { json.number(seconds(time)); });
  json.key("error");
  if (outcome.error == nullptr) {
    json.null();
  } else {
    json.open_object();
    json.key("code").text("server_error");
    json.key("message").text(outcome.error->message);
    json.close_object();
  }
  json.key("incomplete_details");
  if (outcome.status == status_name(Status::incomplete)) {
    json.open_object();
    json.key("reason").text("max_output_tokens");
    json.close_object();
  } else {
    json.null();
  }
  write_or_null(json, "instructions", echo_.instructions, text);
  write_or_null(json, "max_output_tokens", echo_.output_tokens_max, number);
  json.key("max_tool_calls").null();
  json.key("metadata").raw(echo_.metadata_json);
  json.key("model").text(notes_.model);
  json.key("output").open_array();
  for (const OutputItem& item : items_) write_item(json, item, false);
  json.close_array();
  json.key("parallel_tool_calls").boolean(echo_.parallel_tool_calls);
  json.key("previous_response_id").null();
  json.key("reasoning").open_object();
  write_or_null(json, "effort", echo_.effort, text);
  write_or_null(json, "summary", echo_.summary, text);
  json.close_object();
  json.key("service_tier").text("default");
  json.key("store").boolean(false);
  write_or_null(json, "temperature", echo_.temperature, number);
  json.key("text").open_object();
  json.key("format").raw(echo_.format_json);
  json.close_object();
  json.key("tool_choice").raw(echo_.tool_choice_json);
  json.key("tools").raw(echo_.tools_json);
  json.key("top_logprobs").number(0);
  write_or_null(json, "top_p", echo_.top_p, number);
  json.key("truncation").text("disabled");  // A prompt that is too long is an error and never shortened.
  json.key("usage");
  if (outcome.usage == nullptr) {
    json.null();
  } else {
    write_usage(json, *outcome.usage);
  }
  json.close_object();
}

OutputItem& ResponseWriter::add_item(Form form, const llm::ToolCallPiece* call) {
  const std::string place = without_dashes(notes_.request_id) + "_" + std::to_string(items_.size());
  OutputItem& item = items_.emplace_back();
  item.form = form;
  item.id = std::string(names_of(form).id_prefix) + place;
  if (call != nullptr) {
    item.call_id = call->id.empty() ? "call_" + place : call->id;
    item.name = call->name;
    item.call_index = call->index;
  }
  return item;
}

OutputItem& ResponseWriter::open(std::string& out, Form form, const llm::ToolCallPiece* call) {
  const int call_index = call == nullptr ? -1 : call->index;
  if (is_open_ && items_.back().form == form && items_.back().call_index == call_index) return items_.back();
  close(out, Status::completed);
  OutputItem& item = add_item(form, call);
  is_open_ = true;
  const std::size_t output_index = items_.size() - 1;
  {
    Event event(out, "response.output_item.added", sequence_number_);
    event.json().key("output_index").number(static_cast<std::int64_t>(output_index));
    event.json().key("item");
    write_item(event.json(), item, true);
  }
  const Names& names = names_of(form);
  if (names.part_added.empty()) return item;
  Event event(out, names.part_added, sequence_number_);
  write_place(event.json(), item, output_index);
  event.json().key("part");
  write_part(event.json(), form, {});
  return item;
}

void ResponseWriter::grow(std::string& out, OutputItem& item, std::string_view text) {
  if (text.empty()) return;
  item.text.append(text);
  Event event(out, names_of(item.form).text_delta, sequence_number_);
  write_place(event.json(), item, items_.size() - 1);
  event.json().key("delta").text(text);
  if (item.form == Form::message) write_none(event.json(), "logprobs");
}

void ResponseWriter::close(std::string& out, Status status) {
  if (!std::exchange(is_open_, false)) return;
  OutputItem& item = items_.back();
  item.status = status;
  const Names& names = names_of(item.form);
  const std::size_t output_index = items_.size() - 1;
  {
    Event event(out, names.text_done, sequence_number_);
    JsonWriter& json = event.json();
    write_place(json, item, output_index);
    if (item.form == Form::call) json.key("name").text(item.name);
    json.key(item.form == Form::call ? "arguments" : "text").text(text_of(item));
    if (item.form == Form::message) write_none(json, "logprobs");
  }
  if (!names.part_done.empty()) {
    Event event(out, names.part_done, sequence_number_);
    write_place(event.json(), item, output_index);
    event.json().key("part");
    write_part(event.json(), item.form, item.text);
  }
  Event event(out, "response.output_item.done", sequence_number_);
  event.json().key("output_index").number(static_cast<std::int64_t>(output_index));
  event.json().key("item");
  write_item(event.json(), item, false);
}

void ResponseWriter::begin(std::string& out, const llm::AnswerNotes& notes, WallTime) {
  notes_ = notes;
  for (const std::string_view name : {"response.created", "response.in_progress"}) {
    Event event(out, name, sequence_number_);
    event.json().key("response");
    write_response(event.json(), {});
  }
}

void ResponseWriter::delta(std::string& out, const llm::Delta& piece, WallTime) {
  if (!piece.thinking.empty()) grow(out, open(out, form_of_thoughts(), nullptr), piece.thinking);
  if (!piece.text.empty()) grow(out, open(out, Form::message, nullptr), piece.text);
  for (const llm::ToolCallPiece& call : piece.tool_calls) grow(out, open(out, Form::call, &call), call.arguments);
}

void ResponseWriter::end(std::string& out, const llm::Answer& answer, WallTime now) {
  // Clients look for a first item; an answer of no words is an empty message.
  if (items_.empty()) open(out, Form::message, nullptr);
  const bool is_cut = answer.completion.reason == llm::StopReason::length;
  const Status status = is_cut ? Status::incomplete : Status::completed;
  close(out, status);
  Event event(out, is_cut ? "response.incomplete" : "response.completed", sequence_number_);
  event.json().key("response");
  write_response(event.json(), {.status = status_name(status),
                                .usage = &answer.completion.usage,
                                .completed = is_cut ? std::nullopt : std::optional(now)});
}

void ResponseWriter::broken(std::string& out, const Error& error, std::string_view) {
  const auto say = [&](JsonWriter& json) {
    json.key("code").text(error.code.empty() ? kind_name(error.kind) : std::string_view(error.code));
    json.key("message").text(error.message);
    json.key("param").null();
  };
  {
    // The documented event has the error's fields itself; OpenAI's own client throws for an object named error only.
    Event event(out, "error", sequence_number_);
    JsonWriter& json = event.json();
    say(json);
    json.key("error").open_object();
    json.key("type").text("server_error");
    say(json);
    json.close_object();
  }
  if (is_open_) items_.back().status = Status::incomplete;
  Event event(out, "response.failed", sequence_number_);
  event.json().key("response");
  write_response(event.json(), {.status = "failed", .error = &error});
}

void ResponseWriter::whole(std::string& out, const llm::Delta& all, const llm::Answer& answer, WallTime now) {
  notes_ = answer.notes;
  const auto add = [&](Form form, std::string_view text, const llm::ToolCallPiece* call) {
    OutputItem& item = add_item(form, call);
    item.text = text;
    item.status = Status::completed;
  };
  if (!all.thinking.empty()) add(form_of_thoughts(), all.thinking, nullptr);
  if (!all.text.empty()) add(Form::message, all.text, nullptr);
  for (const llm::ToolCallPiece& call : all.tool_calls) add(Form::call, call.arguments, &call);
  if (items_.empty()) add(Form::message, {}, nullptr);
  const bool is_cut = answer.completion.reason == llm::StopReason::length;
  if (is_cut) items_.back().status = Status::incomplete;
  JsonWriter json(out);
  write_response(json, {.status = status_name(items_.back().status),
                        .usage = &answer.completion.usage,
                        .completed = is_cut ? std::nullopt : std::optional(now)});
}

}  // namespace gbgreg::protocols::openai_responses
