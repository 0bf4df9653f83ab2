// The URL of a database, before anybody opens it. Pure.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"

namespace gbgreg::storage {

// Errors: malformed (database_url), without any of the URL's secrets.
Result<void> check_database_url(const std::string& url);

bool is_sqlite_url(std::string_view url);
bool is_postgres_url(std::string_view url);

// Whether there is a password in it. None in a URL that is malformed.
bool has_password(const std::string& url);

// The file of a SQLite URL. Errors: malformed (database_url).
Result<std::string> sqlite_path(std::string_view url);

}  // namespace gbgreg::storage
