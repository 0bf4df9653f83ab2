// Who asks, for turns in a queue (fleet/fair_queue.h): whoever sends the same key, and without one whoever comes from
// the same address, which on a Unix socket is the same user.
//
// As long as keys are not checked a program may send another one with each request, and so be many callers.
#pragma once

#include "llm/llm.h"
#include "net/exchange.h"

namespace gbgreg::http {

// Lives beside its exchange, on the same thread.
class ExchangeCaller final : public llm::Caller {
 public:
  explicit ExchangeCaller(const net::Exchange& exchange) : exchange_(exchange) {}
  llm::CallerId id() const override;

 private:
  const net::Exchange& exchange_;
};

}  // namespace gbgreg::http
