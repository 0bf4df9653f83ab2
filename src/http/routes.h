// The one table of everything the gateway answers.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http/access.h"
#include "http/call.h"

namespace gbgreg::http {

class AnalyticsHandlers;
class AnthropicHandlers;
class AskHandlers;
class AuditHandlers;
class DoctorHandlers;
class EmbeddingHandlers;
class FileHandlers;
class FleetHandlers;
class HealthHandlers;
class KeyHandlers;
class ModelHandlers;
class OpenAiHandlers;
class ProjectHandlers;
class ReloadHandlers;
class ResponseHandlers;
class ScreenshotHandlers;
class StoredModelHandlers;
class UploadHandlers;

struct Route {
  std::string_view method;
  // "/api/projects/{id}/files/{path...}": at most one {…}, which takes one segment, and {…...} at the end, which takes
  // all that is left.
  std::string_view pattern;
  Handle handle;
  Dialect dialect = Dialect::native;
  Access access = Access::key;
  // What the audit trail calls it, "key.create": of every route that makes, deletes, changes or reloads something.
  // Those that ask a model have none; their requests are on record.
  std::string_view action = {};
};

// What the table's handlers need; all of it outlives the table.
struct Handlers {
  AnalyticsHandlers& analytics;
  AnthropicHandlers& anthropic;
  AskHandlers& ask;
  AuditHandlers& audit;
  DoctorHandlers& doctor;
  EmbeddingHandlers& embeddings;
  FileHandlers& files;
  FleetHandlers& fleet;
  HealthHandlers& health;
  KeyHandlers& keys;
  ModelHandlers& models;
  OpenAiHandlers& openai;
  ProjectHandlers& projects;
  ReloadHandlers& reload;
  ResponseHandlers& responses;
  ScreenshotHandlers& screenshots;
  StoredModelHandlers& stored_models;
  UploadHandlers& uploads;
};

std::vector<Route> make_routes(const Handlers& handlers);

struct Match {
  const Route* route = nullptr;
  std::string parameter;  // What stood for {id}, decoded.
  std::string rest;       // What stood for {path...}, likewise.
};

// The routes without a parameter, by their paths, since nearly every request is for one of them.
class PlainRoutes {
 public:
  // `routes` outlives it and stays where it is.
  explicit PlainRoutes(std::span<const Route> routes);
  // Null when there is none, or none for this method: find_route() knows which.
  const Route* find(std::string_view method, std::string_view path) const;

 private:
  std::vector<const Route*> by_path_;
};

// Finds the route of a request; HEAD goes where GET goes. `path` is not yet decoded.
// Errors: not_found; method_not_allowed, whose message names the methods that would do; malformed (a broken escape).
Result<Match> find_route(std::span<const Route> routes, std::string_view method, std::string_view path);

// What a refusal of any method at this path is said in: the dialect of what is there, or of its neighbours.
Dialect dialect_at(std::span<const Route> routes, std::string_view path);

// "GET, HEAD, POST": for the Allow field of a 405.
std::string allowed_methods(std::span<const Route> routes, std::string_view path);

}  // namespace gbgreg::http
