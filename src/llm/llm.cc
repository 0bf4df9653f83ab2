#include "llm/llm.h"

#include <algorithm>

namespace gbgreg::llm {

bool Request::has_image() const {
  return std::ranges::any_of(messages, [](const Message& message) { return !message.images.empty(); });
}

void Delta::clear() {
  text.clear();
  thinking.clear();
  tool_calls.clear();
}

void Delta::append(const Delta& more) {
  text.append(more.text);
  thinking.append(more.thinking);
  for (const ToolCallPiece& piece : more.tool_calls) {
    const auto known = std::ranges::find(tool_calls, piece.index, &ToolCallPiece::index);
    if (known == tool_calls.end()) {
      tool_calls.push_back(piece);
      continue;
    }
    if (known->id.empty()) known->id = piece.id;
    known->name.append(piece.name);
    known->arguments.append(piece.arguments);
  }
}

std::string_view state_name(BackendState state) {
  switch (state) {
    case BackendState::stopped:
      return "stopped";
    case BackendState::sleeping:
      return "sleeping";
    case BackendState::loading:
      return "loading";
    case BackendState::ready:
      return "ready";
    case BackendState::unreachable:
      return "unreachable";
    case BackendState::draining:
      return "draining";
    case BackendState::failed:
      return "failed";
  }
  return "stopped";
}

}  // namespace gbgreg::llm
