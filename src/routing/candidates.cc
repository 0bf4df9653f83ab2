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
    case llm::BackendState::unreachable:
      return 5;
  }
  return 5;
}

double expected_ms(const llm::BackendView& backend) {
  const int slots = std::max(1, backend.slots_total);
  const int before = std::max(0, slots - backend.slots_free) + backend.queued;
  return backend.latency_ms.value_or(1.0) * (before + 1) / slots;
}

const llm::BackendView* share_work(std::span<const llm::BackendView> backends, const llm::BackendView* chosen,
                                   std::uint64_t dice) {
  if (dice == 0) return chosen;
  const auto is_equal = [&](const llm::BackendView& other) {
    return other.role == chosen->role && other.preference == chosen->preference && other.state == chosen->state &&
           other.embeds == chosen->embeds && other.sees_images == chosen->sees_images;
  };
  const auto count = static_cast<std::uint64_t>(std::ranges::count_if(backends, is_equal));
  if (count < 2) return chosen;
  const std::uint64_t first = dice % count;
  const std::uint64_t second = (first + 1 + (dice / count) % (count - 1)) % count;
  const llm::BackendView* found[2] = {chosen, chosen};
  std::uint64_t at = 0;
  for (const auto& backend : backends) {
    if (!is_equal(backend)) continue;
    if (at == first) found[0] = &backend;
    if (at == second) found[1] = &backend;
    ++at;
  }
  return expected_ms(*found[1]) < expected_ms(*found[0]) ? found[1] : found[0];
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
