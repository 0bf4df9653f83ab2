#include "config/config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <set>
#include <system_error>

#include "http/web_origin.h"
#include "models/library.h"
#include "models/name.h"
#include "net/address.h"
#include "storage/database_url.h"

namespace gbgreg::config {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEngineVersion = "v0.5.0";
constexpr std::initializer_list<const char*> kDemoRoles{"coordinator", "technical", "documentation", "vision",
                                                        "embedding"};
constexpr int kDemoContextTokens = 2048;
constexpr std::initializer_list<const char*> kLogLevels{"trace", "debug", "info", "warn", "error", "off"};
constexpr std::size_t kFileBytesMax = 1024 * 1024;
constexpr std::size_t kKeyBytesMax = 4096;  // Of the key to a server.
constexpr std::size_t kModelsOfRoleMax = 32;
constexpr std::size_t kNameBytesMax = 100;  // Of a role or a model: both stand in headers, metrics and tables.
constexpr std::string_view kTracesPath = "/v1/traces";
constexpr int kGpuLayersMax = 10'000;
constexpr std::int64_t kKeepAliveSecondsMax = 365 * 86'400;
constexpr std::int64_t kMemoryBytesMin = 1'000'000;
constexpr std::int64_t kMemoryBytesMax = std::int64_t{1} << 50;
// Over all slots of a worker: the engine counts them in an int.
constexpr std::int64_t kContextTokensMax = 100'000'000;

// The one exception of this room: thrown by the readers below, caught by load(). yaml-cpp throws too, so a second way
// out beside it would only double every line.
struct BadConfig {
  std::string message;
};

[[noreturn]] void bad(const YAML::Node& node, const std::string& what) {
  const auto mark = node.Mark();
  throw BadConfig{mark.is_null() ? what : "line " + std::to_string(mark.line + 1) + ": " + what};
}

// YAML takes a key that stands there twice; which of the two is meant nobody can say.
void check_unique_keys(const YAML::Node& map) {
  std::set<std::string> seen;
  for (const auto& entry : map) {
    const auto key = entry.first.as<std::string>();
    if (!seen.insert(key).second) bad(entry.first, "`" + key + "` stands there twice.");
  }
}

void check_keys(const YAML::Node& map, const std::string& where, std::initializer_list<const char*> known) {
  if (!map.IsMap()) bad(map, where + " must be a map of keys and values.");
  check_unique_keys(map);
  for (const auto& entry : map) {
    const auto key = entry.first.as<std::string>();
    bool found = false;
    std::string list;
    for (const char* name : known) {
      found |= key == name;
      list.append(list.empty() ? "" : ", ").append(name);
    }
    if (found) continue;
    std::string what = "`";
    what.append(key).append("` is not a key of ").append(where).append(". It has: ").append(list).append(".");
    bad(entry.first, what);
  }
}

void read_text(const YAML::Node& map, const char* key, std::string& out) {
  const YAML::Node node = map[key];
  if (!node) return;
  if (!node.IsScalar() || node.Scalar().empty()) bad(node, std::string("`") + key + "` must be a text.");
  out = node.Scalar();
}

template <class Number>
void read_number(const YAML::Node& map, const char* key, std::int64_t min, std::int64_t max, Number& out) {
  const YAML::Node node = map[key];
  if (!node) return;
  std::int64_t value = 0;
  const bool whole = node.IsScalar() && YAML::convert<std::int64_t>::decode(node, value);
  if (!whole || value < min || value > max) {
    bad(node, std::string("`") + key + "` must be a whole number from " + std::to_string(min) + " to " +
                  std::to_string(max) + ".");
  }
  out = static_cast<Number>(value);
}

// A number of milliseconds from 1 on, or `off`.
void read_bound(const YAML::Node& map, const char* key, std::optional<std::chrono::milliseconds>& out) {
  const YAML::Node node = map[key];
  if (!node) return;
  if (node.IsScalar() && node.Scalar() == "off") {
    out = fleet::Options::kNoBound;
    return;
  }
  std::int64_t ms = 0;
  read_number(map, key, 1, 86'400'000, ms);
  out = std::chrono::milliseconds{ms};
}

void read_boolean(const YAML::Node& map, const char* key, bool& out) {
  const YAML::Node node = map[key];
  if (!node) return;
  if (!node.IsScalar() || !YAML::convert<bool>::decode(node, out)) {
    bad(node, std::string("`") + key + "` must be true or false.");
  }
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> items;
  std::size_t from = 0;
  while (from <= text.size()) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    std::string item = text.substr(from, comma - from);
    std::erase(item, ' ');  // No address has one.
    if (!item.empty()) items.push_back(std::move(item));
    from = comma + 1;
  }
  return items;
}

