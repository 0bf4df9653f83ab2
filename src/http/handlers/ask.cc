#include "http/handlers/ask.h"

#include "http/answering.h"
#include "protocols/native.h"
#include "services/attach.h"

namespace gbgreg::http {

namespace ollama = protocols::ollama;

AskHandlers::AskHandlers(services::Generate& generate, services::FleetAdmin& admin, services::Intake& intake,
                         const Clock& clock, JsonReading& json)
    : generate_(generate), admin_(admin), intake_(intake), clock_(clock), json_(json) {}

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
  if (asked->load_only) co_return co_await move(call, *asked, ollama::Form::generate);
  ollama::GenerateWriter writer(asked->model_named);
  co_return co_await answer(call, std::move(*asked), *body, writer);
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
  if (asked->load_only) co_return co_await move(call, *asked, ollama::Form::chat);
  ollama::ChatWriter writer;
  co_return co_await answer(call, std::move(*asked), *body, writer);
}

Task<Result<void>> AskHandlers::answer(Call& call, ollama::Asked asked, JsonBody& body,
                                       protocols::AnswerWriter& writer) {
  auto attached = co_await attach(std::move(asked.upload_ids), body, asked.request);
  if (!attached) co_return std::unexpected(std::move(attached.error()));
  const Delivery delivery = asked.stream ? Delivery::stream : Delivery::whole;
  const bool leaves_at_once = asked.leaves_at_once();
  const bool has_uploads = !attached->texts.empty() || !attached->images.empty();
  auto answered = co_await http::answer(call, generate_, clock_, std::move(asked.request), writer, delivery,
                                        has_uploads ? &*attached : nullptr);
  // Others may be using it; whoever may not send it away has asked for too much, and been answered all the same.
  if (leaves_at_once && call.caller.is_admin()) admin_.unload_when_idle(call.use.role, call.use.model);
  co_return answered;
}

Task<Result<services::Attached>> AskHandlers::attach(std::vector<std::string> upload_ids, JsonBody& body,
                                                     llm::Request& request) {
  if (upload_ids.empty()) co_return services::Attached{};
  const protocols::Limits limits = json_.limits();
  const services::UploadBounds bounds{.text_bytes_max = limits.text_bytes_max,
                                      .images_max = limits.images_max,
                                      .image_bytes_max = limits.image_bytes_max};
  services::ReserveBytes reserve = [&body](std::uint64_t bytes) { return body.hold_more(bytes); };
  co_return co_await services::attach_uploads(intake_, std::move(upload_ids), bounds, std::move(reserve), request);
}

Task<Result<void>> AskHandlers::move(Call& call, const ollama::Asked& asked, ollama::Form form) {
  llm::AnswerNotes notes;
  if (asked.leaves_at_once()) {
    call.action = "role.unload";
    call.target.name = asked.request.model;
    if (!call.caller.is_admin()) co_return needs_admin();
    auto unloaded = admin_.unload(asked.request.model);
    if (!unloaded) co_return std::unexpected(std::move(unloaded.error()));
    notes = std::move(*unloaded);
  } else {
    auto loaded = co_await generate_.load(asked.request);
    if (!loaded) co_return std::unexpected(std::move(loaded.error()));
    notes = std::move(loaded->notes);
  }
  notes.request_id = call.request_id;
  note_choice(call, notes);
  std::string body;
  const auto moved = asked.leaves_at_once() ? ollama::Moved::out : ollama::Moved::in;
  ollama::write_moved(body, form, moved, notes, clock_.wall());
  const std::string_view type = asked.stream ? kNdjson : kJson;
  co_return co_await call.exchange.respond(200, type, body, decision_fields(notes));
}

Task<Result<void>> AskHandlers::route(Call& call) {
  auto body = co_await json_.read(call.exchange);
  if (!body) co_return std::unexpected(std::move(body.error()));
  auto asked = protocols::native::parse_route(body->text, json_.limits());
  if (!asked) co_return std::unexpected(std::move(asked.error()));
  auto attached = co_await attach(std::move(asked->upload_ids), *body, asked->request);
  if (!attached) co_return std::unexpected(std::move(attached.error()));
  asked->request.caller = &call.caller;
  auto decision = generate_.decide(asked->request);
  if (!decision) co_return std::unexpected(std::move(decision.error()));
  co_return co_await call.exchange.respond(200, kJson, protocols::native::write_decision(*decision));
}

}  // namespace gbgreg::http
