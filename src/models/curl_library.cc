#include "models/curl_library.h"

#include <dlfcn.h>

#include <optional>
#include <string>

namespace gbgreg::models {
namespace {

struct Opened {
  CurlLibrary library{};
  std::optional<std::string> failure;
};

template <class Function>
void find(void* handle, const char* name, Function& function, Opened& opened) {
  function = reinterpret_cast<Function>(::dlsym(handle, name));
  if (function == nullptr && !opened.failure) opened.failure = std::string("it has no ") + name;
}

Opened open_library() {
  Opened opened;
  void* handle = ::dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* why = ::dlerror();
    opened.failure = why != nullptr ? why : "it is not there";
    return opened;
  }
  CurlLibrary& library = opened.library;
  find(handle, "curl_global_init", library.global_init, opened);
  find(handle, "curl_easy_init", library.easy_init, opened);
  find(handle, "curl_easy_setopt", library.easy_setopt, opened);
  find(handle, "curl_easy_perform", library.easy_perform, opened);
  find(handle, "curl_easy_cleanup", library.easy_cleanup, opened);
  find(handle, "curl_easy_strerror", library.easy_strerror, opened);
  find(handle, "curl_slist_append", library.slist_append, opened);
  find(handle, "curl_slist_free_all", library.slist_free_all, opened);
  if (!opened.failure && library.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) opened.failure = "it does not start";
  return opened;
}

}  // namespace

Result<const CurlLibrary*> curl_library() {
  static const Opened opened = open_library();
  if (!opened.failure) return &opened.library;
  return fail(Kind::unavailable, "library_missing",
              "Models are fetched by libcurl, which cannot be opened here: apt install libcurl4.", *opened.failure);
}

}  // namespace gbgreg::models
