// How requests for models fare, by role and model: how they end, what they wait, what they take, and whether the role's
// promise is kept.
//
// The models of the fleet have their series from the start, and those that a new configuration brings from their first
// request on; a request that found no model has the role "none". Any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>

#include "core/core.h"
#include "llm/decision.h"
#include "llm/llm.h"
#include "metrics/metrics.h"

namespace gbgreg::services {

// What is asked of a model; as a label "answer" and "embedding".
enum class Work : std::uint8_t { answer, embedding };
constexpr std::string_view word_of(Work work) { return work == Work::answer ? "answer" : "embedding"; }

class AnswerFigures {
 public:
  // So many models have series of their own; those that come later, by ever new configurations, share those of "other".
  static constexpr std::size_t kModelsMax = 512;

  // Of those of `backends` that do this work. The registry outlives this.
  AnswerFigures(metrics::Registry& registry, std::span<const llm::BackendView> backends, Work work);
  ~AnswerFigures();
  AnswerFigures(const AnswerFigures&) = delete;
  AnswerFigures& operator=(const AnswerFigures&) = delete;

  // One request on its way. Counts it as cancelled when it goes without having been told anything else.
  class Request;

 private:
  struct Model;
  Model& of(std::string_view role, std::string_view model);
  Model& make(std::string_view role, std::string_view model);

  metrics::Registry& registry_;
  std::string_view work_;
  std::shared_mutex mutex_;
  std::map<std::string, std::unique_ptr<Model>, std::less<>> models_;  // By role and model. Guarded by mutex_.
  Model* none_ = nullptr;
};

// Belongs to the request's task.
class AnswerFigures::Request {
 public:
  // The figures outlive this. `lane` is that of the thread.
  Request(AnswerFigures& all, int lane);
  ~Request();
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  // Whose it is from now on.
  void chosen(std::string_view role, std::string_view model);
  // It has a slot, for which it waited so long.
  void placed(double queue_ms);
  // It is given to a worker again.
  void retried();
  // It ends with an answer that is whole.
  void answered(const llm::Usage& usage, const llm::AnswerNotes& notes);
  // It asked nothing of the model but to be there: it is not counted.
  void asked_nothing();
  // It ends with this error, which comes back.
  Error failed(Error error);

 private:
  void end(std::size_t outcome);

  AnswerFigures& all_;
  Model* model_;
  int lane_;
  bool has_ended_ = false;
};

}  // namespace gbgreg::services
