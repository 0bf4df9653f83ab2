// Anthropic's dialect: POST /v1/messages and POST /v1/messages/count_tokens.
//
// Between it and the hub stand blocks: a message is a list of texts, images, calls of tools and their results. A
// result is a message of its own in the hub. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "core/core.h"
#include "llm/decision.h"
#include "llm/llm.h"
#include "protocols/answer_writer.h"
#include "protocols/options.h"

namespace gbgreg::protocols::anthropic {

struct Asked {
  llm::Request request;
  bool stream = false;
};

// Whether `max_tokens` must be there: it must for an answer, and means nothing for a count.
enum class For : std::uint8_t { answer, count };

// Errors, each naming the field at fault: malformed (invalid_json, invalid_field; an image that is not in base64, since
// nothing a client names is fetched; a tool of the provider's own; thread_unsupported_request), too_large, refused
// (image_not_understood). Passed over: unknown fields, cache_control, metadata, and thinking that was hidden from its
// author.
Result<Asked> parse_messages(std::string_view body, const Limits& limits, For purpose);

// Server-sent events with names, blocks with numbers, the figures in the last event but one.
class MessageWriter final : public AnswerWriter {
 public:
  std::string_view stream_type() const override { return "text/event-stream; charset=utf-8"; }
  void begin(std::string& out, const llm::AnswerNotes& notes, WallTime now) override;
  void delta(std::string& out, const llm::Delta& piece, WallTime now) override;
  void end(std::string& out, const llm::Answer& answer, WallTime now) override;
  void broken(std::string& out, const Error& error, std::string_view request_id) override;
  void whole(std::string& out, const llm::Delta& all, const llm::Answer& answer, WallTime now) override;

 private:
  enum class Block : std::uint8_t { none, thinking, text, tool };
  void open(std::string& out, Block block, const llm::ToolCallPiece* call);
  void close(std::string& out);

  Block block_ = Block::none;
  int block_index_ = -1;
  int call_index_ = -1;  // Of the call whose block is open.
};

// {"type":"error","error":{"type","message"},"request_id"}
std::string write_error(const Error& error, std::string_view request_id);

// {"input_tokens":12}
std::string write_count(int tokens);

}  // namespace gbgreg::protocols::anthropic
