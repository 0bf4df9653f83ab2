#include "routing/candidates.h"

#include "core/utf8.h"

namespace gbgreg::routing {
namespace {

void append_json_name(std::string& out, std::string_view name) {
  out += '"';
  for (const char c : name) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  out += '"';
}

}  // namespace

int readiness(llm::BackendState state) {
  switch (state) {
    case llm::BackendState::ready:
      return 0;
    case llm::BackendState::loading:
      return 1;
    case llm::BackendState::sleeping:
      return 2;
    case llm::BackendState::draining:
      return 3;
    case llm::BackendState::stopped:
      return 4;
    case llm::BackendState::failed:
      return 5;
  }
  return 5;
}

std::string quoted(std::string_view name) {
  constexpr std::size_t kBytesShown = 64;
  return '"' + std::string(cut_utf8(name, kBytesShown)) + '"';
}

std::string json_names(std::span<const std::string_view> names) {
  std::string out = "[";
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto before = names.first(i);
    if (std::ranges::find(before, names[i]) != before.end()) continue;
    if (out.size() > 1) out += ',';
    append_json_name(out, names[i]);
  }
  return out + "]";
}

}  // namespace gbgreg::routing
