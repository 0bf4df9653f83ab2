#include "http/call.h"

namespace gbgreg::http {
namespace {

std::unexpected<Error> over_limit(std::uint64_t bytes_max) {
  return fail(Kind::too_large, "body_too_large",
              "A JSON body may have at most " + std::to_string(bytes_max) +
                  " bytes (limits.json_bytes_max). Send less, or raise the limit.");
}

}  // namespace

Task<Result<std::string>> read_json_body(net::Exchange& exchange, std::uint64_t bytes_max) {
  const net::RequestHead& head = exchange.head();
  if (head.framing == net::Framing::length && head.content_length > bytes_max) co_return over_limit(bytes_max);
  std::string body;
  // What a client only declares is not reserved in full: it has to send it first.
  constexpr std::uint64_t kReserveMax = 64 * 1024;
  body.reserve(std::min(head.content_length, kReserveMax));
  while (true) {
    auto piece = co_await exchange.read_body();
    if (!piece) co_return std::unexpected(std::move(piece.error()));
    if (piece->empty()) co_return body;
    if (body.size() + piece->size() > bytes_max) co_return over_limit(bytes_max);
    body.append(*piece);
  }
}

}  // namespace gbgreg::http
