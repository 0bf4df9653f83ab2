#include "http/handlers/embeddings.h"

#include <string>

#include "http/answering.h"
#include "net/io_thread.h"
#include "protocols/openai_embeddings.h"

namespace gbgreg::http {
namespace {

// An answer up to this is sent whole; of a longer one no more than this is held as text.
constexpr std::size_t kPieceBytesMax = 256 * 1024;

std::uint64_t bytes_of(const llm::Embeddings& answer) {
  return answer.vectors.empty() ? 0 : answer.vectors.size() * answer.vectors.front().size() * sizeof(float);
}

// Writes the vectors in pieces. Between them others on this thread have their turn: there may be millions of numbers.
Task<Result<void>> send(Call& call, const llm::Embeddings& answer, protocols::EmbeddingsWriter& writer) {
  net::Exchange& exchange = call.exchange;
  std::string piece;
  writer.begin(piece, answer);
  for (std::size_t i = 0; i < answer.vectors.size(); ++i) {
    writer.vector(piece, i, answer.vectors[i]);
    if (piece.size() < kPieceBytesMax) continue;
    if (!exchange.begun()) exchange.begin_stream(200, kJson, decision_fields(answer.notes));
    auto written = co_await exchange.write(piece);
    if (!written) co_return written;
    piece.clear();
    co_await asio::post(exchange.io().executor(), use_task);
  }
  writer.end(piece, answer);
  if (!exchange.begun()) co_return co_await exchange.respond(200, kJson, piece, decision_fields(answer.notes));
  auto written = co_await exchange.write(piece);
  if (!written) co_return written;
  co_return co_await exchange.finish();
}

}  // namespace

Task<Result<void>> EmbeddingHandlers::openai(Call& call) {
  auto body = co_await json_.read(call.exchange);
  if (!body) co_return std::unexpected(std::move(body.error()));
  auto asked = protocols::openai::parse_embeddings(body->text, json_.limits());
  if (!asked) co_return std::unexpected(std::move(asked.error()));
  protocols::openai::EmbeddingsListWriter writer(asked->encoding);
  co_return co_await answer(call, *body, std::move(asked->request), writer);
}

Task<Result<void>> EmbeddingHandlers::embed(Call& call) { return ollama(call, protocols::ollama::EmbedForm::several); }

Task<Result<void>> EmbeddingHandlers::embeddings(Call& call) { return ollama(call, protocols::ollama::EmbedForm::one); }

Task<Result<void>> EmbeddingHandlers::ollama(Call& call, protocols::ollama::EmbedForm form) {
  auto body = co_await json_.read(call.exchange);
  if (!body) co_return std::unexpected(std::move(body.error()));
  auto asked = protocols::ollama::parse_embed(body->text, json_.limits(), form);
  if (!asked) co_return std::unexpected(std::move(asked.error()));
  protocols::ollama::EmbedWriter writer(form);
  if (asked->leaves_at_once && asked->request.inputs.empty()) {
    call.action = "role.unload";
    call.target.name = asked->request.model;
    if (!call.caller.is_admin()) co_return needs_admin();
    auto unloaded = admin_.unload(asked->request.model);
    if (!unloaded) co_return std::unexpected(std::move(unloaded.error()));
    llm::Embeddings nothing;
    nothing.notes = std::move(*unloaded);
    nothing.notes.request_id = call.request_id;
    note_choice(call, nothing.notes);
    co_return co_await send(call, nothing, writer);
  }
  auto answered = co_await answer(call, *body, std::move(asked->request), writer);
  if (asked->leaves_at_once && call.caller.is_admin()) admin_.unload_when_idle(call.use.role, call.use.model);
  co_return answered;
}

Task<Result<void>> EmbeddingHandlers::answer(Call& call, JsonBody& body, llm::EmbedRequest request,
                                             protocols::EmbeddingsWriter& writer) {
  body.drop_text();
  request.id = call.request_id;
  request.caller = &call.caller;
  call.exchange.cancel_when_client_leaves();
  llm::AnswerNotes chosen;
  auto made = co_await embed_.embed(call.exchange.io(), std::move(request), chosen);
  note_choice(call, chosen);
  if (!made) co_return std::unexpected(std::move(made.error()));
  call.use.ttft_ms = made->notes.ttft_ms;
  call.use.prompt_tokens = made->prompt_tokens;
  // From here on the vectors are what is held, for as long as their reader takes.
  if (!body.share.resize(bytes_of(*made))) co_return budget_spent();
  co_return co_await send(call, *made, writer);
}

}  // namespace gbgreg::http