// A YAML list, or a text with commas.
void read_list(const YAML::Node& map, const char* key, std::vector<std::string>& out) {
  const YAML::Node node = map[key];
  if (!node) return;
  if (!node.IsSequence() && !node.IsScalar())
    bad(node, std::string("`") + key + "` must be a text or a list of texts.");
  out = node.IsSequence() ? node.as<std::vector<std::string>>() : split_list(node.Scalar());
}

fs::path home(const Environment& environment) { return environment("HOME").value_or("/"); }

fs::path expand(const std::string& text, const Environment& environment) {
  if (text == "~") return home(environment);
  if (text.starts_with("~/")) return home(environment) / text.substr(2);
  return text;
}

std::vector<fs::path> expand_all(const std::vector<std::string>& texts, const Environment& environment) {
  std::vector<fs::path> paths;
  paths.reserve(texts.size());
  for (const std::string& text : texts) paths.push_back(expand(text, environment));
  return paths;
}

// HOST=TOKEN,…; the tokens of Hugging Face have a variable of their own, as for its other clients.
std::map<std::string, std::string> registry_tokens(const Environment& environment) {
  std::map<std::string, std::string> tokens;
  if (const auto set = environment("HF_TOKEN")) tokens["hf.co"] = tokens["huggingface.co"] = *set;
  for (const std::string& item : split_list(environment("GBGREG_REGISTRY_TOKENS").value_or(""))) {
    const std::size_t at = item.find('=');
    if (at != std::string::npos) tokens[item.substr(0, at)] = item.substr(at + 1);
  }
  return tokens;
}

fs::path cache_folder(const Environment& environment) {
  if (const auto set = environment("GBGREG_CACHE")) return *set;
  if (const auto set = environment("XDG_CACHE_HOME")) return fs::path(*set) / "gbgreg";
  return home(environment) / ".cache" / "gbgreg";
}

fs::path cache_models(const Environment& environment) { return cache_folder(environment) / "models"; }

// Of tools/make_demo_models.mjs. The owner's own models may be called demo as well, and mean something.
bool is_demo_model(const fs::path& file, const Environment& environment) {
  return std::ranges::any_of(kDemoRoles, [&](const char* role) {
    const fs::path demo = cache_models(environment) / ("demo-" + std::string(role) + ".gguf");
    return file.lexically_normal() == demo.lexically_normal();
  });
}

fs::path data_folder(const Environment& environment) {
  if (const auto set = environment("XDG_DATA_HOME")) return fs::path(*set) / "gbgreg";
  return home(environment) / ".local" / "share" / "gbgreg";
}

// "auto" lets the router choose, so nothing else may be called that.
void check_name(const YAML::Node& node, const std::string& what, std::string_view name) {
  const bool is_printable = std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7f && c != '"'; });
  if (name.empty() || name.size() > kNameBytesMax || !is_printable || name == "auto") {
    bad(node, what + " must be 1 to " + std::to_string(kNameBytesMax) +
                  " printable ASCII characters without blanks and quotes, and not `auto`.");
  }
}

std::optional<fleet::Pooling> read_pooling(const YAML::Node& map) {
  const YAML::Node node = map["pooling"];
  if (!node) return std::nullopt;
  if (node.IsScalar() && node.Scalar() == "mean") return fleet::Pooling::mean;
  if (node.IsScalar() && node.Scalar() == "cls") return fleet::Pooling::cls;
  if (node.IsScalar() && node.Scalar() == "last") return fleet::Pooling::last;
  bad(node, "`pooling` must be mean, cls or last.");
}

gpu::DevicePolicy read_device(const YAML::Node& map) {
  const YAML::Node node = map["device"];
  if (!node) return gpu::DevicePolicy::prefer_gpu;
  if (node.IsScalar() && node.Scalar() == "prefer_gpu") return gpu::DevicePolicy::prefer_gpu;
  if (node.IsScalar() && node.Scalar() == "require_gpu") return gpu::DevicePolicy::require_gpu;
  if (node.IsScalar() && node.Scalar() == "cpu") return gpu::DevicePolicy::cpu;
  bad(node, "`device` must be prefer_gpu, require_gpu or cpu.");
}

// What makes a role one for embeddings.
void read_embedder(const std::string& role, const YAML::Node& node, fleet::WorkerOptions& worker) {
  read_boolean(node, "embeddings", worker.embeds);
  worker.pooling = read_pooling(node);
  read_number(node, "dimensions_min", 1, 1'000'000, worker.dimensions_min);
  if (worker.embeds && node["mmproj"]) {
    bad(node, "role `" + role + "` has `embeddings`, so it can have no `mmproj`: images are not embedded.");
  }
  if (!worker.embeds && (worker.pooling || worker.dimensions_min > 0)) {
    bad(node, "role `" + role + "` needs `embeddings: true` for `pooling` and `dimensions_min`.");
  }
}

