// A server that turns a request into an answer: a llama-server worker, or a model on an outside server.
//
// A backend keeps no state of a request. Any I/O thread may call it; the call runs on the thread it is given.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/core.h"
#include "llm/embedding.h"
#include "llm/llm.h"
#include "net/client.h"
#include "net/io_thread.h"
#include "protocols/server_fields.h"
#include "protocols/server_models.h"

namespace gbgreg::backends {

// What is sent to a backend in its own dialect. The views outlive the call.
struct Post {
  std::string_view target;
  net::BodyParts body;
  std::string_view trace_fields = {};            // As llm::Trace has them.
  SteadyTime first_byte_by = SteadyTime::max();  // As llm::Request's.
  SteadyTime deadline = SteadyTime::max();
};

// Where the bytes of a backend's answer go, cut anywhere. One task uses it at a time.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  // Never empty. True when drain() has to be awaited before the next piece, false when nothing has to wait, which costs
  // no coroutine. Errors: backend_failed when these bytes are no answer.
  virtual Result<bool> bytes(std::string_view piece) = 0;
  // Waits until the reader has taken what came. Errors: cancelled when the reader has left; as bytes().
  virtual Task<Result<void>> drain() = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  // Puts the answer into `sink` piece by piece and returns what it came to. Cancelling the calling task closes the
  // connection, which stops the generation. `model` is the name the backend knows.
  // Errors: backend_failed, unavailable, timed_out; malformed when the backend says that the request is at fault;
  // cancelled when the sink says so.
  virtual Task<Result<llm::Completion>> generate(net::IoThread& io, const llm::Request& request, llm::Sink& sink) = 0;

  // How many tokens the request's prompt has here. Errors: as generate.
  virtual Task<Result<int>> count_tokens(net::IoThread& io, const llm::Request& request) = 0;

  // The vectors of `inputs`, of which there are a few. Only of a backend that embeds. `trace_fields` as Post's. Errors:
  // as generate; malformed with the code "prompt_too_long" when one has more tokens than the model takes.
  virtual Task<Result<llm::EmbedBatch>> embed(net::IoThread& io, std::span<const llm::EmbedInput> inputs,
                                              SteadyTime deadline, std::string_view trace_fields) = 0;

  // The tokens of `text`, those included that the model wants around it. Errors: as generate.
  virtual Task<Result<llm::TokenIds>> tokens(net::IoThread& io, std::string_view text, SteadyTime deadline) = 0;

  // Sends `post` as it is and puts the body of a successful answer into `sink`. What the bytes mean is the caller's
  // business; any other answer is an error here. Errors: as generate.
  virtual Task<Result<void>> post(net::IoThread& io, const Post& post, ByteSink& sink) = 0;

  // Asks for a sign of life until `deadline`. A server that works hard gives one at once, a hung one never. An outside
  // server may say at once which models it has. Errors: as generate.
  virtual Task<Result<protocols::ServerModels>> check(net::IoThread& io, SteadyTime deadline) = 0;

  // How many tokens the model takes, where the server can be asked for that; absent else. Errors: as generate.
  virtual Task<Result<std::optional<int>>> context_tokens(net::IoThread&, SteadyTime) {
    co_return std::optional<int>{};
  }

  // What may be logged of `detail`, which may repeat what the server said: a server may repeat the key that it was
  // sent. For errors in what it sent, wherever they are found.
  virtual std::string without_secrets(std::string detail) const { return detail; }

  // Which fields it may be sent.
  virtual protocols::Takes takes() const { return protocols::Takes::engine; }
};

}  // namespace gbgreg::backends
