// A key, as /api/keys and `gbgreg keys` say it: never its secret, but where it was made just now. Pure.
#pragma once

#include <string>
#include <vector>

#include "services/key_rows.h"

namespace gbgreg::http {

// {"keys":[…]}
std::string keys_json(const std::vector<services::ListedKey>& keys, WallTime now);
// {"key":{…}}
std::string key_json(const services::ListedKey& key, WallTime now);
// {"key":{…},"secret":"gbg_…"}
std::string made_key_json(const services::MadeKey& made, WallTime now);

}  // namespace gbgreg::http