fleet::CacheType read_cache(const YAML::Node& map) {
  std::string name = "f16";
  read_text(map, "cache", name);
  if (name != "f16" && name != "q8_0") bad(map["cache"], "`cache` must be f16 or q8_0.");
  return name == "q8_0" ? fleet::CacheType::q8_0 : fleet::CacheType::f16;
}

// A model's name alone must tell what it may be asked for.
void check_kinds(const YAML::Node& roles, const std::vector<fleet::WorkerOptions>& workers) {
  for (const auto& one : workers) {
    for (const auto& other : workers) {
      if (one.model != other.model || one.embeds == other.embeds) continue;
      bad(roles, "the roles `" + one.role + "` and `" + other.role + "` call their models `" + one.model +
                     "`, but only one of them is for embeddings: give it another name.");
    }
  }
}

// Two that want one port would take it from each other at every start; so would one that wants the gateway's.
void check_ports(const YAML::Node& roles, const Config& config) {
  const auto& workers = config.fleet.workers;
  for (auto one = workers.begin(); one != workers.end(); ++one) {
    if (!one->port) continue;
    const std::string port = std::to_string(*one->port);
    const auto other = std::ranges::find(std::next(one), workers.end(), one->port, &fleet::WorkerOptions::port);
    if (other != workers.end()) {
      bad(roles, one->model + " of the role `" + one->role + "` and " + other->model + " of the role `" + other->role +
                     "` have the same `port`, " + port + ": give each its own.");
    }
    const auto is_it = [&](const std::string& address) { return address.ends_with(":" + port); };
    if (std::ranges::any_of(config.listen, is_it)) {
      bad(roles, "the role `" + one->role + "` has the `port` " + port + ", on which the gateway listens itself.");
    }
  }
}

// A role without a file has a model that was fetched by its name.
void check_stored(const std::string& role, const YAML::Node& node, const std::string& model, bool has_projector) {
  if (!models::parse_name(model)) {
    bad(node, "role `" + role +
                  "` needs `file`, the model's GGUF file, or a `model` that can be fetched by its name, "
                  "like llama3.1:8b.");
  }
  if (has_projector) bad(node, "role `" + role + "` needs `file` for `mmproj`: a fetched model brings its own.");
}

fleet::ServerKind read_server_kind(const YAML::Node& map) {
  const YAML::Node node = map["kind"];
  const std::string kind = node && node.IsScalar() ? node.Scalar() : "";
  if (kind == "openai") return fleet::ServerKind::openai;
  if (kind == "ollama") return fleet::ServerKind::ollama;
  if (kind == "vllm") return fleet::ServerKind::vllm;
  if (kind == "llama-server") return fleet::ServerKind::llama_server;
  bad(node ? node : map, "`kind` of a server must be openai, ollama, vllm or llama-server.");
}

// Others on this machine may read it, or write another into it.
void warn_of_open_key(const std::string& where, const fs::path& file, Config& config) {
  constexpr auto kOthers = fs::perms::others_read | fs::perms::others_write | fs::perms::group_write;
  std::error_code unknown;
  const fs::file_status found = fs::status(file, unknown);
  if (unknown || (found.permissions() & kOthers) == fs::perms::none) return;
  config.warnings.push_back(where + ": other users may read or write its key in " + file.string() +
                            "; chmod 0600 (or 0640) takes that from them");
}

// The key itself stands neither in the configuration nor in what is said of it.
std::string read_server_key(const std::string& where, const YAML::Node& node, const Environment& environment,
                            Config& config) {
  if (node["key"]) {
    bad(node["key"], where +
                         ": a key does not belong into this file, which others may read: put it into an environment "
                         "variable and its name into `key_env`, or into a file of its own, mode 0600, and its path "
                         "into `key_file`.");
  }
  std::string variable, file, key;
  read_text(node, "key_env", variable);
  read_text(node, "key_file", file);
  if (!variable.empty() && !file.empty()) bad(node, where + " has both `key_env` and `key_file`: leave one out.");
  if (!variable.empty()) {
    key = environment(variable).value_or("");
    if (key.empty()) bad(node["key_env"], where + ": the environment variable " + variable + " is not set.");
  }
  if (!file.empty()) {
    const fs::path path = expand(file, environment);
    std::ifstream in(path);
    if (!std::getline(in, key) || key.empty())
      bad(node["key_file"], where + ": `key_file` cannot be read, or is empty.");
    warn_of_open_key(where, path, config);
  }
  const bool is_usable =
      key.size() <= kKeyBytesMax && std::ranges::all_of(key, [](unsigned char c) { return c > ' ' && c < 0x7f; });
  if (!is_usable) {
    bad(node, where + ": its key must be at most " + std::to_string(kKeyBytesMax) +
                  " printable ASCII characters without blanks.");
  }
  return key;
}

