// How long an outside server may say nothing before another is asked in its place: a server that hangs takes the
// connection and is never heard of again. Pure.
#pragma once

#include <chrono>
#include <optional>

#include "llm/llm.h"

namespace gbgreg::services {

struct FirstByteLimits {
  std::chrono::milliseconds least{10'000};  // A model may have to be loaded there.
  int objectives = 2;                       // So many times what the role promises, …
  int latencies = 3;                        // … or what its answers have taken there, whichever is more.
  double tokens_per_second = 10;            // Where nobody has measured it.
};

// How the answer comes: of one that is streamed the first byte is there when the prompt has been read, of one that
// comes as a whole only when all of it has been made.
enum class Coming : std::uint8_t { in_pieces, whole };

// `time_left` is what the client's deadline leaves. At most half of that goes to one server, so that there is time for
// another; but never less than its answers have taken so far.
std::chrono::milliseconds first_byte_within(const llm::BackendView& backend, Coming coming,
                                            std::optional<int> tokens_max, std::chrono::milliseconds time_left,
                                            const FirstByteLimits& limits = {});

}  // namespace gbgreg::services
