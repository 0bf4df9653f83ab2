#include "traces/tracer.h"

#include <optional>
#include <utility>

namespace gbgreg::traces {

Result<std::unique_ptr<Tracer>> Tracer::make(const Options& options, const Clock& clock, metrics::Registry& registry,
                                             std::string version) {
  std::unique_ptr<Tracer> tracer(new Tracer(options, clock, registry));
  if (!options.is_on()) return tracer;
  auto collector = net::server_address(options.url, options.ca_file);
  if (!collector) {
    collector.error().message = "`tracing`: " + collector.error().message;
    return std::unexpected(std::move(collector.error()));
  }
  tracer->exporter_ = std::make_unique<Exporter>(options, std::move(*collector), tracer->counters_, std::move(version));
  return tracer;
}

void Tracer::start() {
  if (exporter_) exporter_->start();
}

void Tracer::stop() {
  if (exporter_) exporter_->stop();
}

std::unique_ptr<RequestTrace> Tracer::begin(const net::RequestHead& head) {
  const std::optional<Sent> sent = read_context(head);
  if (!exporter_) {
    if (!sent) return nullptr;
    std::string fields = "traceparent: ";
    fields.append(*head.field("traceparent")).append("\r\n");
    if (!sent->state.empty()) fields.append("tracestate: ").append(sent->state).append("\r\n");
    return std::make_unique<RequestTrace>(std::move(fields));
  }
  Context context;
  context.trace = sent ? sent->context.trace : new_trace_id();
  context.span = new_span_id();
  context.is_sampled = sent ? sent->context.is_sampled : is_among(context.trace, sample_ratio_);
  return std::make_unique<RequestTrace>(context.is_sampled ? exporter_.get() : nullptr, clock_, context, sent);
}

}  // namespace gbgreg::traces
