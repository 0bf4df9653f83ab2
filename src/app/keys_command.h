// `gbgreg keys create|list|revoke`: straight on the database, with or without a gateway that runs; one that does
// notices within a few seconds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"

namespace gbgreg::app {

struct KeysCommand {
  enum class What : std::uint8_t { create, list, revoke };
  What what = What::list;
  std::string subject = {};             // Of create: the name; of revoke: an id, or the name of one key that counts.
  std::vector<std::string> roles = {};  // Of create, as all that follows; none is all roles.
  std::optional<std::int64_t> requests_per_minute = {}, tokens_per_minute = {}, tokens_per_day = {};
  std::string expires_at = {};  // RFC 3339, or empty.
  bool is_admin = false;
  bool as_json = false;
};

// The secret of a new key, or the list, goes to standard output, and all else that is to be said to standard error.
// Returns the exit status: 0 when it is done, else 1.
int run_keys_command(const config::Config& config, const KeysCommand& command);

}  // namespace gbgreg::app
