#include "http/handlers/uploads.h"

#include <algorithm>
#include <boost/json.hpp>

#include "http/file_content.h"
#include "http/query.h"
#include "http/upload_form.h"
#include "http/upload_json.h"
#include "intake/intake.h"
#include "net/grammar.h"

namespace gbgreg::http {
namespace {

namespace json = boost::json;

constexpr UploadForm::Field kFormFields[] = {{.name = "description", .bytes_max = 16 * 1024}};
constexpr std::size_t kSearchBytesMax = 200;

Result<storage::UploadQuery> parse_query(std::string_view query) {
  storage::UploadQuery wanted;
  const auto limit = query_number(query, "limit", wanted.limit);
  if (!limit) return std::unexpected(limit.error());
  wanted.limit = *limit;
  struct Text {
    std::string_view name;
    std::string& value;
  };
  for (const Text& text : {Text{"cursor", wanted.cursor}, Text{"kind", wanted.kind}, Text{"q", wanted.q}}) {
    auto value = query_text(query, text.name);
    if (!value) return std::unexpected(std::move(value.error()));
    text.value = std::move(*value);
  }
  if (!wanted.kind.empty() && !intake::content_named(wanted.kind)) {
    return fail(Kind::malformed, "kind_unknown", "kind must be text, code, image, archive, document or data.");
  }
  if (wanted.q.size() > kSearchBytesMax) {
    return fail(Kind::malformed, "q_too_long", "q may have at most " + std::to_string(kSearchBytesMax) + " bytes.");
  }
  return wanted;
}

}  // namespace

Task<Result<void>> UploadHandlers::upload_file(Call& call) {
  UploadForm form(call.exchange, intake_, upload_bytes_max(), kFormFields);
  auto read = co_await form.read();
  if (!read) co_return read;
  auto upload = co_await form.store({.client_filename = {}, .description = form.field("description")});
  if (!upload) co_return std::unexpected(std::move(upload.error()));
  call.target = {.id = upload->id, .name = upload->filename};

  const std::string body = json::serialize(json::object{{"upload", upload_json(*upload)}});
  co_return co_await call.exchange.respond(200, kJson, body);
}

Task<Result<void>> UploadHandlers::list(net::Exchange& exchange) {
  auto query = parse_query(exchange.head().query);
  if (!query) co_return std::unexpected(std::move(query.error()));
  const auto page = co_await intake_.list(std::move(*query));
  if (!page) co_return std::unexpected(page.error());

  json::array uploads;
  for (const storage::Upload& upload : page->uploads) uploads.push_back(upload_json(upload));
  json::value next_cursor;
  if (page->next_cursor) next_cursor = *page->next_cursor;
  const json::object answer{{"uploads", std::move(uploads)}, {"next_cursor", std::move(next_cursor)}};
  const std::string body = json::serialize(answer);
  co_return co_await exchange.respond(200, kJson, body);
}

Task<Result<void>> UploadHandlers::find(net::Exchange& exchange, std::string id) {
  const auto upload = co_await intake_.find(std::move(id));
  if (!upload) co_return std::unexpected(upload.error());
  const std::string body = json::serialize(json::object{{"upload", upload_json(*upload)}});
  co_return co_await exchange.respond(200, kJson, body);
}

Task<Result<void>> UploadHandlers::remove(Call& call) {
  auto removed = co_await intake_.remove(call.parameter);
  if (!removed) co_return std::unexpected(std::move(removed.error()));
  call.target.name = std::move(removed->filename);
  const std::string body = json::serialize(json::object{{"deleted", true}, {"id", call.parameter}});
  co_return co_await call.exchange.respond(200, kJson, body);
}

Task<Result<void>> UploadHandlers::content(net::Exchange& exchange, std::string id) {
  auto opened = co_await intake_.open(std::move(id));
  if (!opened) co_return std::unexpected(std::move(opened.error()));
  co_return co_await send_file(exchange, **opened);
}

}  // namespace gbgreg::http
