// The story of one answer, without HTTP: choose a model, wait for a slot, let the model speak, say how it went.
//
// One object for all requests; every I/O thread calls it. It keeps nothing between calls.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "core/core.h"
#include "fleet/fleet.h"
#include "llm/decision.h"
#include "llm/llm.h"
#include "metrics/metrics.h"
#include "services/allowance.h"
#include "services/answer_figures.h"
#include "services/attached.h"
#include "services/attempts.h"
#include "services/failovers.h"
#include "services/first_byte.h"

namespace gbgreg::services {

struct GenerateOptions {
  AttemptLimits attempts = {};
  std::chrono::milliseconds request_timeout{600'000};  // When the client sets no deadline of its own.
};

// Where an answer goes.
class AnswerSink : public llm::Sink {
 public:
  // The model is chosen; called again before each further attempt.
  virtual void chosen(const llm::AnswerNotes& notes) = 0;
  // The worker failed. True when the reader has seen nothing yet, so that another attempt may begin: what text() took
  // is then forgotten.
  virtual bool start_over() = 0;
};

// Where an answer goes that is asked for in the backend's own dialect, so that bytes may pass through as they are.
class RelaySink : public backends::ByteSink {
 public:
  // As AnswerSink.
  virtual void chosen(const llm::AnswerNotes& notes) = 0;
  virtual bool start_over() = 0;
  // What is sent to the backend that was chosen, in the fields that it takes. Its views hold until the next call.
  virtual backends::Post post(protocols::Takes server) = 0;
  // The backend's answer comes all at once.
  virtual bool comes_whole() const { return false; }
  // All bytes have come: what they come to. Errors: backend_failed when the answer is not whole.
  virtual Result<llm::Completion> end() = 0;
};

class Generate {
 public:
  Generate(fleet::Fleet& fleet, metrics::Registry& registry, const Clock& clock, const GenerateOptions& options = {});

  // Answers `request`, whose deadline is set here, into `sink`. Cancelling the calling task gives the slot back and
  // stops the model. Errors: what routing::choose, fleet::Fleet::lease and backends::Backend::generate say; of these
  // only the backend's are tried again. And what the caller's rights and limits forbid: forbidden (role_not_allowed),
  // busy, too_large (llm::Caller).
  // `attached`, if any, are files that were put into the request: of them no more is sent than the chosen model takes.
  // It must outlive the call.
  Task<Result<llm::Answer>> answer(net::IoThread& io, llm::Request request, AnswerSink& sink,
                                   Attached* attached = nullptr);

  // The same in the backend's own dialect: of `request`, which must outlive the call, only what routing looks at, its
  // priority and its deadline count.
  Task<Result<llm::Answer>> relay(net::IoThread& io, llm::Request& request, RelaySink& sink);

  // How many tokens the request's prompt has for the model that would answer it. Errors: as answer().
  Task<Result<int>> count_tokens(net::IoThread& io, llm::Request request);

  // Waits until the model is loaded, without asking it anything.
  Task<Result<llm::Answer>> load(llm::Request request);

  // What answer() would choose now. Errors: as routing::choose; forbidden (role_not_allowed).
  Result<llm::Decision> decide(const llm::Request& request) const;

 private:
  struct Chosen;
  struct Leased;
  struct Placed;
  std::chrono::milliseconds allowed_for(const llm::Request& request) const;
  Result<Chosen> choose(const llm::Request& request) const;
  template <class Choose>
  Result<llm::Decision> choose_open(const llm::Request& request, const Backends& all, const Backends& open,
                                    Choose choose) const;
  std::optional<Chosen> choose_another(const llm::Request& request, const llm::AnswerNotes& failed,
                                       const std::vector<std::string>& tried) const;
  static Chosen chosen(const llm::Request& request, llm::Decision decision,
                       const std::vector<llm::BackendView>& backends);
  SteadyTime first_byte_by(const llm::Request& request, const llm::AnswerNotes& asked, Coming coming,
                           const std::vector<std::string>& tried) const;
  class Speaker;
  class Speaking;
  class Relaying;
  template <class Speaks>
  Task<Result<llm::Answer>> run(net::IoThread& io, llm::Request& request, Speaks speaker);
  Task<Result<Leased>> lease(const llm::Request& request, SteadyTime deadline);
  static Placed place(Chosen chosen, fleet::Lease lease, SteadyTime asked, SteadyTime leased);
  llm::Answer told(Placed& placed, SteadyTime arrived, const Speaker& speaker, const llm::Completion& completion);

  fleet::Fleet& fleet_;
  const Clock& clock_;
  GenerateOptions options_;
  AnswerFigures figures_;
  Failovers failovers_;
};

}  // namespace gbgreg::services
