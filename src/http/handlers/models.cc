#include "http/handlers/models.h"

#include <algorithm>

#include "protocols/ollama.h"
#include "protocols/openai.h"
#include "protocols/stored_models.h"
#include "routing/policy.h"

namespace gbgreg::http {
namespace {

namespace ollama = protocols::ollama;
namespace openai = protocols::openai;

// Every name that a request may give for `model`, each once: "auto", the roles, the models.
std::vector<openai::Model> names(const std::vector<llm::BackendView>& backends) {
  std::vector<openai::Model> models{{.id = "auto"}};
  const auto add = [&](std::string_view id) {
    if (std::ranges::find(models, id, &openai::Model::id) == models.end()) models.push_back({.id = id});
  };
  for (const auto& backend : backends) add(backend.role);
  for (const auto& backend : backends) add(backend.model);
  return models;
}

}  // namespace

ModelHandlers::ModelHandlers(const fleet::Fleet& fleet, services::Models& stored, const Clock& clock, JsonReading& json)
    : fleet_(fleet), stored_(stored), json_(json), started_(clock.wall()) {}

Task<Result<void>> ModelHandlers::openai_list(Call& call) {
  const auto backends = fleet_.snapshot();
  co_return co_await call.exchange.respond(200, kJson, openai::write_models(names(*backends), started_));
}

Task<Result<void>> ModelHandlers::openai_one(Call& call) {
  const auto backends = fleet_.snapshot();
  const auto models = names(*backends);
  const auto model = std::ranges::find(models, call.rest, &openai::Model::id);
  if (model == models.end()) co_return routing::model_not_found(call.rest, *backends);
  co_return co_await call.exchange.respond(200, kJson, openai::write_model(*model, started_));
}

Task<Result<void>> ModelHandlers::tags(Call& call) {
  const auto backends = fleet_.snapshot();
  const auto stored = co_await stored_.list();
  const std::string body = ollama::write_tags(*backends, stored, routing::is_named, started_);
  co_return co_await call.exchange.respond(200, kJson, body);
}

Task<Result<void>> ModelHandlers::running(Call& call) {
  const auto backends = fleet_.snapshot();
  co_return co_await call.exchange.respond(200, kJson, ollama::write_running(*backends, started_));
}

Task<Result<void>> ModelHandlers::show(Call& call) {
  auto body = co_await json_.read(call.exchange);
  if (!body) co_return std::unexpected(std::move(body.error()));
  const auto asked = ollama::parse_model(body->text, json_.limits());
  if (!asked) co_return std::unexpected(asked.error());
  const auto backends = fleet_.snapshot();
  const auto is_it = [&](const llm::BackendView& backend) {
    return routing::is_named(backend.model, *asked) || backend.role == *asked;
  };
  const auto backend = std::ranges::find_if(*backends, is_it);
  if (backend != backends->end()) {
    co_return co_await call.exchange.respond(200, kJson, ollama::write_model(*backend, started_));
  }
  const auto stored = co_await stored_.find(*asked);
  if (stored) co_return co_await call.exchange.respond(200, kJson, ollama::write_model(*stored));
  // What is no name of a model on a disk may be one that somebody expected in the configuration.
  const bool is_unknown = stored.error().kind == Kind::not_found || stored.error().kind == Kind::malformed;
  if (is_unknown) co_return routing::model_not_found(*asked, *backends);
  co_return std::unexpected(stored.error());
}

// What Ollama's clients ask to find out whether anybody is there.
Task<Result<void>> ModelHandlers::root(Call& call) {
  co_return co_await call.exchange.respond(200, "text/plain; charset=utf-8", "gbgreg is running");
}

}  // namespace gbgreg::http
