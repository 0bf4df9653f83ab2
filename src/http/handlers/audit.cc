#include "http/handlers/audit.h"

#include <string>
#include <string_view>
#include <utility>

#include "http/query.h"
#include "net/http_head.h"
#include "protocols/json_writer.h"

namespace gbgreg::http {
namespace {

using protocols::JsonWriter;

// As a filter: those that nobody is known to have done.
constexpr std::string_view kNobody = "nobody";

Result<storage::AuditQuery> parse_query(std::string_view query) {
  storage::AuditQuery wanted;
  const auto limit = query_number(query, "limit", wanted.limit);
  if (!limit) return std::unexpected(limit.error());
  wanted.limit = *limit;
  for (const auto& [name, value] : {std::pair("cursor", &wanted.cursor), std::pair("action", &wanted.action)}) {
    auto text = query_text(query, name);
    if (!text) return std::unexpected(std::move(text.error()));
    *value = std::move(*text);
  }
  auto actor = net::query_parameter(query, "actor");
  if (!actor) return std::unexpected(std::move(actor.error()));
  if (*actor && !(*actor)->empty()) wanted.actor = **actor == kNobody ? std::string() : std::move(**actor);
  return wanted;
}

void write_text(JsonWriter& json, std::string_view name, const std::string& text) {
  json.key(name);
  if (text.empty()) {
    json.null();
  } else {
    json.text(text);
  }
}

void write_row(JsonWriter& json, const storage::AuditRow& row) {
  json.open_object();
  json.key("id").text(row.id);
  json.key("created_at").text(row.created_at);
  write_text(json, "actor", row.actor);
  write_text(json, "actor_name", row.actor_name);
  write_text(json, "peer", row.peer);
  json.key("action").text(row.action);
  json.key("target").open_object();
  json.key("kind").text(row.target_kind);
  write_text(json, "id", row.target_id);
  write_text(json, "name", row.target_name);
  json.close_object();
  json.key("status").number(row.status);
  write_text(json, "error_code", row.error_code);
  write_text(json, "request_id", row.request_id);
  json.key("left_out").number(row.left_out);
  json.close_object();
}

}  // namespace

Task<Result<void>> AuditHandlers::list(Call& call) {
  auto query = parse_query(call.exchange.head().query);
  if (!query) co_return std::unexpected(std::move(query.error()));
  const auto page = co_await audit_.list(std::move(*query));
  if (!page) co_return std::unexpected(page.error());

  std::string body;
  JsonWriter json(body);
  json.open_object();
  json.key("audit").open_array();
  for (const storage::AuditRow& row : page->rows) write_row(json, row);
  json.close_array();
  write_text(json, "next_cursor", page->next_cursor.value_or(""));
  json.close_object();
  co_return co_await call.exchange.respond(200, kJson, body);
}

}  // namespace gbgreg::http
