#include "backends/llama_backend.h"

#include "protocols/engine_wire.h"

namespace gbgreg::backends {

LlamaBackend::LlamaBackend(net::Address address, std::string bearer, const LlamaOptions& options)
    : address_(std::move(address)), bearer_(std::move(bearer)), options_(options) {}

Task<Result<llm::Completion>> LlamaBackend::generate(net::IoThread& io, const llm::Request& request, llm::Sink& sink) {
  const std::string body = protocols::engine_wire::write_chat_request(request);
  const net::ClientRequest asked{.method = "POST",
                                 .target = "/v1/chat/completions",
                                 .bearer = bearer_,
                                 .body = body,
                                 .head_timeout = options_.first_token_timeout,
                                 .body_idle_timeout = options_.between_tokens_timeout,
                                 .deadline = request.deadline};
  auto answer = co_await net::send(io, address_, asked);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  if ((*answer)->status() != 200) {
    auto error_body = co_await (*answer)->read_all(options_.error_bytes_max);
    co_return std::unexpected(
        protocols::engine_wire::read_error((*answer)->status(), error_body ? *error_body : std::string{}));
  }

  protocols::engine_wire::StreamReader reader;
  std::string text;
  while (!reader.done()) {
    auto piece = co_await (*answer)->read_body();
    if (!piece) co_return std::unexpected(std::move(piece.error()));
    if (piece->empty()) break;
    text.clear();
    auto fed = reader.feed(*piece, text);
    if (!text.empty()) {
      auto taken = co_await sink.text(text);
      if (!taken) co_return std::unexpected(std::move(taken.error()));
    }
    if (!fed) co_return std::unexpected(std::move(fed.error()));
  }
  co_return reader.finish();
}

// The body is left unread, which closes the connection: a kept one would hold one of the engine's few threads.
Task<Result<void>> LlamaBackend::check(net::IoThread& io, SteadyTime deadline) {
  const net::ClientRequest asked{.method = "GET", .target = "/health", .bearer = bearer_, .deadline = deadline};
  auto answer = co_await net::send(io, address_, asked);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  if ((*answer)->status() != 200) {
    co_return fail(Kind::backend_failed, "backend_failed", "The model's server is not well.",
                   "status " + std::to_string((*answer)->status()));
  }
  co_return Result<void>{};
}

}  // namespace gbgreg::backends
