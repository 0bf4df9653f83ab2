// What happens to every request, whatever it asks: the concerns, in their order, on one page (pipeline.cc).
//
// One object, called on every I/O thread; what it shares between threads are metrics cells, the immutable table and the
// web guard, whose place another may take.
#pragma once

#include <string>
#include <vector>

#include "core/core.h"
#include "core/published.h"
#include "http/call.h"
#include "http/key_gate.h"
#include "http/key_refusals.h"
#include "http/options.h"
#include "http/routes.h"
#include "http/web_guard.h"
#include "metrics/metrics.h"
#include "net/exchange.h"
#include "records/recorder.h"
#include "services/audit.h"
#include "traces/tracer.h"

namespace gbgreg::http {

class Pipeline final : public net::Handler {
 public:
  // All of them outlive this. Without a gate nobody is asked for a key, without a recorder nothing is on record,
  // without an audit nothing is written down of who did what, and without a tracer nothing is traced.
  Pipeline(std::vector<Route> routes, const Options& options, metrics::Registry& registry, const Clock& clock,
           KeyGate* gate = nullptr, records::Recorder* recorder = nullptr, services::Audit* audit = nullptr,
           traces::Tracer* tracer = nullptr);

  Task<void> handle(net::Exchange& exchange) override;
  Task<void> refuse(net::Exchange& exchange, Error error) override;

  // Other hosts and origins, from the next request on. Any thread.
  void guard_by(const Options& options) { guard_.publish(WebGuard(options)); }

 private:
  // The requests of one route, or of none (404, 405, a head that is not HTTP).
  struct RouteFigures {
    std::string name;                          // "POST /api/generate", as it goes on record.
    std::vector<metrics::Counter*> by_status;  // In the order of kStatuses; the last is for any other.
    metrics::Histogram* duration = nullptr;
  };
  RouteFigures make_figures(metrics::Registry& registry, std::string_view method, std::string_view pattern);
  // What find() says, of those who may come in, unless it is `lacking` of something that may be got yet. Errors:
  // likewise, and those of KeyGate.
  Result<const Route*> find_open(Call& call, std::optional<keys::Refused>& lacking);
  // Null for OPTIONS at a path where there is something. Errors: forbidden, not_found, method_not_allowed, malformed.
  Result<const Route*> find(Call& call);
  Task<Result<void>> answer_options(Call& call);
  Task<void> write_error(Call& call, const Error& error);
  static void log_access(const Call& call, int status, double seconds, const Result<void>& outcome);
  // The end of what was traced of it, if it was.
  static void end_trace(traces::RequestTrace* trace, const Call& call, const Route* route, const Result<void>& outcome);
  void record(Call& call, const Route* route, const Result<void>& outcome);

  std::vector<Route> routes_;
  PlainRoutes plain_routes_{routes_};
  Published<WebGuard> guard_;
  const Clock& clock_;
  KeyGate* gate_;
  records::Recorder* recorder_;
  services::Audit* audit_;
  traces::Tracer* tracer_;
  std::vector<RouteFigures> figures_;  // One for each route, and one more for requests of no route.
  metrics::Counter& bytes_in_;
  metrics::Counter& bytes_out_;
  metrics::Counter& broken_;
  KeyRefusals key_refusals_;
};

}  // namespace gbgreg::http
