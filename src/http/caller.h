// Who asks. With keys that are checked, the key; without, for turns in a queue (fleet/fair_queue.h), whoever sends the
// same key, which may then be any word, and without one whoever comes from the same address, which on a Unix socket is
// the same user.
//
// What a key's request may use and has used is counted here: reserved before a model is asked, and settled when the
// request is over, however it ends.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "keys/keys.h"
#include "llm/llm.h"
#include "net/exchange.h"
#include "services/keys.h"

namespace gbgreg::http {

// Lives beside its exchange, on the same thread.
class ExchangeCaller final : public llm::Caller, private net::LateFields {
 public:
  explicit ExchangeCaller(net::Exchange& exchange) : exchange_(exchange) {}
  // Settles what was reserved.
  ~ExchangeCaller() override;
  ExchangeCaller(const ExchangeCaller&) = delete;
  ExchangeCaller& operator=(const ExchangeCaller&) = delete;

  // Whose key was sent, and that it counts. Both others outlive this.
  void identify(std::shared_ptr<const keys::Key> key, services::Keys& keys, const Clock& clock);
  // What is left of its limits, for the answer to say.
  void tell(const keys::Standing& standing) { standing_ = standing; }
  // Null where none was asked for.
  const keys::Key* key() const { return key_.get(); }
  // Whether it may do what changes things for everybody: whoever comes may where no keys are asked for.
  bool is_admin() const { return !key_ || key_->rights.is_admin; }

  // What is told of its request; null for nothing. It outlives the use of this.
  void trace_by(llm::Trace* trace) { trace_ = trace; }

  llm::CallerId id() const override;
  bool is_restricted() const override { return key_ && key_->rights.roles; }
  bool may_use(std::string_view role) const override { return !key_ || key_->rights.may_use(role); }
  bool is_metered() const override;
  std::optional<Result<void>> expect(std::int64_t tokens) override;
  Task<Result<void>> expect_later(std::int64_t tokens) override;
  void spent(std::int64_t tokens) override { spent_ += tokens; }
  llm::Trace* trace() const override { return trace_; }

 private:
  std::optional<keys::Refused> reserve(std::int64_t tokens);
  void append_to(std::string& head) const override;
  void settle();

  net::Exchange& exchange_;
  std::shared_ptr<const keys::Key> key_;
  services::Keys* keys_ = nullptr;  // Set with the key, as the clock is.
  const Clock* clock_ = nullptr;
  keys::Standing standing_ = {};
  keys::Reserved reserved_ = {};
  keys::Refused lacking_ = {};  // When expect() had no answer.
  std::int64_t spent_ = 0;
  llm::Trace* trace_ = nullptr;
};

// Of "127.0.0.1:50312" what is before the port, which is another one for each connection.
std::string_view address_of(std::string_view peer);

// The secret that a request brings: "x" of "Authorization: Bearer x", or of "x-api-key: x"; empty when it has neither.
std::string_view secret_of(const net::RequestHead& head);

// The error for one that goes beyond a limit of its key.
Error over_limit(const keys::Refused& refused);

// The error for one whose key is no admin's.
std::unexpected<Error> needs_admin();

}  // namespace gbgreg::http
