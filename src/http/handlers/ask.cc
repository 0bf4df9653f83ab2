#include "http/handlers/ask.h"

#include "http/answering.h"
#include "protocols/native.h"

namespace gbgreg::http {

namespace ollama = protocols::ollama;

AskHandlers::AskHandlers(services::Generate& generate, const Clock& clock, JsonReading& json)
    : generate_(generate), clock_(clock), json_(json) {}

Task<Result<void>> AskHandlers::generate(Call& call) {
  auto body = co_await json_.read(call.exchange);
  if (!body) co_return std::unexpected(std::move(body.error()));
  auto asked = ollama::parse_generate(body->text, json_.limits());
  if (!asked) {
    // Whoever names a model is a client of Ollama's, and reads errors as one.
    if (ollama::parse_model(body->text, json_.limits())) call.dialect = Dialect::ollama;
    co_return std::unexpected(std::move(asked.error()));
  }
  body->drop_text();  // It may be megabytes of images, and the answer takes a while.
  asked->request.id = call.request_id;
  asked->request.caller = &call.caller;
  if (asked->model_named) call.dialect = Dialect::ollama;

  call.exchange.cancel_when_client_leaves();
  if (asked->load_only) co_return co_await load(call, *asked, ollama::Form::generate);
  ollama::GenerateWriter writer(asked->model_named);
  const Delivery delivery = asked->stream ? Delivery::stream : Delivery::whole;
  co_return co_await answer(call, generate_, clock_, std::move(asked->request), writer, delivery);
}

Task<Result<void>> AskHandlers::chat(Call& call) {
  auto body = co_await json_.read(call.exchange);
  if (!body) co_return std::unexpected(std::move(body.error()));
  auto asked = ollama::parse_chat(body->text, json_.limits());
  if (!asked) co_return std::unexpected(std::move(asked.error()));
  body->drop_text();
  asked->request.id = call.request_id;
  asked->request.caller = &call.caller;

  call.exchange.cancel_when_client_leaves();
  if (asked->load_only) co_return co_await load(call, *asked, ollama::Form::chat);
  ollama::ChatWriter writer;
  const Delivery delivery = asked->stream ? Delivery::stream : Delivery::whole;
  co_return co_await answer(call, generate_, clock_, std::move(asked->request), writer, delivery);
}

Task<Result<void>> AskHandlers::load(Call& call, const ollama::Asked& asked, ollama::Form form) {
  auto loaded = co_await generate_.load(asked.request);
  if (!loaded) co_return std::unexpected(std::move(loaded.error()));
  note_choice(call, loaded->notes);
  std::string body;
  ollama::write_loaded(body, form, *loaded, clock_.wall());
  const std::string_view type = asked.stream ? kNdjson : kJson;
  co_return co_await call.exchange.respond(200, type, body, decision_fields(loaded->notes));
}

Task<Result<void>> AskHandlers::route(Call& call) {
  auto body = co_await json_.read(call.exchange);
  if (!body) co_return std::unexpected(std::move(body.error()));
  auto request = protocols::native::parse_route(body->text, json_.limits());
  if (!request) co_return std::unexpected(std::move(request.error()));
  auto decision = generate_.decide(*request);
  if (!decision) co_return std::unexpected(std::move(decision.error()));
  co_return co_await call.exchange.respond(200, kJson, protocols::native::write_decision(*decision));
}

}  // namespace gbgreg::http
