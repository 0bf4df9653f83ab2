#include "backends/llama_backend.h"

#include "llm/trace.h"
#include "protocols/engine_embeddings.h"
#include "protocols/engine_wire.h"

namespace gbgreg::backends {

LlamaBackend::LlamaBackend(net::Address address, std::string bearer, const LlamaOptions& options)
    : address_(std::move(address)), bearer_(std::move(bearer)), options_(options) {}

net::ClientRequest LlamaBackend::request_for(const Post& post) const {
  return {.method = "POST",
          .target = post.target,
          .bearer = bearer_,
          .fields = post.trace_fields,
          .body = post.body,
          .head_timeout = options_.first_token_timeout,
          .body_idle_timeout = options_.between_tokens_timeout,
          .deadline = post.deadline};
}

// What an answer that is none says.
Task<Error> LlamaBackend::refusal(net::ClientAnswer& answer) {
  auto body = co_await answer.read_all(options_.error_bytes_max);
  co_return protocols::engine_wire::read_error(answer.status(), body ? *body : std::string{});
}

// Sends and waits for the head of an answer that is one.
Task<Result<std::unique_ptr<net::ClientAnswer>>> LlamaBackend::ask(net::IoThread& io, const Post& post) {
  auto answer = co_await net::send(io, address_, request_for(post));
  if (answer && (*answer)->status() != 200) co_return std::unexpected(co_await refusal(**answer));
  co_return answer;
}

Task<Result<llm::Completion>> LlamaBackend::generate(net::IoThread& io, const llm::Request& request, llm::Sink& sink) {
  std::string body = protocols::engine_wire::write_chat_request(request);
  const Post asked{.target = "/v1/chat/completions",
                   .body = {body},
                   .trace_fields = llm::trace_fields(request.caller),
                   .deadline = request.deadline};
  auto answer = co_await ask(io, asked);
  std::string().swap(body);  // It may be megabytes of images, and the answer takes a while.
  if (!answer) co_return std::unexpected(std::move(answer.error()));

  protocols::engine_wire::StreamReader reader;
  llm::Delta delta;
  while (!reader.done()) {
    auto piece = co_await (*answer)->read_body();
    if (!piece) co_return std::unexpected(std::move(piece.error()));
    if (piece->empty()) break;
    delta.clear();
    auto fed = reader.feed(*piece, delta);
    if (!delta.empty()) {
      auto taken = co_await sink.delta(delta);
      if (!taken) co_return std::unexpected(std::move(taken.error()));
    }
    if (!fed) co_return std::unexpected(std::move(fed.error()));
  }
  co_return reader.finish();
}

Task<Result<std::string>> LlamaBackend::ask_whole(net::IoThread& io, const Post& post, std::size_t bytes_max) {
  auto answer = co_await ask(io, post);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  co_return co_await (*answer)->read_all(bytes_max);
}

Task<Result<int>> LlamaBackend::count_tokens(net::IoThread& io, const llm::Request& request) {
  const std::string body = protocols::engine_wire::write_chat_request(request, false);
  const Post asked{.target = "/v1/chat/completions/input_tokens",
                   .body = body,
                   .trace_fields = llm::trace_fields(request.caller),
                   .deadline = request.deadline};
  const auto counted = co_await ask_whole(io, asked, options_.error_bytes_max);
  if (!counted) co_return std::unexpected(counted.error());
  co_return protocols::engine_wire::read_count(*counted);
}

Task<Result<llm::EmbedBatch>> LlamaBackend::embed(net::IoThread& io, std::span<const llm::EmbedInput> inputs,
                                                  SteadyTime deadline, std::string_view trace_fields) {
  const std::string body = protocols::engine_wire::write_embed_request(inputs);
  const Post asked{.target = "/v1/embeddings", .body = body, .trace_fields = trace_fields, .deadline = deadline};
  const auto vectors = co_await ask_whole(io, asked, options_.vectors_bytes_max);
  if (!vectors) co_return std::unexpected(vectors.error());
  co_return protocols::engine_wire::read_embeddings(*vectors, inputs.size());
}

Task<Result<llm::TokenIds>> LlamaBackend::tokens(net::IoThread& io, std::string_view text, SteadyTime deadline) {
  const std::string body = protocols::engine_wire::write_tokenize_request(text);
  const Post asked{.target = "/tokenize", .body = body, .deadline = deadline};
  const auto tokens = co_await ask_whole(io, asked, options_.tokens_bytes_max);
  if (!tokens) co_return std::unexpected(tokens.error());
  co_return protocols::engine_wire::read_tokens(*tokens);
}

// Every request of the backend's own dialect comes by here, so it takes as few coroutines as it can.
Task<Result<void>> LlamaBackend::post(net::IoThread& io, const Post& post, ByteSink& sink) {
  auto answer = co_await net::send(io, address_, request_for(post));
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  if ((*answer)->status() != 200) co_return std::unexpected(co_await refusal(**answer));
  while (true) {
    auto at_hand = (*answer)->body_at_hand();
    auto piece = at_hand ? std::move(*at_hand) : co_await (*answer)->read_body();
    if (!piece) co_return std::unexpected(std::move(piece.error()));
    if (piece->empty()) co_return Result<void>{};
    auto taken = sink.bytes(*piece);
    if (!taken) co_return std::unexpected(std::move(taken.error()));
    if (!*taken) continue;
    if (auto drained = co_await sink.drain(); !drained) co_return drained;
  }
}

// The body is left unread, which closes the connection: a kept one would hold one of the engine's few threads.
Task<Result<protocols::ServerModels>> LlamaBackend::check(net::IoThread& io, SteadyTime deadline) {
  const net::ClientRequest asked{.method = "GET", .target = "/health", .bearer = bearer_, .deadline = deadline};
  auto answer = co_await net::send(io, address_, asked);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  if ((*answer)->status() != 200) {
    co_return fail(Kind::backend_failed, "backend_failed", "The model's server is not well.",
                   "status " + std::to_string((*answer)->status()));
  }
  co_return protocols::ServerModels{};
}

}  // namespace gbgreg::backends
