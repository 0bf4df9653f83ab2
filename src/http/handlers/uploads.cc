#include "http/handlers/uploads.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>

#include "http/call.h"
#include "http/upload_form.h"
#include "intake/intake.h"
#include "net/grammar.h"

namespace gbgreg::http {
namespace {

namespace json = boost::json;

constexpr UploadForm::Field kFormFields[] = {{.name = "description", .bytes_max = 16 * 1024}};
constexpr std::size_t kSearchBytesMax = 200;

void add_if_known(json::object& object, std::string_view name, const std::optional<std::string>& value) {
  if (value) object[name] = *value;
}

json::object to_json(const storage::Upload& upload) {
  json::object object{{"id", upload.id},
                      {"filename", upload.filename},
                      {"original_filename", upload.original_filename},
                      {"kind", upload.kind},
                      {"media_type", upload.media_type}};
  add_if_known(object, "language", upload.language);
  object["size_bytes"] = upload.size_bytes;
  object["sha256"] = upload.sha256;
  object["created_at"] = upload.created_at;
  add_if_known(object, "description", upload.description);
  add_if_known(object, "duplicate_of", upload.duplicate_of);
  add_if_known(object, "text_preview", upload.text_preview);
  return object;
}

Result<int> parse_limit(std::string_view text) {
  int limit = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return fail(Kind::malformed, "limit_malformed", "limit must be a whole number.");
  }
  return limit;
}

Result<storage::UploadQuery> parse_query(std::string_view query) {
  storage::UploadQuery wanted;
  const auto limit = net::query_parameter(query, "limit");
  if (!limit) return std::unexpected(limit.error());
  if (*limit) {
    const auto number = parse_limit(**limit);
    if (!number) return std::unexpected(number.error());
    wanted.limit = *number;
  }
  struct Text {
    std::string_view name;
    std::string& value;
  };
  for (const Text& text : {Text{"cursor", wanted.cursor}, Text{"kind", wanted.kind}, Text{"q", wanted.q}}) {
    auto value = net::query_parameter(query, text.name);
    if (!value) return std::unexpected(std::move(value.error()));
    text.value = value->value_or("");
  }
  if (!wanted.kind.empty() && !intake::content_named(wanted.kind)) {
    return fail(Kind::malformed, "kind_unknown", "kind must be text, code, image, archive, document or data.");
  }
  if (wanted.q.size() > kSearchBytesMax) {
    return fail(Kind::malformed, "q_too_long", "q may have at most " + std::to_string(kSearchBytesMax) + " bytes.");
  }
  return wanted;
}

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
    if (piece->empty()) co_return fail(Kind::internal, "bytes_missing", "The file ended early.", file.upload().sha256);
    auto written = co_await exchange.write(*piece);
    if (!written) co_return written;
    range.first += piece->size();
    range.size -= piece->size();
  }
  co_return co_await exchange.finish();
}

}  // namespace

Task<Result<void>> UploadHandlers::upload_file(net::Exchange& exchange) {
  UploadForm form(exchange, intake_, upload_bytes_max(), kFormFields);
  auto read = co_await form.read();
  if (!read) co_return read;
  auto upload = co_await form.store({.client_filename = {}, .description = form.field("description")});
  if (!upload) co_return std::unexpected(std::move(upload.error()));

  const std::string body = json::serialize(json::object{{"upload", to_json(*upload)}});
  co_return co_await exchange.respond(200, kJson, body);
}

Task<Result<void>> UploadHandlers::list(net::Exchange& exchange) {
  auto query = parse_query(exchange.head().query);
  if (!query) co_return std::unexpected(std::move(query.error()));
  const auto page = co_await intake_.list(std::move(*query));
  if (!page) co_return std::unexpected(page.error());

  json::array uploads;
  for (const storage::Upload& upload : page->uploads) uploads.push_back(to_json(upload));
  json::value next_cursor;
  if (page->next_cursor) next_cursor = *page->next_cursor;
  const json::object answer{{"uploads", std::move(uploads)}, {"next_cursor", std::move(next_cursor)}};
  const std::string body = json::serialize(answer);
  co_return co_await exchange.respond(200, kJson, body);
}

Task<Result<void>> UploadHandlers::find(net::Exchange& exchange, std::string id) {
  const auto upload = co_await intake_.find(std::move(id));
  if (!upload) co_return std::unexpected(upload.error());
  const std::string body = json::serialize(json::object{{"upload", to_json(*upload)}});
  co_return co_await exchange.respond(200, kJson, body);
}

Task<Result<void>> UploadHandlers::remove(net::Exchange& exchange, std::string id) {
  auto removed = co_await intake_.remove(id);
  if (!removed) co_return removed;
  const std::string body = json::serialize(json::object{{"deleted", true}, {"id", id}});
  co_return co_await exchange.respond(200, kJson, body);
}

Task<Result<void>> UploadHandlers::content(net::Exchange& exchange, std::string id) {
  auto opened = co_await intake_.open(std::move(id));
  if (!opened) co_return std::unexpected(std::move(opened.error()));
  services::Outgoing& file = **opened;
  const std::uint64_t size_bytes = file.size_bytes();
  const net::RequestHead& head = exchange.head();

  // The bytes of an upload never change, so their digest is a strong tag and a client's copy stays good.
  const std::string tag = "\"" + file.upload().sha256 + "\"";
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
  const SafeType type = safe_type(file.upload());
  fields.push_back(
      {.name = "Content-Disposition", .value = content_disposition(file.upload().filename, type.may_be_shown)});
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

SafeType safe_type(const storage::Upload& upload) {
  const auto content = intake::content_named(upload.kind);
  const bool is_text = content == intake::Content::text || content == intake::Content::code;
  if (is_text) return {.content_type = "text/plain; charset=utf-8", .may_be_shown = true};
  for (const std::string_view image : {"image/png", "image/jpeg", "image/gif", "image/webp"}) {
    if (upload.media_type == image) return {.content_type = upload.media_type, .may_be_shown = true};
  }
  return {.content_type = upload.media_type};
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
