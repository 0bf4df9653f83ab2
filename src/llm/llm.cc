#include "llm/llm.h"

#include <algorithm>

namespace gbgreg::llm {

bool Request::has_image() const {
  return std::ranges::any_of(messages, [](const Message& message) { return !message.images.empty(); });
}

std::string_view state_name(BackendState state) {
  switch (state) {
    case BackendState::stopped:
      return "stopped";
    case BackendState::loading:
      return "loading";
    case BackendState::ready:
      return "ready";
    case BackendState::draining:
      return "draining";
    case BackendState::failed:
      return "failed";
  }
  return "stopped";
}

}  // namespace gbgreg::llm
