// One GET or HEAD over HTTP, by libcurl, from servers that are not trusted: https only but for this machine, redirects
// bounded and never to plain http nor from the outside into the home network, connecting and stalling bounded in time.
//
// Blocking: for a thread that may wait. Cancelled by its stop token within a second. Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "core/error.h"
#include "models/options.h"

namespace gbgreg::models {

inline constexpr long kBytesPerSecondMin = 1024;
inline constexpr std::size_t kHeadBytesMax = 64 * 1024;  // Of all answers on the way to the last.

struct FetchRequest {
  std::string url;
  bool is_head = false;
  std::string accept = {};
  std::string token = {};     // For the first host only.
  std::uint64_t from = 0;     // Asks for the bytes from here on …
  std::string if_range = {};  // … if the file is still the one with this ETag.
};

// What stands before the body of the last answer.
struct FetchHead {
  long status = 0;
  std::optional<std::uint64_t> length = {};       // Of this body.
  std::optional<std::uint64_t> range_from = {};   // Of a 206: where its bytes begin, …
  std::optional<std::uint64_t> range_total = {};  // … and how many the whole has.
  std::string etag = {};                          // A strong one; else empty.
  std::string authenticate = {};                  // What a 401 asks for.
  // Hugging Face's, of the answer that leads elsewhere: the file's own digest and size.
  std::string linked_sha256 = {};
  std::optional<std::uint64_t> linked_size = {};
};

// Either may refuse, which ends the transfer with that error.
using TakeHead = std::function<Result<void>(const FetchHead&)>;
using TakeBytes = std::function<Result<void>(std::string_view)>;

// Any status is a success here. Errors: cancelled; backend_failed server_unreachable, transfer_broken,
// redirect_refused, head_too_large; timed_out transfer_stalled; what the callbacks say.
Result<FetchHead> fetch(const FetchRequest& request, const FetchOptions& options, const std::stop_token& stop,
                        const TakeHead& take_head, const TakeBytes& take_bytes);

// The next attempt may go better.
bool is_passing(const Error& error);

// Understands the fields that matter. Takes any line. Pure.
void read_field(std::string_view line, FetchHead& head);

}  // namespace gbgreg::models
