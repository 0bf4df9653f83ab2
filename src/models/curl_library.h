// libcurl, opened when the first model is fetched: it brings forty libraries along, and most gateways never fetch.
//
// Any thread; it is opened once and never closed.
#pragma once

#include <curl/curl.h>

#include "core/core.h"

namespace gbgreg::models {

struct CurlLibrary {
  decltype(&::curl_global_init) global_init;
  decltype(&::curl_easy_init) easy_init;
  decltype(&::curl_easy_setopt) easy_setopt;
  decltype(&::curl_easy_perform) easy_perform;
  decltype(&::curl_easy_cleanup) easy_cleanup;
  decltype(&::curl_easy_strerror) easy_strerror;
  decltype(&::curl_slist_append) slist_append;
  decltype(&::curl_slist_free_all) slist_free_all;
};

// Ready for use. Errors: unavailable (library_missing), which says what to install.
Result<const CurlLibrary*> curl_library();

}  // namespace gbgreg::models
