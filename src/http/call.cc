#include "http/call.h"

#include <algorithm>

namespace gbgreg::http {
namespace {

std::unexpected<Error> over_limit(std::uint64_t bytes_max) {
  return fail(Kind::too_large, "body_too_large",
              "A JSON body may have at most " + std::to_string(bytes_max) +
                  " bytes (limits.json_bytes_max). Send less, or raise the limit.");
}

// How much to hold for a body that has come to `needed` bytes. What a client only declares is not reserved in full: it
// has to send it first.
std::uint64_t capacity_for(std::uint64_t needed, const net::RequestHead& head, std::uint64_t bytes_max) {
  constexpr std::uint64_t kReserveMax = 64 * 1024;
  const bool is_declared = head.framing == net::Framing::length;
  const std::uint64_t most = is_declared ? head.content_length : bytes_max;
  const std::uint64_t first = is_declared ? std::min(head.content_length, kReserveMax) : 0;
  return std::max(needed, std::min(most, std::max(first, needed * 2)));
}

// Exactly to `capacity`: a string that is told to reserve may take twice what it had.
void grow(std::string& text, std::uint64_t capacity) {
  std::string larger;
  larger.reserve(capacity);
  larger.append(text);
  text.swap(larger);
}

}  // namespace

std::unexpected<Error> budget_spent() {
  return std::unexpected(
      Error{.kind = Kind::unavailable,
            .code = "bodies_too_many",
            .message = "The requests under way hold as much memory as they may. Try again in a moment.",
            .retry_after_seconds = 1});
}

void JsonBody::drop_text() {
  share.resize(std::min<std::uint64_t>(text.size(), share.bytes()));
  std::string().swap(text);
}

Result<void> JsonBody::hold_more(std::uint64_t bytes) {
  if (!share.resize(share.bytes() + bytes)) return budget_spent();
  return {};
}

Task<Result<JsonBody>> read_json_body(net::Exchange& exchange, std::uint64_t bytes_max, BodyBudget& budget) {
  const net::RequestHead& head = exchange.head();
  if (head.framing == net::Framing::length && head.content_length > bytes_max) co_return over_limit(bytes_max);
  JsonBody body{.share = BodyBudget::Share(budget)};
  while (true) {
    auto at_hand = exchange.body_at_hand();
    auto piece = at_hand ? std::move(*at_hand) : co_await exchange.read_body();
    if (!piece) co_return std::unexpected(std::move(piece.error()));
    if (piece->empty()) co_return body;
    const std::uint64_t needed = body.text.size() + piece->size();
    if (needed > bytes_max) co_return over_limit(bytes_max);
    if (needed > body.share.bytes()) {
      const std::uint64_t capacity = capacity_for(needed, head, bytes_max);
      if (!body.share.resize(capacity)) co_return budget_spent();
      grow(body.text, capacity);
    }
    body.text.append(*piece);
  }
}

}  // namespace gbgreg::http
