// A llama-server worker, spoken to in its own dialect over a Unix socket or TCP. Any I/O thread.
#pragma once

#include <memory>
#include <string>

#include "backends/backend.h"
#include "net/client.h"

namespace gbgreg::backends {

struct LlamaOptions {
  // The engine sends its head with the first token, so this bounds queueing and prompt processing together.
  std::chrono::milliseconds first_token_timeout{600'000};
  std::chrono::milliseconds between_tokens_timeout{60'000};
  std::size_t error_bytes_max = 64 * 1024;           // Of an error, or of a count.
  std::size_t vectors_bytes_max = 16 * 1024 * 1024;  // Of the vectors that are asked for at once.
  std::size_t tokens_bytes_max = 16 * 1024 * 1024;   // Of the tokens of one text.
};

class LlamaBackend final : public Backend {
 public:
  LlamaBackend(net::Address address, std::string bearer, const LlamaOptions& options = {});

  Task<Result<llm::Completion>> generate(net::IoThread& io, const llm::Request& request, llm::Sink& sink) override;
  Task<Result<int>> count_tokens(net::IoThread& io, const llm::Request& request) override;
  Task<Result<llm::EmbedBatch>> embed(net::IoThread& io, std::span<const llm::EmbedInput> inputs, SteadyTime deadline,
                                      std::string_view trace_fields) override;
  Task<Result<llm::TokenIds>> tokens(net::IoThread& io, std::string_view text, SteadyTime deadline) override;
  Task<Result<void>> post(net::IoThread& io, const Post& post, ByteSink& sink) override;
  Task<Result<protocols::ServerModels>> check(net::IoThread& io, SteadyTime deadline) override;

 private:
  net::ClientRequest request_for(const Post& post) const;
  Task<Error> refusal(net::ClientAnswer& answer);
  Task<Result<std::unique_ptr<net::ClientAnswer>>> ask(net::IoThread& io, const Post& post);
  Task<Result<std::string>> ask_whole(net::IoThread& io, const Post& post, std::size_t bytes_max);

  net::Address address_;
  std::string bearer_;
  LlamaOptions options_;
};

}  // namespace gbgreg::backends
