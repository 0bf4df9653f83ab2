#include "http/dialect.h"

#include "protocols/anthropic.h"
#include "protocols/native.h"
#include "protocols/ollama.h"
#include "protocols/openai.h"

namespace gbgreg::http {

Dialect dialect_of(std::string_view path) {
  if (path.starts_with("/v1/messages")) return Dialect::anthropic;
  if (path.starts_with("/v1/")) return Dialect::openai;
  return Dialect::native;
}

std::string write_error(Dialect dialect, const Error& error, std::string_view request_id) {
  switch (dialect) {
    case Dialect::native:
      break;
    case Dialect::ollama: {
      std::string line;
      protocols::ollama::write_error(line, error, request_id);
      return line;
    }
    case Dialect::openai:
      return protocols::openai::write_error(error);
    case Dialect::anthropic:
      return protocols::anthropic::write_error(error, request_id);
  }
  return protocols::native::write_error(error, request_id);
}

}  // namespace gbgreg::http
