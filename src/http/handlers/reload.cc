#include "http/handlers/reload.h"

#include "protocols/native.h"

namespace gbgreg::http {

Task<Result<void>> ReloadHandlers::reload(Call& call) {
  const auto report = co_await reloading_.reload();
  if (!report) co_return std::unexpected(report.error());
  const std::string body = protocols::native::write_reload(*report);
  co_return co_await call.exchange.respond(200, kJson, body);
}

}  // namespace gbgreg::http
