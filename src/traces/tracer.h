// Traces of requests, in the way of OpenTelemetry: which trace a request belongs to (context.h), what is recorded of it
// (request_trace.h), and how that gets to a collector (exporter.h, otlp_json.h). Of our own, because Debian has no
// library for it (docs/decisions/0027-traces.md).
//
// Without a collector nothing is recorded, and a request costs a look at its header fields: what a client sent is then
// passed on word for word. Any thread may begin a request.
#pragma once

#include <memory>
#include <string>

#include "core/core.h"
#include "metrics/metrics.h"
#include "net/http_head.h"
#include "traces/exporter.h"
#include "traces/options.h"
#include "traces/request_trace.h"

namespace gbgreg::traces {

class Tracer {
 public:
  // The clock and the registry outlive this. Errors: unavailable, of `ca_file`.
  static Result<std::unique_ptr<Tracer>> make(const Options& options, const Clock& clock, metrics::Registry& registry,
                                              std::string version);

  // The threads begin, and end: after the last request.
  void start();
  void stop();

  // Null when there is nothing to record and nothing to pass on. What it gives must not outlive this.
  std::unique_ptr<RequestTrace> begin(const net::RequestHead& head);

 private:
  Tracer(const Options& options, const Clock& clock, metrics::Registry& registry)
      : sample_ratio_(options.sample_ratio), clock_(clock), counters_(registry) {}

  double sample_ratio_;
  const Clock& clock_;
  Exporter::Counters counters_;
  std::unique_ptr<Exporter> exporter_;  // Null without a collector.
};

}  // namespace gbgreg::traces
