#include "http/handlers/anthropic.h"

#include "http/answering.h"
#include "protocols/anthropic.h"

namespace gbgreg::http {

namespace anthropic = protocols::anthropic;

Task<Result<void>> AnthropicHandlers::messages(Call& call) {
  auto body = co_await json_.read(call.exchange);
  if (!body) co_return std::unexpected(std::move(body.error()));
  auto asked = anthropic::parse_messages(body->text, json_.limits(), anthropic::For::answer);
  if (!asked) co_return std::unexpected(std::move(asked.error()));
  body->drop_text();
  asked->request.id = call.request_id;
  asked->request.caller = &call.caller;
  call.exchange.cancel_when_client_leaves();
  anthropic::MessageWriter writer;
  const Delivery delivery = asked->stream ? Delivery::stream : Delivery::whole;
  co_return co_await answer(call, generate_, clock_, std::move(asked->request), writer, delivery);
}

Task<Result<void>> AnthropicHandlers::count_tokens(Call& call) {
  auto body = co_await json_.read(call.exchange);
  if (!body) co_return std::unexpected(std::move(body.error()));
  auto asked = anthropic::parse_messages(body->text, json_.limits(), anthropic::For::count);
  if (!asked) co_return std::unexpected(std::move(asked.error()));
  body->drop_text();
  asked->request.id = call.request_id;
  asked->request.caller = &call.caller;
  call.exchange.cancel_when_client_leaves();
  auto counted = co_await generate_.count_tokens(call.exchange.io(), std::move(asked->request));
  if (!counted) co_return std::unexpected(std::move(counted.error()));
  co_return co_await call.exchange.respond(200, kJson, anthropic::write_count(*counted));
}

}  // namespace gbgreg::http