fleet::ServerOptions read_server(const std::string& name, const YAML::Node& node, const Environment& environment,
                                 Config& config) {
  const std::string where = "server `" + name + "`";
  if (!node.IsMap() || !node["key"]) {
    check_keys(node, where, {"kind", "url", "ca_file", "key_env", "key_file", "slots"});
  }
  fleet::ServerOptions server{.name = name, .kind = read_server_kind(node)};
  std::string url, authorities;
  read_text(node, "url", url);
  if (url.empty()) bad(node, where + " needs `url`, such as http://192.168.1.7:11434 or https://den.example.");
  auto parsed = net::parse_server_url(url);
  if (!parsed) bad(node["url"], "`url` of " + where + ": " + parsed.error().message);
  server.url = std::move(*parsed);
  read_text(node, "ca_file", authorities);
  if (!authorities.empty() && !server.url.is_secure) {
    bad(node["ca_file"], where + " has a `ca_file`, which is for a `url` that begins with https://.");
  }
  server.ca_file = expand(authorities, environment);
  server.key = read_server_key(where, node, environment, config);
  read_number(node, "slots", 1, 256, server.slots);
  return server;
}

// A role's model on one server, or on several that share the work.
void read_outside_model(const std::string& role, const YAML::Node& node, int preference, Config& config) {
  const std::string where = "a model of role `" + role + "`";
  check_keys(node, where, {"model", "server", "served_as", "context", "objective_ms", "embeddings", "sees_images"});
  fleet::OutsideModelOptions model{.role = role, .model = {}, .served_as = {}};
  model.preference = preference;
  read_text(node, "model", model.model);
  if (model.model.empty()) bad(node, where + " needs `model`, the name that clients see.");
  check_name(node, "`model` of role `" + role + "`", model.model);
  model.served_as = model.model;
  read_text(node, "served_as", model.served_as);
  if (node["context"]) read_number(node, "context", 64, 10'000'000, model.context_tokens.emplace());
  read_number(node, "objective_ms", 1, 3'600'000, model.objective_ms);
  read_boolean(node, "embeddings", model.embeds);
  read_boolean(node, "sees_images", model.sees_images);
  std::vector<std::string> names;
  read_list(node, "server", names);
  if (names.empty()) bad(node, where + " needs at least one `server`.");
  for (const std::string& name : names) {
    const auto server = std::ranges::find(config.fleet.servers, name, &fleet::ServerOptions::name);
    if (server == config.fleet.servers.end()) bad(node["server"], "`" + name + "` is not one of `servers`.");
    const bool has_it = std::ranges::any_of(server->models, [&](const fleet::OutsideModelOptions& other) {
      return other.role == role && other.model == model.model;
    });
    if (has_it) {
      std::string what = "role `" + role;
      bad(node, what.append("` names ").append(model.model).append(" on the server `").append(name).append("` twice."));
    }
    server->models.push_back(model);
  }
}

fleet::WorkerOptions read_role(const std::string& role, const YAML::Node& node, const Environment& environment,
                               const fs::path& models) {
  check_keys(node, "role `" + role + "`",
             {"model", "file", "mmproj", "context", "slots", "threads", "objective_ms", "device", "allow_cpu",
              "embeddings", "pooling", "dimensions_min", "cache", "keep_alive", "gpu_layers", "port"});
  fleet::WorkerOptions worker;
  worker.role = role;
  std::string file, projector;
  read_text(node, "model", worker.model);
  read_text(node, "file", file);
  read_text(node, "mmproj", projector);
  read_number(node, "context", 64, 10'000'000, worker.context_tokens);
  read_number(node, "slots", 1, 256, worker.slots);
  read_number(node, "threads", 0, 1024, worker.threads);
  read_number(node, "objective_ms", 1, 3'600'000, worker.objective_ms);
  worker.device = read_device(node);
  worker.cache = read_cache(node);
  int gpu_layers = -1;
  read_number(node, "gpu_layers", 0, kGpuLayersMax, gpu_layers);
  if (gpu_layers >= 0) worker.gpu_layers = gpu_layers;
  std::int64_t keep_alive = -1;
  read_number(node, "keep_alive", -1, kKeepAliveSecondsMax, keep_alive);
  if (keep_alive >= 0) worker.keep_alive = std::chrono::seconds{keep_alive};
  if (node["port"]) read_number(node, "port", 1, 65535, worker.port.emplace());
  read_boolean(node, "allow_cpu", worker.allow_cpu);
  read_embedder(role, node, worker);
  if (worker.model.empty()) bad(node, "role `" + role + "` needs `model`, the name that clients see.");
  check_name(node, "`model` of role `" + role + "`", worker.model);
  if (std::int64_t{worker.context_tokens} * worker.slots > kContextTokensMax) {
    bad(node,
        "role `" + role + "`: `context` times `slots` must be at most " + std::to_string(kContextTokensMax) + ".");
  }
  if (file.empty()) {
    check_stored(role, node, worker.model, !projector.empty());
    worker.is_stored = true;
    return worker;
  }
  // `models / x` is x itself when x is absolute.
  worker.model_file = models / expand(file, environment);
  if (!projector.empty()) worker.projector_file = models / expand(projector, environment);
  worker.is_demo = is_demo_model(worker.model_file, environment);
  return worker;
}

