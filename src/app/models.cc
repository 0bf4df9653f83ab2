#include "app/models.h"

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <iostream>
#include <thread>

#include "app/command_audit.h"
#include "app/progress.h"
#include "fleet/model_file.h"
#include "models/download.h"
#include "models/pull.h"
#include "storage/disk.h"

namespace gbgreg::app {
namespace {

namespace fs = std::filesystem;

// A handler may touch nothing else: it has no lock, and another thread looks at it.
std::atomic<bool> signal_came = false;
static_assert(std::atomic<bool>::is_always_lock_free);

// Turns Ctrl-C into a stop, so that what came so far is left in good order.
class StopOnSignal {
 public:
  StopOnSignal() {
    for (const int number : {SIGINT, SIGTERM}) std::signal(number, [](int) { signal_came = true; });
    waiter_ = std::jthread([this](const std::stop_token& ended) {
      while (models::pause(kLookEvery, ended)) {
        if (signal_came) stop_.request_stop();
      }
    });
  }

  std::stop_token token() const { return stop_.get_token(); }

 private:
  static constexpr std::chrono::milliseconds kLookEvery{50};
  std::stop_source stop_;
  std::jthread waiter_;
};

int complain(const Error& error) {
  std::cerr << "gbgreg: " << error.message << (error.detail.empty() ? "" : " (" + error.detail + ")") << std::endl;
  return 1;
}

std::string day(WallTime time) { return rfc3339(time).substr(0, std::string_view("2026-01-31").size()); }

std::vector<std::string> roles_of(const config::Config& config, const models::Name& name) {
  std::vector<std::string> roles;
  for (const fleet::WorkerOptions& worker : config.fleet.workers) {
    const auto used = models::parse_name(worker.model);
    if (worker.is_stored && used && models::is_same(*used, name)) roles.push_back(worker.role);
  }
  return roles;
}

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : ", ") + text;
  return all;
}

int list(const config::Config& config, const models::Library& library) {
  const auto all = library.list();
  if (all.empty()) {
    std::cout << "No model has been fetched yet. Try: gbgreg models pull llama3.2:3b\n";
    return 0;
  }
  std::size_t width = 4;
  for (const models::Shown& shown : all) width = std::max(width, models::short_name(shown.stored.name).size());
  std::cout << fmt::format("{:{}}  {:>9}  {:10}  {:6}  {}\n", "NAME", width, "SIZE", "CHANGED", "STORE", "ROLES");
  for (const models::Shown& shown : all) {
    std::string line = fmt::format("{:{}}  {:>9}  {:10}  {:6}  {}", models::short_name(shown.stored.name), width,
                                   human_bytes(shown.stored.manifest.size_bytes()), day(shown.stored.modified),
                                   shown.is_own ? "own" : "ollama", joined(roles_of(config, shown.stored.name)));
    line.erase(line.find_last_not_of(' ') + 1);
    std::cout << line << "\n";
  }
  return 0;
}

void print_field(const char* name, const std::string& value) {
  if (!value.empty()) std::cout << fmt::format("{:14} {}\n", name, value);
}

int show(const config::Config& config, const models::Library& library, const std::string& text) {
  const auto name = models::parse_name(text);
  if (!name) return complain(name.error());
  const auto shown = library.find(*name);
  if (!shown) return complain(shown.error());
  const models::Stored& stored = shown->stored;
  const auto facts = fleet::read_model_facts(library.first_file(*shown));
  const auto shards = stored.manifest.of_type(models::kModelType).size();
  print_field("name", models::short_name(stored.name));
  print_field("size", human_bytes(stored.manifest.size_bytes()));
  print_field("changed", rfc3339(stored.modified));
  print_field("digest", stored.digest);
  print_field("architecture", facts.architecture.empty() ? shown->config.family : facts.architecture);
  print_field("parameters", shown->config.parameter_size);
  print_field("quantization", shown->config.quantization);
  if (facts.context_tokens) print_field("context", std::to_string(*facts.context_tokens) + " tokens");
  print_field("store", shown->is_own ? "own" : "a folder of Ollama's, used in place");
  print_field("roles", joined(roles_of(config, stored.name)));
  const auto files = library.files(models::short_name(stored.name));
  if (!files) return complain(files.error());
  print_field("file", files->model.string() + (shards > 1 ? fmt::format(" and {} more", shards - 1) : ""));
  print_field("projector", files->projector.string());
  const std::string license = library.text(*shown, models::kLicenseType);
  print_field("license", license.substr(0, license.find('\n')));
  return 0;
}

// Prints what is to be written into the configuration to use it.
int say_fetched(const config::Config& config, std::string_view action, const Result<models::Stored>& stored) {
  if (!stored) return complain(stored.error());
  const std::string name = models::short_name(stored->name);
  note_command(config, {.action = action, .target_id = name});
  std::cout << name << " is here (" << human_bytes(stored->manifest.size_bytes()) << "). A role uses it by its name:\n"
            << "  roles: { coordinator: { model: \"" << name << "\" } }\n";
  return 0;
}

