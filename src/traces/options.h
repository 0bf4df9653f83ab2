// Every bound of traces, by name; config/ may change those of the first lines.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>

#include "net/address.h"

namespace gbgreg::traces {

struct Options {
  // `tracing:` of the configuration; without an endpoint nothing is recorded.
  std::string endpoint = {};  // As its owner wrote it.
  net::ServerUrl url = {};    // The same, taken apart.
  std::filesystem::path ca_file = {};
  double sample_ratio = 1;  // Of requests that come without a trace, from 0 to 1.
  std::string service = "gbgreg";

  std::size_t queued_max = 16'384;  // Spans that wait to be sent; each takes a kilobyte.
  std::size_t batch_max = 512;      // Of one post.
  std::chrono::milliseconds pause{500};
  std::chrono::milliseconds retry{2'000};         // After a post that came to nothing.
  std::chrono::milliseconds send_timeout{3'000};  // Of one post.
  std::size_t answer_bytes_max = 64 * 1024;

  bool is_on() const { return !endpoint.empty(); }
  bool operator==(const Options&) const = default;
};

}  // namespace gbgreg::traces
