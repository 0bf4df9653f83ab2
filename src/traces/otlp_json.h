// Spans as OTLP says them in JSON: the body of POST /v1/traces. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "traces/span.h"

namespace gbgreg::traces {

// The path of it, behind what the endpoint has.
inline constexpr std::string_view kTracesTarget = "/v1/traces";

std::string write_otlp(std::span<const Span> spans, std::string_view service, std::string_view version);

}  // namespace gbgreg::traces
