// Any bytes as the body of /api/generate, /api/route and /api/fleet/{role}/load: an answer or an Error, whose own body
// is valid, never a crash.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/utf8.h"
#include "protocols/engine_wire.h"
#include "protocols/fleet.h"
#include "protocols/native.h"
#include "protocols/ollama.h"

namespace {

namespace llm = gbgreg::llm;
namespace protocols = gbgreg::protocols;
using gbgreg::Error;

void check(bool holds) {
  if (!holds) std::abort();
}

void check_request(const llm::Request& request) {
  check(!request.messages.empty());
  for (const auto& message : request.messages) check(gbgreg::is_valid_utf8(message.text));
  check(gbgreg::is_valid_utf8(protocols::engine_wire::write_chat_request(request)));
}

void check_error(const Error& error) {
  check(!error.code.empty() && !error.message.empty());
  check(gbgreg::is_valid_utf8(protocols::native::write_error(error, "id")));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  protocols::Limits limits;
  limits.image_bytes_max = 4096;
  limits.stops_max = 4;
  const auto generate = protocols::ollama::parse_generate(body, limits);
  if (generate) {
    check_request(generate->request);
  } else {
    check_error(generate.error());
  }
  const auto route = protocols::native::parse_route(body, limits);
  if (route) {
    check_request(route->request);
  } else {
    check_error(route.error());
  }
  const auto order = protocols::native::parse_fleet_order(body, limits);
  if (order) {
    check(!*order || (!(*order)->empty() && (*order)->size() <= limits.model_bytes_max));
    check(!*order || gbgreg::is_valid_utf8(**order));
  } else {
    check_error(order.error());
  }
  return 0;
}
