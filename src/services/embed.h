// The story of texts that become vectors, without HTTP: choose a model that embeds, wait for a slot, ask for a few at a
// time, say how it went.
//
// One object for all requests; every I/O thread calls it. It keeps nothing between calls.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/core.h"
#include "fleet/fleet.h"
#include "llm/embedding.h"
#include "metrics/metrics.h"
#include "services/allowance.h"
#include "services/answer_figures.h"
#include "services/attempts.h"
#include "services/failovers.h"

namespace gbgreg::services {

struct EmbedOptions {
  AttemptLimits attempts = {};
  std::chrono::milliseconds request_timeout{600'000};  // When the client sets no deadline of its own.
  // A worker is asked for so many at a time: between them others have their turn, and its answers stay small.
  std::size_t inputs_at_once = 32;
  std::size_t numbers_max = 8 * 1024 * 1024;  // In all vectors of a request together: 32 MB.
};

class Embed {
 public:
  Embed(fleet::Fleet& fleet, metrics::Registry& registry, const Clock& clock, const EmbedOptions& options = {});

  // One vector for each input, of unit length; without inputs the model is only loaded. `chosen` gets the choice as
  // soon as it is made, also when it comes to nothing. Cancelling the calling task gives the slot back and stops the
  // model. Errors: what routing::choose_embedder, fleet::Fleet::lease and backends::Backend::embed say; malformed (a
  // text is too long and not to be cut, `dimensions` that the model cannot have), too_large (embeddings_too_large); and
  // what the caller's rights and limits forbid, as services::Generate::answer.
  Task<Result<llm::Embeddings>> embed(net::IoThread& io, llm::EmbedRequest request, llm::AnswerNotes& chosen);

 private:
  struct Placed;
  static Result<llm::Decision> choose(const llm::EmbedRequest& request, const Backends& all);
  struct Portion;
  Task<Result<Placed>> place(const llm::EmbedRequest& request, SteadyTime deadline, fleet::Attempt attempt,
                             const std::vector<std::string>& tried);
  Task<Result<llm::Embeddings>> attempt(net::IoThread& io, const llm::EmbedRequest& request, Placed& placed);
  Task<Result<Portion>> embed_portion(net::IoThread& io, const llm::EmbedRequest& request, const Placed& placed,
                                      std::span<const llm::EmbedInput> inputs);
  Result<void> take(const llm::EmbedRequest& request, const Placed& placed, Portion portion,
                    llm::Embeddings& answer) const;
  Task<Result<int>> cut(net::IoThread& io, const Placed& placed, std::span<llm::EmbedInput> inputs);
  void report(net::IoThread& io, Placed& placed, const llm::Embeddings& answer);

  fleet::Fleet& fleet_;
  const Clock& clock_;
  EmbedOptions options_;
  metrics::Counter& inputs_;
  AnswerFigures figures_;
  Failovers failovers_;
};

}  // namespace gbgreg::services