// One model, or a list of them in order of preference. Those of one name are equals.
void read_models(const std::string& role, const YAML::Node& node, const Environment& environment, Config& config) {
  const YAML::Node list = node["models"];
  if (list) {
    check_keys(node, "role `" + role + "` with `models`", {"models"});
    if (!list.IsSequence() || list.size() == 0 || list.size() > kModelsOfRoleMax) {
      bad(list, "`models` of role `" + role + "` must be a list of 1 to " + std::to_string(kModelsOfRoleMax) +
                    " models, the one that is wanted first at its head.");
    }
  }
  std::vector<std::string> names;
  std::set<bool> kinds;
  for (std::size_t i = 0; i < (list ? list.size() : 1); ++i) {
    const YAML::Node entry = list ? list[i] : node;
    if (!entry.IsMap()) bad(entry, "each model of role `" + role + "` must be a map of keys and values.");
    const YAML::Node name = entry["model"];
    const std::string model = name && name.IsScalar() ? name.Scalar() : "";
    const auto known = std::ranges::find(names, model);
    const int preference = static_cast<int>(known - names.begin());
    if (known == names.end()) names.push_back(model);
    if (entry["server"]) {
      read_outside_model(role, entry, preference, config);
    } else {
      fleet::WorkerOptions worker = read_role(role, entry, environment, config.models);
      worker.preference = preference;
      const bool has_it = std::ranges::any_of(config.fleet.workers, [&](const fleet::WorkerOptions& other) {
        return other.role == role && other.model == worker.model;
      });
      if (has_it) bad(entry, "role `" + role + "` has two workers for " + worker.model + ": give one more slots.");
      config.fleet.workers.push_back(std::move(worker));
    }
    bool embeds = false;
    read_boolean(entry, "embeddings", embeds);
    kinds.insert(embeds);
    if (kinds.size() > 1) bad(entry, "role `" + role + "` has models with `embeddings` and others without.");
    // Vectors of two models cannot be compared.
    if (embeds && names.size() > 1) bad(entry, "role `" + role + "` is for embeddings, so all its models must be one.");
  }
}

// The roles with the models that tools/make_demo_models.mjs makes.
std::vector<fleet::WorkerOptions> demo_workers(const fs::path& models) {
  std::vector<fleet::WorkerOptions> workers;
  for (const char* role : kDemoRoles) {
    fleet::WorkerOptions worker;
    worker.role = role;
    worker.model = std::string("demo-") + role;
    worker.model_file = models / (worker.model + ".gguf");
    worker.is_demo = true;
    worker.context_tokens = kDemoContextTokens;
    worker.threads = 1;  // A tiny model falls from thousands of tokens a second to eight when threads fight for a core.
    if (worker.role == "vision") worker.projector_file = models / "demo-vision-mmproj.gguf";
    worker.embeds = worker.role == "embedding";
    workers.push_back(std::move(worker));
  }
  return workers;
}

// What stands before a page's path in the address line, and nothing more: a path there would seem to mean something.
void check_origins(const std::vector<std::string>& origins) {
  for (const std::string& origin : origins) {
    if (http::read_origin(origin)) continue;
    throw BadConfig{"`origins` has `" + origin +
                    "`, which is not an origin: write scheme://host or scheme://host:port, with nothing behind it."};
  }
}

// Not YAML::LoadFile: it has no bound, and leaks when it is given a folder.
std::string read_text_file(const fs::path& path) {
  std::error_code unknown;
  if (fs::is_directory(path, unknown)) throw BadConfig{"the file cannot be read: it is a folder."};
  std::ifstream file(path, std::ios::binary);
  std::string text(kFileBytesMax + 1, '\0');
  if (file) file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || !file.is_open()) throw BadConfig{"the file cannot be read. Check its path and permissions."};
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kFileBytesMax) {
    throw BadConfig{"the file has more than " + std::to_string(kFileBytesMax) + " bytes. Is it the right one?"};
  }
  return text;
}

