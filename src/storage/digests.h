// Which bytes of the blob store the rows of any table still name. Every table that names some is looked at here, so
// that nobody removes what another table has.
//
// Blocking, on a connection of the caller's, so that it can be a part of the caller's transaction.
#pragma once

#include <soci/soci.h>

#include <set>
#include <string>

namespace gbgreg::storage {

bool is_digest_in_use(soci::session& session, const std::string& sha256);

// Those that begin with these two hexadecimal digits.
std::set<std::string> digests_in_use(soci::session& session, const std::string& first_two_digits);

}  // namespace gbgreg::storage
