// A server that turns a request into an answer: a llama-server worker today; Ollama and OpenAI-compatible servers
// later.
//
// A backend keeps no state of a request. Any I/O thread may call it; the call runs on the thread it is given.
#pragma once

#include "core/core.h"
#include "llm/llm.h"
#include "net/io_thread.h"

namespace gbgreg::backends {

class Backend {
 public:
  virtual ~Backend() = default;

  // Puts the answer into `sink` piece by piece and returns what it came to. Cancelling the calling task closes the
  // connection, which stops the generation. `model` is the name the backend knows.
  // Errors: backend_failed, unavailable, timed_out; malformed when the backend says that the request is at fault;
  // cancelled when the sink says so.
  virtual Task<Result<llm::Completion>> generate(net::IoThread& io, const llm::Request& request, llm::Sink& sink) = 0;

  // Asks for a sign of life until `deadline`. A server that works hard gives one at once, a hung one never.
  // Errors: as generate.
  virtual Task<Result<void>> check(net::IoThread& io, SteadyTime deadline) = 0;
};

}  // namespace gbgreg::backends
