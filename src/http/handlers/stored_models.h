// Models on the disk: Ollama's POST /api/pull and DELETE /api/delete, and our POST /api/models/pull and GET
// /api/models. The story is services/models'.
#pragma once

#include "core/core.h"
#include "http/call.h"
#include "http/json_reading.h"
#include "protocols/stored_models.h"
#include "services/models.h"

namespace gbgreg::http {

class StoredModelHandlers {
 public:
  // All outlive this.
  StoredModelHandlers(services::Models& models, JsonReading& json) : models_(models), json_(json) {}

  Task<Result<void>> pull_as_ollama(Call& call);
  Task<Result<void>> pull(Call& call);
  Task<Result<void>> remove(Call& call);
  Task<Result<void>> list(Call& call);

 private:
  // How a step is written, and how an error that comes after the first byte.
  struct Words {
    void (*step)(std::string& out, const protocols::PullStep& step);
    void (*error)(std::string& out, const Error& error, std::string_view request_id);
  };
  Task<Result<void>> pull_in(Call& call, Words words);
  Task<Result<void>> stream(Call& call, services::Pulling& pulling, Words words);
  Task<Result<void>> wait(Call& call, services::Pulling& pulling, Words words);

  services::Models& models_;
  JsonReading& json_;
};

}  // namespace gbgreg::http
