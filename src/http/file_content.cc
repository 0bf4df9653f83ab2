#include "http/file_content.h"

#include <algorithm>

#include "http/call.h"
#include "intake/intake.h"
#include "net/grammar.h"

namespace gbgreg::http {
namespace {

// Whether a list of entity tags, or "*", names this one (RFC 9110, 13.1.2: weak comparison).
bool names_tag(std::string_view list, std::string_view tag) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    std::string_view entry = net::trim_blanks(list.substr(0, comma));
    list.remove_prefix(std::min(list.size(), comma + 1));
    if (entry.starts_with("W/")) entry.remove_prefix(2);
    if (entry == "*" || entry == tag) return true;
  }
  return false;
}

std::string content_range(const ByteRange& range, std::uint64_t size_bytes) {
  return "bytes " + std::to_string(range.first) + "-" + std::to_string(range.first + range.size - 1) + "/" +
         std::to_string(size_bytes);
}

std::unexpected<Error> unsatisfiable_range(std::uint64_t size_bytes) {
  return std::unexpected(Error{.kind = Kind::unsatisfiable,
                               .code = "range_not_satisfiable",
                               .message = "The range begins behind the end of the file. Content-Range names its size.",
                               .details_json = R"({"size_bytes":)" + std::to_string(size_bytes) + "}"});
}

Task<Result<void>> send(net::Exchange& exchange, services::Outgoing& file, ByteRange range) {
  while (range.size > 0) {
    auto piece = co_await file.read(range.first, range.size);
    if (!piece) co_return std::unexpected(std::move(piece.error()));
    if (piece->empty()) co_return fail(Kind::internal, "bytes_missing", "The file ended early.", file.file().sha256);
    auto written = co_await exchange.write(*piece);
    if (!written) co_return written;
    range.first += piece->size();
    range.size -= piece->size();
  }
  co_return co_await exchange.finish();
}

}  // namespace

Task<Result<void>> send_file(net::Exchange& exchange, services::Outgoing& file) {
  const std::uint64_t size_bytes = file.size_bytes();
  const net::RequestHead& head = exchange.head();

  // The bytes of an upload never change, so their digest is a strong tag and a client's copy stays good.
  const std::string tag = "\"" + file.file().sha256 + "\"";
  net::HeaderFields fields{{.name = "ETag", .value = tag}, {.name = "Cache-Control", .value = "private, no-cache"}};
  if (names_tag(head.field("if-none-match").value_or(""), tag)) {
    co_return co_await exchange.respond(304, "", "", std::move(fields));
  }

  // With If-Range a part is wanted only of these very bytes, else the whole (RFC 9110, 13.1.5).
  const bool may_be_part = head.method == "GET" && head.field("if-range").value_or(tag) == tag;  // HEAD: the whole.
  const ChosenRange chosen = choose_range(may_be_part ? head.field("range") : std::nullopt, size_bytes);
  fields.push_back({.name = "Accept-Ranges", .value = "bytes"});
  if (chosen.answer == RangeAnswer::unsatisfiable) {
    exchange.add_field("Content-Range", "bytes */" + std::to_string(size_bytes));
    co_return unsatisfiable_range(size_bytes);
  }

  const bool is_part = chosen.answer == RangeAnswer::part;
  const ByteRange range = is_part ? chosen.range : ByteRange{.first = 0, .size = size_bytes};
  if (is_part) fields.push_back({.name = "Content-Range", .value = content_range(range, size_bytes)});
  const SafeType type = safe_type(file.file().kind, file.file().media_type);
  fields.push_back(
      {.name = "Content-Disposition", .value = content_disposition(file.file().filename, type.may_be_shown)});
  // Should a browser render it all the same, it may neither run nor load anything.
  fields.push_back({.name = "Content-Security-Policy", .value = "default-src 'none'; sandbox"});
  exchange.begin_sized(is_part ? 206 : 200, type.content_type, range.size, std::move(fields));
  if (head.method == "HEAD") co_return co_await exchange.finish();
  co_return co_await send(exchange, file, range);
}

ChosenRange choose_range(std::optional<std::string_view> field, std::uint64_t size_bytes) {
  constexpr std::string_view kUnit = "bytes=";
  if (!field || !net::equal_ignoring_case(field->substr(0, kUnit.size()), kUnit)) return {};
  const std::string_view range = field->substr(kUnit.size());
  const std::size_t dash = range.find('-');
  if (dash == std::string_view::npos || range.contains(',')) return {};
  const std::string_view first_text = range.substr(0, dash);
  const std::string_view last_text = range.substr(dash + 1);

  if (first_text.empty()) {  // "-500": the last 500 bytes.
    const auto wanted = net::parse_decimal(last_text);
    if (!wanted) return {};
    if (*wanted == 0 || size_bytes == 0) return {.answer = RangeAnswer::unsatisfiable};
    const std::uint64_t size = std::min(*wanted, size_bytes);
    return {.answer = RangeAnswer::part, .range = {.first = size_bytes - size, .size = size}};
  }
  const auto first = net::parse_decimal(first_text);
  const auto last = last_text.empty() ? std::optional(UINT64_MAX) : net::parse_decimal(last_text);
  if (!first || !last || *first > *last) return {};
  if (*first >= size_bytes) return {.answer = RangeAnswer::unsatisfiable};
  const std::uint64_t end = std::min(*last, size_bytes - 1) + 1;
  return {.answer = RangeAnswer::part, .range = {.first = *first, .size = end - *first}};
}

SafeType safe_type(std::string_view kind, std::string_view media_type) {
  const auto content = intake::content_named(kind);
  const bool is_text = content == intake::Content::text || content == intake::Content::code;
  if (is_text) return {.content_type = "text/plain; charset=utf-8", .may_be_shown = true};
  for (const std::string_view image : {"image/png", "image/jpeg", "image/gif", "image/webp"}) {
    if (media_type == image) return {.content_type = std::string(media_type), .may_be_shown = true};
  }
  return {.content_type = std::string(media_type)};
}

std::string content_disposition(std::string_view filename, bool may_be_shown) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  // The first name is for old clients, so it is plain ASCII and has nothing that could end its quotes.
  std::string ascii, extended;
  for (const char c : filename) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          std::string_view("-._~").contains(c);
    const bool is_quotable = byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\' && c != '%';
    ascii.push_back(is_quotable ? c : '_');
    if (is_plain) {
      extended.push_back(c);
    } else {
      extended.append({'%', kHex[byte >> 4], kHex[byte & 0xf]});
    }
  }
  return std::string(may_be_shown ? "inline" : "attachment") + "; filename=\"" + ascii + "\"; filename*=UTF-8''" +
         extended;
}

}  // namespace gbgreg::http
