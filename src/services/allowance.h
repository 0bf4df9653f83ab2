// What whoever asks may be answered by, and what an answer costs them. Pure, but for what it tells the caller.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "llm/embedding.h"
#include "llm/llm.h"

namespace gbgreg::services {

using Backends = std::shared_ptr<const std::vector<llm::BackendView>>;

// Those of the picture whose roles are open to the caller: the same picture where all are, or nobody in particular
// asks.
Backends open_to(const llm::Caller* caller, Backends all);

// The error for one whose question only a role that is closed to it could answer.
std::unexpected<Error> role_closed(const llm::Caller& caller, std::string_view role,
                                   const std::vector<llm::BackendView>& backends);

// How many tokens will probably be taken: of the prompt by its length, and of the answer as many as it may have, where
// the request says so.
std::int64_t tokens_expected(const llm::Request& request);
std::int64_t tokens_expected(const llm::EmbedRequest& request);

// Tells the caller what an answer took, however it ends: by its figures where it is whole, else by what was seen of it.
class Spending {
 public:
  // `request` outlives this.
  explicit Spending(const llm::Request& request) : request_(request) {}
  ~Spending();
  Spending(const Spending&) = delete;
  Spending& operator=(const Spending&) = delete;

  // A model is asked. Until told() or spared() whoever leaves pays for the prompt, and for what has come.
  void begin_attempt() {
    is_asked_ = true;
    pieces_ = 0;
  }
  void piece_came(std::int64_t pieces = 1) { pieces_ += pieces; }
  bool has_come() const { return pieces_ > 0; }
  void told(const llm::Usage& usage);
  // The model broke down before it had said anything: that is nobody's to pay.
  void spared() { is_asked_ = false; }

 private:
  std::int64_t seen() const;

  const llm::Request& request_;
  bool is_asked_ = false;
  std::int64_t pieces_ = 0;  // Each is about a token.
};

}  // namespace gbgreg::services
