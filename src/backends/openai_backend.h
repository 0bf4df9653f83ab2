// A model on an outside server that speaks OpenAI's dialect: vLLM, llama-server, Ollama by its /v1, and any other.
// Any I/O thread.
//
// The server is not trusted, and its errors are told as what they mean here: 429 is busy with its Retry-After; 401 and
// 403 are the owner's business and never the client's. The key stands in no error.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "backends/backend.h"
#include "net/client.h"

namespace gbgreg::backends {

struct OpenAiOptions {
  enum class Takes : std::uint8_t { openai, vllm, engine };  // Which fields beside OpenAI's own.
  net::Address address;
  std::string key = {};
  std::string model;  // As the server calls it.
  Takes takes = Takes::openai;
  std::string health_target = "/v1/models";
  bool counts_tokens = false;  // It has llama-server's own ways of counting and cutting.
  // A server may send its head with the first token, so this bounds its queue and the prompt together.
  std::chrono::milliseconds first_token_timeout{600'000};
  std::chrono::milliseconds between_tokens_timeout{60'000};
  std::size_t error_bytes_max = 64 * 1024;
  std::size_t health_bytes_max = 1024 * 1024;
  std::size_t vectors_bytes_max = 16 * 1024 * 1024;
};

class OpenAiBackend final : public Backend {
 public:
  explicit OpenAiBackend(OpenAiOptions options) : options_(std::move(options)) {}

  Task<Result<llm::Completion>> generate(net::IoThread& io, const llm::Request& request, llm::Sink& sink) override;
  // Errors: also refused, where the server cannot count.
  Task<Result<int>> count_tokens(net::IoThread& io, const llm::Request& request) override;
  Task<Result<llm::EmbedBatch>> embed(net::IoThread& io, std::span<const llm::EmbedInput> inputs,
                                      SteadyTime deadline) override;
  Task<Result<llm::TokenIds>> tokens(net::IoThread& io, std::string_view text, SteadyTime deadline) override;
  // The model in the body becomes the server's own name for it, and blanks between JSON's tokens are left out of the
  // answer; all other bytes pass.
  Task<Result<void>> post(net::IoThread& io, const Post& post, ByteSink& sink) override;
  Task<Result<void>> check(net::IoThread& io, SteadyTime deadline) override;

 private:
  net::ClientRequest request_for(const Post& post) const;
  Task<Error> refusal(net::ClientAnswer& answer);
  Task<Result<std::unique_ptr<net::ClientAnswer>>> ask(net::IoThread& io, const Post& post);
  Task<Result<std::string>> ask_whole(net::IoThread& io, const Post& post, std::size_t bytes_max);
  std::string without_key(std::string text) const;

  OpenAiOptions options_;
};

}  // namespace gbgreg::backends
