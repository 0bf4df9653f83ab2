#include "http/handlers/openai.h"

#include "http/relaying.h"
#include "protocols/openai.h"

namespace gbgreg::http {

namespace openai = protocols::openai;

Task<Result<void>> OpenAiHandlers::chat(Call& call) {
  auto body = co_await json_.read(call.exchange);
  if (!body) co_return std::unexpected(std::move(body.error()));
  auto asked = openai::parse_chat(body->text, json_.limits());
  if (!asked) co_return std::unexpected(std::move(asked.error()));
  if (asked->fields.large.empty()) body->drop_text();
  asked->request.id = call.request_id;
  call.exchange.cancel_when_client_leaves();
  co_return co_await relay(call, generate_, clock_, std::move(*asked), Relayed::chat);
}

Task<Result<void>> OpenAiHandlers::completion(Call& call) {
  auto body = co_await json_.read(call.exchange);
  if (!body) co_return std::unexpected(std::move(body.error()));
  auto asked = openai::parse_completion(body->text, json_.limits());
  if (!asked) co_return std::unexpected(std::move(asked.error()));
  if (asked->fields.large.empty()) body->drop_text();
  asked->request.id = call.request_id;
  call.exchange.cancel_when_client_leaves();
  co_return co_await relay(call, generate_, clock_, std::move(*asked), Relayed::completion);
}

}  // namespace gbgreg::http
