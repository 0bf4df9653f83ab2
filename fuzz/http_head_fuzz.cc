// Any bytes as a head: both parsers answer, and what they accept holds what they promise.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/utf8.h"
#include "net/http_head.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gbgreg::net;  // NOLINT(google-build-using-namespace): this function is all there is.
  static const Options options;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);

  const std::size_t end = find_head_end(bytes, 0);
  if (end != std::string_view::npos && end > size) std::abort();
  const auto request = parse_request_head(bytes, options);
  if (request) {
    if (request->method.empty() || request->path.empty()) std::abort();
    if (request->host && request->host->find_first_of("/?#@ABCDEFGHIJKLMNOPQRSTUVWXYZ") != std::string::npos)
      std::abort();
    if (!request->host && request->minor_version >= 1) std::abort();
    if (request->fields.size() > options.head_fields_max) std::abort();
    for (const Field& field : request->fields) {
      if (field.value.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos) std::abort();
    }
    // A complete head is one that the search for its end would have cut at the same place.
    if (end != size) std::abort();
    const auto parameter = query_parameter(request->query, "q");
    if (!parameter && parameter.error().kind != gbgreg::Kind::malformed) std::abort();
    const auto decoded = percent_decode(request->path, false);
    if (decoded && !gbgreg::is_valid_utf8(*decoded)) std::abort();
  }
  const auto response = parse_response_head(bytes, "POST", options);
  if (response && (response->status < 100 || response->status > 999)) std::abort();
  return 0;
}