Result<models::Source> source_of(const ModelsCommand& command) {
  auto source = models::parse_source(command.subject);
  if (!source) return source;
  if (!command.name.empty()) {
    auto name = models::parse_name(command.name);
    if (!name) return std::unexpected(std::move(name.error()));
    if (source->files.empty()) {
      return fail(Kind::malformed, "bad_model_name", "A registry's model keeps its name; --name is for single files.");
    }
    source->name = std::move(*name);
  }
  if (!command.projector.empty()) {
    auto projector = models::parse_source(command.projector);
    if (!projector) return projector;
    if (projector->files.size() != 1 || source->files.empty() || projector->base != source->base) {
      return fail(Kind::malformed, "bad_model_url",
                  "--mmproj is the address of one file, beside an address of the same server.");
    }
    source->projector = projector->files.front();
  }
  return source;
}

int pull(const models::Library& library, const config::Config& config, const ModelsCommand& command) {
  const auto source = source_of(command);
  if (!source) return complain(source.error());
  const StopOnSignal signals;
  ProgressDisplay display(std::cout, ::isatty(STDOUT_FILENO) == 1 ? Screen::terminal : Screen::plain);
  const auto tell = [&](const models::PullProgress& progress) {
    display.show(progress, std::chrono::steady_clock::now());
  };
  const auto stored = models::pull(library.own(), config.stores.fetch, *source, tell, signals.token());
  display.end_line();
  return say_fetched(config, "model.pull", stored);
}

int import_model(const models::Library& library, const config::Config& config, const ModelsCommand& command) {
  const fs::path file = command.subject;
  const auto shard = models::parse_shard(file.filename().string());
  const auto name = models::parse_name(!command.name.empty() ? command.name
                                       : shard               ? shard->stem
                                                             : file.stem().string());
  if (!name) {
    return complain({.kind = Kind::malformed,
                     .code = "bad_model_name",
                     .message = name.error().message + (command.name.empty() ? " Say one with --name." : "")});
  }
  auto files = models::all_shards(file);
  if (!files) return complain(files.error());
  const auto facts = fleet::read_model_facts(file);
  const StopOnSignal signals;
  ProgressDisplay display(std::cout, ::isatty(STDOUT_FILENO) == 1 ? Screen::terminal : Screen::plain);
  const auto tell = [&](const models::PullProgress& progress) {
    display.show(progress, std::chrono::steady_clock::now());
  };
  const models::Import wanted{.name = *name,
                              .files = std::move(*files),
                              .projector = command.projector,
                              .config = {.family = facts.architecture}};
  const auto stored = models::import_model(library.own(), wanted, tell, signals.token());
  display.end_line();
  return say_fetched(config, "model.import", stored);
}

int remove(const config::Config& config, const models::Library& library, const std::string& text) {
  const auto name = models::parse_name(text);
  if (!name) return complain(name.error());
  const auto roles = roles_of(config, *name);
  if (!roles.empty() && library.find(*name)) {
    return complain({.kind = Kind::conflict,
                     .code = "model_in_use",
                     .message = "The role " + roles.front() + " uses this model. Give the role another one first."});
  }
  if (auto removed = library.remove(*name); !removed) return complain(removed.error());
  note_command(config, {.action = "model.delete", .target_id = models::short_name(*name)});
  std::cout << models::short_name(*name) << " is gone.\n";
  return 0;
}

int prune(const config::Config& config, const models::Library& library) {
  const auto bytes = library.own().prune();
  if (!bytes) return complain(bytes.error());
  note_command(config, {.action = "model.prune"});
  std::cout << human_bytes(*bytes) << " of unfinished downloads and unused parts were removed.\n";
  return 0;
}

}  // namespace

int run_models(const config::Config& config, const ModelsCommand& command) {
  storage::Disk disk;
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  const models::Library library(config.stores, disk);
  using What = ModelsCommand::What;
  switch (command.what) {
    case What::list:
      return list(config, library);
    case What::show:
      return show(config, library, command.subject);
    case What::pull:
      return pull(library, config, command);
    case What::import:
      return import_model(library, config, command);
    case What::remove:
      return remove(config, library, command.subject);
    case What::prune:
      return prune(config, library);
  }
  return 1;
}

fleet::Options with_stored_models(fleet::Options options, std::shared_ptr<const models::Library> library) {
  options.find_model = [library = std::move(library)](const std::string& model) -> Result<fleet::StoredFiles> {
    auto files = library->files(model);
    if (!files) return std::unexpected(std::move(files.error()));
    return fleet::StoredFiles{.model = std::move(files->model), .projector = std::move(files->projector)};
  };
  for (fleet::WorkerOptions& worker : options.workers) {
    if (!worker.is_stored) continue;
    auto files = options.find_model(worker.model);
    if (!files) continue;  // Said by the worker, when it starts.
    worker.model_file = std::move(files->model);
    worker.projector_file = std::move(files->projector);
  }
  return options;
}

}  // namespace gbgreg::app
