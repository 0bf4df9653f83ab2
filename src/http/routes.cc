#include "http/routes.h"

#include "http/handlers/analytics.h"
#include "http/handlers/anthropic.h"
#include "http/handlers/ask.h"
#include "http/handlers/audit.h"
#include "http/handlers/doctor.h"
#include "http/handlers/embeddings.h"
#include "http/handlers/files.h"
#include "http/handlers/fleet.h"
#include "http/handlers/health.h"
#include "http/handlers/keys.h"
#include "http/handlers/models.h"
#include "http/handlers/openai.h"
#include "http/handlers/projects.h"
#include "http/handlers/reload.h"
#include "http/handlers/responses.h"
#include "http/handlers/screenshots.h"
#include "http/handlers/stored_models.h"
#include "http/handlers/uploads.h"
#include "http/openapi.h"

namespace gbgreg::http {

std::vector<Route> make_routes(const Handlers& handlers) {
  AnalyticsHandlers& analytics = handlers.analytics;
  AnthropicHandlers& anthropic = handlers.anthropic;
  AskHandlers& ask = handlers.ask;
  AuditHandlers& audit = handlers.audit;
  DoctorHandlers& doctor = handlers.doctor;
  EmbeddingHandlers& embeddings = handlers.embeddings;
  FileHandlers& files = handlers.files;
  FleetHandlers& fleet = handlers.fleet;
  HealthHandlers& health = handlers.health;
  KeyHandlers& keys = handlers.keys;
  ModelHandlers& models = handlers.models;
  OpenAiHandlers& openai = handlers.openai;
  ProjectHandlers& projects = handlers.projects;
  ReloadHandlers& reload = handlers.reload;
  ResponseHandlers& responses = handlers.responses;
  ScreenshotHandlers& screenshots = handlers.screenshots;
  StoredModelHandlers& stored = handlers.stored_models;
  UploadHandlers& uploads = handlers.uploads;
  return {
      // Asking a model.
      {"POST", "/api/generate", [&ask](Call& call) { return ask.generate(call); }},
      {"POST", "/api/route", [&ask](Call& call) { return ask.route(call); }},
      {"POST", "/api/chat", [&ask](Call& call) { return ask.chat(call); }, Dialect::ollama},
      {"POST", "/v1/chat/completions", [&openai](Call& call) { return openai.chat(call); }, Dialect::openai},
      {"POST", "/v1/completions", [&openai](Call& call) { return openai.completion(call); }, Dialect::openai},
      {"POST", "/v1/responses", [&responses](Call& call) { return responses.create(call); }, Dialect::openai},
      {"GET", "/v1/responses/{id}", [&responses](Call& call) { return responses.none(call); }, Dialect::openai},
      {"DELETE", "/v1/responses/{id}", [&responses](Call& call) { return responses.none(call); }, Dialect::openai},
      {"GET", "/v1/responses/{id}/input_items", [&responses](Call& call) { return responses.none(call); },
       Dialect::openai},
      {"POST", "/v1/responses/{id}/cancel", [&responses](Call& call) { return responses.none(call); }, Dialect::openai},
      {"POST", "/v1/messages", [&anthropic](Call& call) { return anthropic.messages(call); }, Dialect::anthropic},
      {"POST", "/v1/messages/count_tokens", [&anthropic](Call& call) { return anthropic.count_tokens(call); },
       Dialect::anthropic},
      // Texts to vectors.
      {"POST", "/v1/embeddings", [&embeddings](Call& call) { return embeddings.openai(call); }, Dialect::openai},
      {"POST", "/api/embed", [&embeddings](Call& call) { return embeddings.embed(call); }, Dialect::ollama},
      {"POST", "/api/embeddings", [&embeddings](Call& call) { return embeddings.embeddings(call); }, Dialect::ollama},
      // Models.
      {"GET", "/v1/models", [&models](Call& call) { return models.openai_list(call); }, Dialect::openai},
      {"GET", "/v1/models/{id...}", [&models](Call& call) { return models.openai_one(call); }, Dialect::openai},
      {"GET", "/api/tags", [&models](Call& call) { return models.tags(call); }, Dialect::ollama},
      {"GET", "/api/ps", [&models](Call& call) { return models.running(call); }, Dialect::ollama},
      {"POST", "/api/show", [&models](Call& call) { return models.show(call); }, Dialect::ollama},
      {"POST", "/api/pull", [&stored](Call& call) { return stored.pull_as_ollama(call); }, Dialect::ollama,
       Access::admin, "model.pull"},
      {"DELETE", "/api/delete", [&stored](Call& call) { return stored.remove(call); }, Dialect::ollama, Access::admin,
       "model.delete"},
      {"GET", "/api/models", [&stored](Call& call) { return stored.list(call); }},
      {"POST", "/api/models/pull", [&stored](Call& call) { return stored.pull(call); }, Dialect::native, Access::admin,
       "model.pull"},
      {"GET", "/", [&models](Call& call) { return models.root(call); }, Dialect::native, Access::open},
      // Files.
      {"POST", "/api/upload/file", [&uploads](Call& call) { return uploads.upload_file(call); }, Dialect::native,
       Access::key, "upload.create"},
      {"GET", "/api/uploads", [&uploads](Call& call) { return uploads.list(call.exchange); }},
      {"GET", "/api/uploads/{id}", [&uploads](Call& call) { return uploads.find(call.exchange, call.parameter); }},
      {"DELETE", "/api/uploads/{id}", [&uploads](Call& call) { return uploads.remove(call); }, Dialect::native,
       Access::key, "upload.delete"},
      {"GET", "/api/uploads/{id}/content",
       [&uploads](Call& call) { return uploads.content(call.exchange, call.parameter); }},
      {"POST", "/v1/files", [&files](Call& call) { return files.create(call); }, Dialect::openai, Access::key,
       "upload.create"},
      {"GET", "/v1/files", [&files](Call& call) { return files.list(call); }, Dialect::openai},
      {"GET", "/v1/files/{id}", [&files](Call& call) { return files.find(call); }, Dialect::openai},
      {"DELETE", "/v1/files/{id}", [&files](Call& call) { return files.remove(call); }, Dialect::openai, Access::key,
       "upload.delete"},
      {"GET", "/v1/files/{id}/content", [&files](Call& call) { return files.content(call); }, Dialect::openai},
      // Projects.
      {"POST", "/api/upload/project", [&projects](Call& call) { return projects.upload_project(call); },
       Dialect::native, Access::key, "project.create"},
      {"POST", "/api/upload/zip", [&projects](Call& call) { return projects.upload_archive(call); }, Dialect::native,
       Access::key, "project.create"},
      {"GET", "/api/projects", [&projects](Call& call) { return projects.list(call.exchange); }},
      {"GET", "/api/projects/{id}", [&projects](Call& call) { return projects.find(call.exchange, call.parameter); }},
      {"DELETE", "/api/projects/{id}", [&projects](Call& call) { return projects.remove(call); }, Dialect::native,
       Access::key, "project.delete"},
      {"GET", "/api/projects/{id}/files",
       [&projects](Call& call) { return projects.files(call.exchange, call.parameter); }},
      {"GET", "/api/projects/{id}/files/{path...}",
       [&projects](Call& call) { return projects.file(call.exchange, call.parameter, call.rest); }},
      // Screenshots.
      {"POST", "/api/upload/screenshot", [&screenshots](Call& call) { return screenshots.upload(call); },
       Dialect::native, Access::key, "screenshot.create"},
      {"GET", "/api/screenshots", [&screenshots](Call& call) { return screenshots.list(call); }},
      {"GET", "/api/screenshots/{id}", [&screenshots](Call& call) { return screenshots.find(call); }},
      {"GET", "/api/screenshots/{id}/events", [&screenshots](Call& call) { return screenshots.events(call); }},
      // Keys.
      {"GET", "/api/keys", [&keys](Call& call) { return keys.list(call); }, Dialect::native, Access::keys},
      {"POST", "/api/keys", [&keys](Call& call) { return keys.create(call); }, Dialect::native, Access::keys,
       "key.create"},
      {"DELETE", "/api/keys/{id}", [&keys](Call& call) { return keys.revoke(call); }, Dialect::native, Access::keys,
       "key.revoke"},
      // What is on record.
      {"GET", "/api/analytics/summary", [&analytics](Call& call) { return analytics.summary(call); }, Dialect::native,
       Access::admin},
      {"GET", "/api/analytics/timeseries", [&analytics](Call& call) { return analytics.timeseries(call); },
       Dialect::native, Access::admin},
      {"GET", "/api/analytics/requests", [&analytics](Call& call) { return analytics.requests(call); }, Dialect::native,
       Access::admin},
      {"GET", "/api/analytics/requests/{id}", [&analytics](Call& call) { return analytics.request(call); },
       Dialect::native, Access::admin},
      {"GET", "/api/analytics/events", [&analytics](Call& call) { return analytics.events(call); }, Dialect::native,
       Access::admin},
      // Who did what.
      {"GET", "/api/audit", [&audit](Call& call) { return audit.list(call); }, Dialect::native, Access::admin},
      // Running it.
      {"POST", "/api/reload", [&reload](Call& call) { return reload.reload(call); }, Dialect::native, Access::admin,
       "config.reload"},
      {"GET", "/api/fleet", [&fleet](Call& call) { return fleet.show(call); }},
      {"POST", "/api/fleet/{role}/load", [&fleet](Call& call) { return fleet.load(call); }, Dialect::native,
       Access::admin, "role.load"},
      {"POST", "/api/fleet/{role}/unload", [&fleet](Call& call) { return fleet.unload(call); }, Dialect::native,
       Access::admin, "role.unload"},
      {"POST", "/api/fleet/{role}/restart", [&fleet](Call& call) { return fleet.restart(call); }, Dialect::native,
       Access::admin, "role.restart"},
      // How it goes.
      {"GET", "/health", [&health](Call& call) { return health.health(call); }},
      {"GET", "/health/live", [&health](Call& call) { return health.live(call); }, Dialect::native, Access::open},
      {"GET", "/health/ready", [&health](Call& call) { return health.ready(call); }, Dialect::native, Access::open},
      {"GET", "/api/doctor", [&doctor](Call& call) { return doctor.examine(call); }},
      {"GET", "/metrics", [&health](Call& call) { return health.metrics(call); }},
      {"GET", "/api/version", [&health](Call& call) { return health.version(call); }},
      {"GET", "/openapi.json", [](Call& call) { return call.exchange.respond(200, kJson, openapi_json()); }},
  };
}

namespace {

// Takes the first segment, with its slash, off a path.
std::string_view take_segment(std::string_view& path) {
  const std::size_t next = path.find('/', 1);
  const std::string_view segment = path.substr(0, next);
  path.remove_prefix(next == std::string_view::npos ? path.size() : next);
  return segment;
}

// What stands for {id} and {path...} in a path, still encoded.
struct Parameters {
  std::string_view one = {};
  std::string_view rest = {};
};

// Does the path have the pattern's form?
bool matches(std::string_view pattern, std::string_view path, Parameters& parameters) {
  while (!pattern.empty() && !path.empty()) {
    const std::string_view wanted = take_segment(pattern);
    if (wanted.starts_with("/{") && wanted.ends_with("...}") && path.size() > 1) {
      parameters.rest = path.substr(1);
      return true;
    }
    const std::string_view segment = take_segment(path);
    if (wanted.starts_with("/{") && segment.size() > 1) {
      parameters.one = segment.substr(1);
    } else if (wanted != segment) {
      return false;
    }
  }
  return pattern.empty() && path.empty();
}

bool serves(const Route& route, std::string_view method) {
  return route.method == method || (route.method == "GET" && method == "HEAD");
}

}  // namespace

PlainRoutes::PlainRoutes(std::span<const Route> routes) {
  for (const Route& route : routes) {
    if (!route.pattern.contains('{')) by_path_.push_back(&route);
  }
  std::ranges::sort(by_path_, {}, [](const Route* route) { return std::pair(route->pattern, route); });
}

const Route* PlainRoutes::find(std::string_view method, std::string_view path) const {
  for (const Route* route : std::ranges::equal_range(by_path_, path, {}, &Route::pattern)) {
    if (serves(*route, method)) return route;
  }
  return nullptr;
}

Result<Match> find_route(std::span<const Route> routes, std::string_view method, std::string_view path) {
  bool path_known = false;
  for (const Route& route : routes) {
    Parameters parameters;
    if (!matches(route.pattern, path, parameters)) continue;
    path_known = true;
    if (!serves(route, method)) continue;
    auto one = net::percent_decode(parameters.one, false);
    auto rest = net::percent_decode(parameters.rest, false);
    if (!one || !rest) return fail(Kind::malformed, "malformed_path", "The path is not valid percent-encoded UTF-8.");
    return Match{.route = &route, .parameter = std::move(*one), .rest = std::move(*rest)};
  }
  if (!path_known) {
    return fail(Kind::not_found, "unknown_path", "There is nothing at this path. GET /health shows what is running.");
  }
  return fail(Kind::method_not_allowed, "method_not_allowed",
              "This path does not take this method; it takes " + allowed_methods(routes, path) + ".");
}

Dialect dialect_at(std::span<const Route> routes, std::string_view path) {
  for (const Route& route : routes) {
    Parameters parameters;
    if (matches(route.pattern, path, parameters)) return route.dialect;
  }
  return dialect_of(path);
}

std::string allowed_methods(std::span<const Route> routes, std::string_view path) {
  std::string allowed;
  for (const Route& route : routes) {
    Parameters parameters;
    if (!matches(route.pattern, path, parameters)) continue;
    if (!allowed.empty()) allowed.append(", ");
    allowed.append(route.method);
    if (route.method == "GET") allowed.append(", HEAD");
  }
  return allowed;
}

}  // namespace gbgreg::http