void read_tls(const YAML::Node& tls, const Environment& environment, Config& config) {
  check_keys(tls, "`tls`", {"certificate", "key"});
  std::string certificate, key;
  read_text(tls, "certificate", certificate);
  read_text(tls, "key", key);
  config.tls = net::CertificateFiles{.certificate = expand(certificate, environment), .key = expand(key, environment)};
}

void check_tls(const Config& config) {
  if (config.tls) {
    const bool is_whole = !config.tls->certificate.empty() && !config.tls->key.empty();
    if (!is_whole) throw BadConfig{"`tls` needs both `certificate` and `key` (--tls-certificate and --tls-key)."};
    return;
  }
  const auto secure =
      std::ranges::find_if(config.listen, [](const std::string& address) { return address.starts_with("https://"); });
  if (secure == config.listen.end()) return;
  throw BadConfig{"`listen` has " + *secure +
                  ", so `tls` must name a certificate and a key (--tls-certificate and --tls-key)."};
}

keys::Required read_required(const YAML::Node& map) {
  const YAML::Node node = map["required"];
  const std::string word = node && node.IsScalar() ? node.Scalar() : "";
  if (!node || word == "auto") return keys::Required::automatic;
  if (word == "always") return keys::Required::always;
  if (word == "never") return keys::Required::never;
  bad(node, "`required` must be auto, always or never.");
}

void read_tracing(const YAML::Node& tracing, const Environment& environment, traces::Options& options) {
  check_keys(tracing, "`tracing`", {"endpoint", "ca_file", "sample_ratio", "service_name"});
  read_text(tracing, "endpoint", options.endpoint);
  if (!options.is_on()) bad(tracing, "`tracing` needs an `endpoint`: http://127.0.0.1:4318 is a collector here.");
  // As some write it.
  std::string_view url = options.endpoint;
  if (url.ends_with(kTracesPath)) url.remove_suffix(kTracesPath.size());
  auto parsed = net::parse_server_url(url);
  if (!parsed) bad(tracing["endpoint"], "`endpoint`: " + parsed.error().message);
  options.url = std::move(*parsed);
  std::string ca_file;
  read_text(tracing, "ca_file", ca_file);
  if (!ca_file.empty()) options.ca_file = expand(ca_file, environment);
  if (!ca_file.empty() && !options.url.is_secure) bad(tracing["ca_file"], "`ca_file` is of use only with https://.");
  read_text(tracing, "service_name", options.service);
  if (tracing["service_name"]) check_name(tracing["service_name"], "`service_name`", options.service);
  const YAML::Node ratio = tracing["sample_ratio"];
  if (!ratio) return;
  const bool is_number = ratio.IsScalar() && YAML::convert<double>::decode(ratio, options.sample_ratio);
  // Not a number is outside of every range.
  if (!is_number || !(options.sample_ratio >= 0 && options.sample_ratio <= 1)) {
    bad(ratio, "`sample_ratio` must be a number from 0 to 1.");
  }
}

void read_servers(const YAML::Node& servers, const Environment& environment, Config& config) {
  if (!servers.IsMap()) bad(servers, "`servers` must be a map of names and servers.");
  check_unique_keys(servers);
  for (const auto& entry : servers) {
    const auto name = entry.first.as<std::string>();
    check_name(entry.first, "the name of a server", name);
    config.fleet.servers.push_back(read_server(name, entry.second, environment, config));
  }
}

