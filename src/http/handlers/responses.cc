#include "http/handlers/responses.h"

#include <utility>
#include <vector>

#include "http/answering.h"
#include "protocols/openai_files.h"
#include "protocols/openai_responses.h"
#include "services/attach.h"

namespace gbgreg::http {
namespace {

namespace openai_responses = protocols::openai_responses;

// An id that is none of ours is looked up all the same, and not found.
std::vector<services::Attachment> attachments_of(std::vector<openai_responses::NamedFile> files) {
  std::vector<services::Attachment> attachments;
  attachments.reserve(files.size());
  for (auto& file : files) {
    attachments.push_back({.upload_id = protocols::openai_files::upload_id(file.id).value_or(""),
                           .message = file.message,
                           .offset = file.offset,
                           .field = std::move(file.field)});
  }
  return attachments;
}

}  // namespace

Task<Result<void>> ResponseHandlers::create(Call& call) {
  const WallTime created = clock_.wall();
  auto body = co_await json_.read(call.exchange);
  if (!body) co_return std::unexpected(std::move(body.error()));
  auto asked = openai_responses::parse_response(body->text, json_.limits());
  if (!asked) co_return std::unexpected(std::move(asked.error()));
  body->drop_text();
  asked->request.id = call.request_id;
  asked->request.caller = &call.caller;
  call.exchange.cancel_when_client_leaves();
  if (!asked->files.empty()) {
    services::ReserveBytes reserve = [&body](std::uint64_t bytes) { return body->hold_more(bytes); };
    auto attachments = attachments_of(std::move(asked->files));
    auto attached = co_await services::attach(intake_, std::move(attachments), json_.limits().text_bytes_max,
                                              std::move(reserve), asked->request);
    if (!attached) co_return attached;
  }
  openai_responses::ResponseWriter writer(std::move(asked->echo), created);
  const Delivery delivery = asked->stream ? Delivery::stream : Delivery::whole;
  co_return co_await answer(call, generate_, clock_, std::move(asked->request), writer, delivery);
}

Task<Result<void>> ResponseHandlers::none(Call&) {
  co_return fail(Kind::not_found, "response_not_found",
                 "Responses are not kept here (\"store\": false), so none can be looked up or changed.");
}

}  // namespace gbgreg::http
