// A model on an outside server that speaks OpenAI's dialect: vLLM, llama-server, Ollama by its /v1, and any other.
// Any I/O thread.
//
// The server is not trusted, and its errors are told as what they mean here: 429, and 503 with a Retry-After, are busy
// for so long; 401 and 403 are the owner's business and never the client's. The key stands in no error, and what the
// server says of itself in none that a client sees.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "backends/backend.h"
#include "net/client.h"

namespace gbgreg::backends {

struct OpenAiOptions {
  // How it is asked which models it has, and how long their prompts may be.
  enum class Lists : std::uint8_t { openai, ollama, llama_server };
  net::Address address;
  std::string key = {};
  std::string model;      // As the server calls it.
  std::string name = {};  // As clients do.
  protocols::Takes takes = protocols::Takes::openai;
  Lists lists = Lists::openai;
  bool counts_tokens = false;  // It has llama-server's own ways of counting and cutting.
  // A server may send its head with the first token, so this bounds its queue and the prompt together.
  std::chrono::milliseconds first_token_timeout{600'000};
  std::chrono::milliseconds between_tokens_timeout{60'000};
  std::chrono::milliseconds vectors_timeout{60'000};  // Of the few texts that are asked for at once.
  std::size_t error_bytes_max = 64 * 1024;
  std::size_t list_bytes_max = 4 * 1024 * 1024;  // Of its models, or of what it says of one.
  std::size_t vectors_bytes_max = 16 * 1024 * 1024;
};

class OpenAiBackend final : public Backend {
 public:
  explicit OpenAiBackend(OpenAiOptions options) : options_(std::move(options)) {}

  Task<Result<llm::Completion>> generate(net::IoThread& io, const llm::Request& request, llm::Sink& sink) override;
  // Errors: also refused, where the server cannot count.
  Task<Result<int>> count_tokens(net::IoThread& io, const llm::Request& request) override;
  Task<Result<llm::EmbedBatch>> embed(net::IoThread& io, std::span<const llm::EmbedInput> inputs, SteadyTime deadline,
                                      std::string_view trace_fields) override;
  Task<Result<llm::TokenIds>> tokens(net::IoThread& io, std::string_view text, SteadyTime deadline) override;
  // The model in the body becomes the server's own name for it, and ours again in the answer, from which blanks between
  // JSON's tokens are left out; all other bytes pass.
  Task<Result<void>> post(net::IoThread& io, const Post& post, ByteSink& sink) override;
  Task<Result<protocols::ServerModels>> check(net::IoThread& io, SteadyTime deadline) override;
  Task<Result<std::optional<int>>> context_tokens(net::IoThread& io, SteadyTime deadline) override;
  std::string without_secrets(std::string detail) const override;
  protocols::Takes takes() const override { return options_.takes; }

 private:
  Task<Result<std::string>> get(net::IoThread& io, std::string_view target, SteadyTime deadline);
  net::ClientRequest request_for(const Post& post) const;
  Task<Error> refusal(net::ClientAnswer& answer);
  Task<Result<std::unique_ptr<net::ClientAnswer>>> ask(net::IoThread& io, const Post& post);
  Task<Result<std::string>> ask_whole(net::IoThread& io, const Post& post, std::size_t bytes_max);

  OpenAiOptions options_;
};

}  // namespace gbgreg::backends