void read_settings(const YAML::Node& root, const Environment& environment, Config& config, YAML::Node& roles) {
  if (root.IsNull()) return;
  check_keys(root, "the configuration",
             {"listen",  "tls",          "hosts",      "origins",   "data",    "database", "engine",
              "models",  "model_stores", "registries", "log_level", "threads", "limits",   "auth",
              "records", "uploads",      "memory",     "tracing",   "roles",   "servers"});
  read_list(root, "listen", config.listen);
  read_list(root, "hosts", config.http.hosts);
  for (std::string& host : config.http.hosts) {
    std::ranges::transform(host, host.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  }
  read_list(root, "origins", config.http.origins);
  if (root["model_stores"]) {
    std::vector<std::string> folders;
    read_list(root, "model_stores", folders);
    config.stores.other_folders = expand_all(folders, environment);
  }
  read_list(root, "registries", config.stores.registries);
  std::string data, engine, models;
  read_text(root, "data", data);
  read_text(root, "database", config.database);
  if (storage::has_password(config.database)) {
    bad(root["database"],
        "a password does not belong into this file, which others may read: put it into a file for libpq "
        "(?passfile=…), or the whole URL into the environment variable GBGREG_DATABASE.");
  }
  read_text(root, "engine", engine);
  read_text(root, "models", models);
  read_text(root, "log_level", config.log_level);
  read_number(root, "threads", 0, 256, config.net.threads);
  if (!data.empty()) config.data = expand(data, environment);
  if (!engine.empty()) config.fleet.engine = expand(engine, environment);
  if (!models.empty()) config.models = expand(models, environment);
  if (const YAML::Node limits = root["limits"]) {
    check_keys(limits, "`limits`",
               {"upload_bytes_max", "json_bytes_max", "connections_max", "queue_max", "queue_wait_ms_max",
                "pull_stall_seconds", "archive_entries_max", "archive_bytes_max", "archive_ratio_max",
                "archive_depth_max", "archive_seconds_max", "image_pixels_max", "image_side_max",
                "image_shown_side_max", "image_seconds_max", "screenshots_queued_max"});
    read_number(limits, "upload_bytes_max", 1, std::int64_t{1} << 40, config.http.upload_bytes_max);
    read_number(limits, "json_bytes_max", 1024, std::int64_t{1} << 30, config.http.json_bytes_max);
    read_number(limits, "connections_max", 1, 1'000'000, config.net.connections_max);
    read_number(limits, "queue_max", 0, 100'000, config.fleet.queue_max);
    read_bound(limits, "queue_wait_ms_max", config.fleet.queue_wait_max);
    read_number(limits, "archive_entries_max", 1, 1'000'000, config.archives.entries_max);
    read_number(limits, "archive_bytes_max", 1, std::int64_t{1} << 40, config.archives.bytes_max);
    read_number(limits, "archive_ratio_max", 1, 1'000'000, config.archives.ratio_max);
    read_number(limits, "archive_depth_max", 1, 256, config.archives.depth_max);
    read_number(limits, "archive_seconds_max", 1, 3600, config.archives.seconds_max);
    read_number(limits, "image_pixels_max", 1, 200'000'000, config.images.pixels_max);
    read_number(limits, "image_side_max", 1, 65'535, config.images.side_max);
    read_number(limits, "image_shown_side_max", 64, 4'096, config.images.shown_side_max);
    read_number(limits, "image_seconds_max", 1, 600, config.images.seconds_max);
    read_number(limits, "screenshots_queued_max", 0, 100'000, config.screenshots_queued_max);
    std::int64_t stall_seconds = config.stores.fetch.stall_timeout.count();
    read_number(limits, "pull_stall_seconds", 1, 3600, stall_seconds);
    config.stores.fetch.stall_timeout = std::chrono::seconds{stall_seconds};
  }
  if (const YAML::Node auth = root["auth"]) {
    check_keys(auth, "`auth`", {"required"});
    config.keys.required = read_required(auth);
  }
  if (const YAML::Node records = root["records"]) {
    check_keys(records, "`records`", {"keep_days", "keep_texts_days", "spool_bytes_max"});
    auto days = config.records.kept.count();
    read_number(records, "keep_days", 0, 3650, days);
    config.records.kept = std::chrono::days{days};
    auto texts_days = config.records.texts_kept.count();
    read_number(records, "keep_texts_days", 0, 3650, texts_days);
    config.records.texts_kept = std::chrono::days{texts_days};
    read_number(records, "spool_bytes_max", 0, std::int64_t{1} << 40, config.records.spool_bytes_max);
  }
  if (const YAML::Node uploads = root["uploads"]) {
    check_keys(uploads, "`uploads`", {"allow_unknown_binaries"});
    read_boolean(uploads, "allow_unknown_binaries", config.http.unknown_binaries_allowed);
  }
  if (const YAML::Node memory = root["memory"]) {
    check_keys(memory, "`memory`", {"ram_bytes_max", "vram_bytes_max"});
    read_number(memory, "ram_bytes_max", kMemoryBytesMin, kMemoryBytesMax, config.fleet.memory.budget.host);
    read_number(memory, "vram_bytes_max", kMemoryBytesMin, kMemoryBytesMax, config.fleet.memory.budget.card);
  }
  if (const YAML::Node tls = root["tls"]) read_tls(tls, environment, config);
  if (const YAML::Node tracing = root["tracing"]) read_tracing(tracing, environment, config.tracing);
  if (root["servers"]) read_servers(root["servers"], environment, config);
  if (root["roles"]) roles = root["roles"];
}

void check_database(const Flags& flags, Config& config) {
  if (config.database.empty()) return;
  const auto known = storage::check_database_url(config.database);
  if (!known) throw BadConfig{known.error().message};
  if (!flags.database || !storage::has_password(*flags.database)) return;
  config.warnings.emplace_back(
      "the password in --database can be seen by whoever lists the processes of this machine: put the URL into the "
      "environment variable GBGREG_DATABASE");
}

Config read_all(const Flags& flags, const Environment& environment) {
  Config config;
  config.data = data_folder(environment);
  config.models = cache_models(environment);
  config.cache = cache_folder(environment);
  config.stores.other_folders = models::usual_folders(environment("OLLAMA_MODELS").value_or(""), home(environment));
  config.stores.fetch.tokens = registry_tokens(environment);
  config.fleet.engine = cache_folder(environment) / "engine" / kEngineVersion / "bin" / "llama-server";

  const auto file = file_of({.flags = flags, .environment = environment});
  YAML::Node roles;
  if (file) {
    try {
      read_settings(YAML::Load(read_text_file(*file)), environment, config, roles);
    } catch (const YAML::Exception& error) {
      throw BadConfig{error.what()};
    }
  }

  const auto over = [&](const std::optional<std::string>& flag, const char* variable) {
    return flag ? flag : environment(variable);
  };
  if (const auto set = over(flags.listen, "GBGREG_LISTEN")) config.listen = split_list(*set);
  const auto certificate = over(flags.tls_certificate, "GBGREG_TLS_CERTIFICATE");
  const auto key = over(flags.tls_key, "GBGREG_TLS_KEY");
  if ((certificate || key) && !config.tls) config.tls.emplace();
  if (certificate) config.tls->certificate = expand(*certificate, environment);
  if (key) config.tls->key = expand(*key, environment);
  if (const auto set = over(flags.data, "GBGREG_DATA")) config.data = expand(*set, environment);
  if (const auto set = over(flags.database, "GBGREG_DATABASE")) config.database = *set;
  check_database(flags, config);
  if (const auto set = over(flags.engine, "GBGREG_ENGINE")) config.fleet.engine = expand(*set, environment);
  if (const auto set = over(flags.models, "GBGREG_MODELS")) config.models = expand(*set, environment);
  if (const auto set = over(flags.log_level, "GBGREG_LOG_LEVEL")) config.log_level = *set;
  if (const auto set = environment("GBGREG_ORIGINS")) config.http.origins = split_list(*set);
  if (const auto set = environment("GBGREG_MODEL_STORES")) {
    config.stores.other_folders = expand_all(split_list(*set), environment);
  }
  if (const auto set = environment("GBGREG_REGISTRIES")) config.stores.registries = split_list(*set);
  config.stores.folder = config.data / "models";
  check_origins(config.http.origins);
  config.insecure = flags.insecure || environment("GBGREG_INSECURE") == "1";
  if (config.listen.empty()) throw BadConfig{"`listen` needs at least one address."};
  check_tls(config);
  if (std::ranges::find(kLogLevels, config.log_level) == kLogLevels.end()) {
    throw BadConfig{"`log_level` must be trace, debug, info, warn, error or off."};
  }

  if (!roles.IsDefined() || roles.IsNull()) {
    if (!config.fleet.servers.empty()) throw BadConfig{"`servers` needs `roles` whose models are on them."};
    config.fleet.workers = demo_workers(config.models);
    for (fleet::WorkerOptions& worker : config.fleet.workers) worker.allow_cpu = true;
    return config;
  }
  try {
    if (!roles.IsMap() || roles.size() == 0) bad(roles, "`roles` must be a map of at least one role.");
    check_unique_keys(roles);
    for (const auto& entry : roles) {
      const auto role = entry.first.as<std::string>();
      check_name(entry.first, "the name of a role", role);
      // A worker's id is role/model, and models do have slashes: only so are two ids never the same.
      if (role.contains('/')) bad(entry.first, "the name of a role must have no slash.");
      read_models(role, entry.second, environment, config);
    }
    check_kinds(roles, config.fleet.workers);
    check_ports(roles, config);
    for (const auto& server : config.fleet.servers) {
      if (server.models.empty()) bad(roles, "no role has a model on the server `" + server.name + "`: take it out.");
    }
  } catch (const YAML::Exception& error) {
    throw BadConfig{error.what()};
  }
  return config;
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): nobody sets any.
    if (value == nullptr || *value == '\0') return std::nullopt;
    return std::string(value);
  };
}

std::optional<std::string> file_of(const Source& source) {
  return source.flags.config ? source.flags.config : source.environment("GBGREG_CONFIG");
}

Result<Config> load(const Flags& flags, const Environment& environment) {
  try {
    return read_all(flags, environment);
  } catch (const BadConfig& wrong) {
    const auto file = file_of({.flags = flags, .environment = environment});
    return fail(Kind::malformed, "bad_configuration",
                (file ? *file + ": " : std::string("configuration: ")) + wrong.message);
  }
}

}  // namespace gbgreg::config
