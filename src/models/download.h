// One file from a server into a store: resumed where an earlier attempt was broken off, checked, and there all at once.
//
// Whoever else wants the same bytes at the same time, in this process or in another, waits and sees the same progress.
// Blocking: for a thread that may wait. Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "core/error.h"
#include "models/fetch.h"
#include "models/own_store.h"

namespace gbgreg::models {

struct Wanted {
  std::string url;
  std::string token = {};
  std::string media_type = {};
  std::string sha256 = {};  // Empty when the server does not say it.
  std::optional<std::uint64_t> size_bytes = {};
  std::string etag = {};  // Of the file that is meant; empty when not known.
};

// How many bytes are there, of how many.
using TellBytes = std::function<void(std::uint64_t completed, std::optional<std::uint64_t> total)>;

// The name of the partial file: bytes that can be continued have the same one.
std::string partial_key(const Wanted& wanted);

// `held` says that the store is held for writing by the caller. Errors: cancelled, not_found model_not_found,
// forbidden login_needed, backend_failed (size_differs, digest_differs, not_gguf, server_failed, and those of fetch()),
// timed_out, unavailable.
Result<Layer> download(const OwnStore& store, const FetchOptions& options, const Wanted& wanted, const TellBytes& tell,
                       const std::stop_token& stop);

// The error for a status that is no success.
Error error_of_status(long status, std::string_view url);

// Waits for so long, or until it is stopped, of which false is the answer.
bool pause(std::chrono::milliseconds time, const std::stop_token& stop);

}  // namespace gbgreg::models
