#include "app/app.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <iostream>
#include <thread>

#include "app/data_folder.h"
#include "app/doctor.h"
#include "app/fleet_setup.h"
#include "app/listeners.h"
#include "app/machine_memory.h"
#include "app/models.h"
#include "app/open_files.h"
#include "app/outside.h"
#include "app/reload.h"
#include "backends/llama_backend.h"
#include "fleet/engine_command.h"
#include "fleet/fleet.h"
#include "fleet/process.h"
#include "gpu/machine.h"
#include "http/handlers/anthropic.h"
#include "http/handlers/ask.h"
#include "http/handlers/doctor.h"
#include "http/handlers/embeddings.h"
#include "http/handlers/files.h"
#include "http/handlers/fleet.h"
#include "http/handlers/health.h"
#include "http/handlers/models.h"
#include "http/handlers/openai.h"
#include "http/handlers/projects.h"
#include "http/handlers/reload.h"
#include "http/handlers/responses.h"
#include "http/handlers/screenshots.h"
#include "http/handlers/stored_models.h"
#include "http/handlers/uploads.h"
#include "http/pipeline.h"
#include "http/routes.h"
#include "intake/jail.h"
#include "metrics/metrics.h"
#include "models/library.h"
#include "net/server.h"
#include "services/card_memory.h"
#include "services/doctor.h"
#include "services/embed.h"
#include "services/fleet_admin.h"
#include "services/generate.h"
#include "services/health.h"
#include "services/intake.h"
#include "services/models.h"
#include "services/projects.h"
#include "services/screenshots.h"
#include "services/stores_watch.h"
#include "storage/storage.h"

namespace gbgreg::app {
namespace {

constexpr int kUnpackThreads = 2;
constexpr int kStorageThreads = 4;  // Two slow syncs must not hold up a listing.
// Past it a shutdown that hangs is ended by SIGALRM; the workers die with their parent.
constexpr unsigned kShutdownSecondsMax = 30;
constexpr std::chrono::milliseconds kReadyPoll{20};
// At a card's memory, for which the start waits.
constexpr std::chrono::milliseconds kFirstLookTimeout{2'000};

int refuse_to_start(const Error& error) {
  std::cerr << "gbgreg: " << error.message << (error.detail.empty() ? "" : " (" + error.detail + ")") << std::endl;
  return 1;
}

std::shared_ptr<backends::Backend> make_llama(const std::string& address, const std::string& bearer) {
  return std::make_shared<backends::LlamaBackend>(net::Address{.text = address}, bearer);
}

std::vector<metrics::Sample> by_role(const fleet::Fleet& fleet, double (*value)(const llm::BackendView&)) {
  std::vector<metrics::Sample> samples;
  for (const llm::BackendView& view : fleet.views()) {
    samples.push_back({metrics::label("role", view.role) + "," + metrics::label("model", view.model), value(view)});
  }
  return samples;
}

// Each state of each outside server.
std::vector<metrics::Sample> breakers(const fleet::Fleet& fleet) {
  using State = fleet::Breaker::State;
  constexpr std::pair<State, std::string_view> kStates[] = {
      {State::closed, "closed"}, {State::half_open, "half_open"}, {State::open, "open"}};
  std::vector<metrics::Sample> samples;
  for (const fleet::ServerView& server : fleet.servers()) {
    for (const auto& [state, name] : kStates) {
      samples.push_back({metrics::label("server", server.name) + "," + metrics::label("state", name),
                         server.breaker == state ? 1.0 : 0.0});
    }
  }
  return samples;
}

// What is read from others when /metrics is asked for.
void add_sampled_metrics(metrics::Registry& registry, const fleet::Fleet& fleet, const net::Server& server) {
  using View = llm::BackendView;
  const auto of_fleet = [&](const char* name, const char* help, const char* type, double (*value)(const View&)) {
    registry.sampled(name, help, type, [&fleet, value] { return by_role(fleet, value); });
  };
  of_fleet("gbgreg_worker_ready", "1 when the worker can take a request.", "gauge",
           [](const View& view) { return view.state == llm::BackendState::ready ? 1.0 : 0.0; });
  of_fleet("gbgreg_worker_slots", "Answers the worker can give at once.", "gauge",
           [](const View& view) { return static_cast<double>(view.slots_total); });
  of_fleet("gbgreg_worker_slots_free", "Of these, how many are free.", "gauge",
           [](const View& view) { return static_cast<double>(view.slots_free); });
  of_fleet("gbgreg_worker_queued", "Requests waiting for a slot.", "gauge",
           [](const View& view) { return static_cast<double>(view.queued); });
  of_fleet("gbgreg_worker_restarts_total", "Times the worker was started again after it died.", "counter",
           [](const View& view) { return static_cast<double>(view.restarts); });
  of_fleet("gbgreg_worker_loads_total", "Times the worker was loaded, for whatever reason.", "counter",
           [](const View& view) { return static_cast<double>(view.loads); });
  of_fleet("gbgreg_worker_memory_bytes", "What the worker takes of memory when it is loaded.", "gauge",
           [](const View& view) { return static_cast<double>(view.memory_bytes); });
  registry.sampled("gbgreg_server_breaker", "1 for the state that the breaker before an outside server is in.", "gauge",
                   [&fleet] { return breakers(fleet); });
  registry.sampled("gbgreg_connections", "Open client connections.", "gauge", [&server] {
    return std::vector<metrics::Sample>{{"", static_cast<double>(server.figures().connections)}};
  });
  registry.sampled("gbgreg_connections_total", "Client connections accepted.", "counter", [&server] {
    return std::vector<metrics::Sample>{{"", static_cast<double>(server.figures().accepted)}};
  });
  registry.sampled("gbgreg_connections_refused_total", "Client connections over the limit.", "counter", [&server] {
    return std::vector<metrics::Sample>{{"", static_cast<double>(server.figures().refused)}};
  });
}

// Fewer connections than configured where the system lets us open too few files.
void cap_connections(net::Options& options, const OpenFilesLimit& limit) {
  const int wanted = options.connections_max;
  options.connections_max = connections_within(limit.now, wanted);
  if (options.connections_max == wanted) return;
  spdlog::warn(
      "limits.connections_max is {} instead of {}, because this process may have only {} files open; raise its hard "
      "limit (ulimit -Hn, LimitNOFILE= in systemd)",
      options.connections_max, wanted, limit.now);
}

// Before the first model is loaded; the doctor looks again on each of its rounds.
void share_out_the_cards(fleet::Fleet& fleet, const std::filesystem::path& root) {
  const std::vector<std::string> environment = fleet::own_environment();
  const auto memory = services::look_at_card_memory(
      {.root = root, .environment = fleet::environment_for_engine(environment), .timeout = kFirstLookTimeout});
  if (!memory) return;
  spdlog::info("the cards have {:.2f} GB for models: {}", static_cast<double>(memory->bytes) / 1e9, memory->figures);
  fleet.set_card_budget(memory->bytes, memory->figures);
}

// "http://127.0.0.1:3333", and for "unix:/x.sock" "--unix-socket /x.sock http://localhost".
std::string as_curl_takes_it(const std::string& address) {
  constexpr std::string_view kUnix = "unix:";
  return address.starts_with(kUnix) ? "--unix-socket " + address.substr(kUnix.size()) + " http://localhost" : address;
}

// Prints where the gateway is, and once the models have settled how many of them are up and what to try.
class Greeting {
 public:
  Greeting(IoContext& context, const fleet::Fleet& fleet, std::vector<std::string> addresses)
      : timer_(context), fleet_(fleet), addresses_(std::move(addresses)), began_(std::chrono::steady_clock::now()) {}

  void say_listening(const std::string& version) {
    std::cout << "gbgreg " << version << " is listening on " << addresses_.front() << "\n";
    for (std::size_t i = 1; i < addresses_.size(); ++i) std::cout << "and on " << addresses_[i] << "\n";
    std::cout << std::flush;
    watch();
  }

 private:
  void watch() {
    timer_.expires_after(kReadyPoll);
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      const auto backends = fleet_.snapshot();
      const auto is = [](llm::BackendState state) { return [state](const auto& view) { return view.state == state; }; };
      const auto ready = std::ranges::count_if(*backends, is(llm::BackendState::ready));
      // Until the fleet begins, they are stopped; later those sleep for whom there is no memory.
      const bool is_loading = std::ranges::any_of(*backends, is(llm::BackendState::loading)) ||
                              std::ranges::any_of(*backends, is(llm::BackendState::stopped));
      if (is_loading) return watch();
      say_settled(*backends, ready);
    });
  }

  void say_settled(const std::vector<llm::BackendView>& backends, std::ptrdiff_t ready) const {
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
    std::cout << fmt::format("{} of {} models are ready after {:.1f} s:\n", ready, backends.size(), seconds);
    for (const llm::BackendView& view : backends) {
      std::cout << fmt::format("  {:14} {:20} {:8} {}\n", view.role, view.model, llm::state_name(view.state),
                               view.detail);
    }
    const std::string curl = "  curl -s " + as_curl_takes_it(addresses_.front());
    std::cout << "Try:\n"
              << curl << "/api/generate -d '{\"prompt\":\"Hello\"}'\n"
              << curl << "/health\n"
              << "Stop with Ctrl-C." << std::endl;
  }

  asio::steady_timer timer_;
  const fleet::Fleet& fleet_;
  std::vector<std::string> addresses_;
  SteadyTime began_;
};

// SIGHUP: the configuration is read again. But a terminal that is closed sends the same, and then nobody is left who
// could stop a gateway that was started in it.
class HangupWatch {
 public:
  HangupWatch(IoContext& context, Reload& reload)
      : context_(context), signals_(context, SIGHUP), reload_(reload), had_terminal_(::isatty(STDIN_FILENO) == 1) {
    watch();
  }

 private:
  void watch() {
    signals_.async_wait([this](const boost::system::error_code& error, int) {
      if (error) return;
      if (had_terminal_ && ::isatty(STDIN_FILENO) == 0) return context_.stop();
      reload_.reload_soon();
      watch();
    });
  }

  IoContext& context_;
  asio::signal_set signals_;
  Reload& reload_;
  bool had_terminal_;
};

}  // namespace

int serve(const config::Config& config, const config::Source& source, const std::string& version,
          const std::filesystem::path& root) {
  // A client that is gone or a full disk is an error code where it happens, never the end of the process.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  const OpenFilesLimit open_files = raise_open_files_limit();
  net::ServiceManager service_manager;
  auto inherited = service_manager.take_sockets();
  if (!inherited) return refuse_to_start(inherited.error());
  std::unique_ptr<net::Certificates> certificates;
  if (config.tls) {
    auto loaded = net::Certificates::load(*config.tls);
    if (!loaded) return refuse_to_start(loaded.error());
    certificates = std::move(*loaded);
  }

  for (const std::string& warning : config.warnings) spdlog::warn("{}", warning);
  OutsideBackends outside;
  if (auto known = outside.adopt(config.fleet.servers); !known) return refuse_to_start(known.error());

  storage::Disk disk;
  auto folder = DataFolder::open(config.data, disk);
  if (!folder) return refuse_to_start(folder.error());

  // Bottom-up: each owns itself and borrows what was built before it.
  const SystemClock clock;
  net::Options net_options = config.net;
  if (net_options.threads == 0)
    net_options.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  cap_connections(net_options, open_files);
  metrics::Registry registry(net_options.threads);

  const storage::Options storage_options{.database_url = "sqlite://" + folder->database().string(),
                                         .uploads_folder = folder->uploads(),
                                         .database_connections = kStorageThreads + 1};
  storage::Reserve reserve(folder->reserve(), disk);
  auto database = storage::open_database(storage_options, clock, reserve);
  if (!database) return refuse_to_start(database.error());
  auto blobs = storage::BlobStore::open(storage_options.uploads_folder, disk);
  if (!blobs) return refuse_to_start(blobs.error());
  storage::UploadStore uploads(**database, storage_options.list_limit_max);
  asio::thread_pool storage_pool(kStorageThreads);
  services::StoresWatch stores(storage_pool, **database, **blobs, clock);
  services::Intake intake(storage_pool, uploads, **blobs, reserve, clock);
  storage::ProjectStore project_store(**database, storage_options.list_limit_max);
  asio::thread_pool unpack_pool(kUnpackThreads);
  services::Projects projects(storage_pool, unpack_pool,
                              {.projects = project_store, .blobs = **blobs, .reserve = reserve}, intake, clock,
                              config.archives, intake::folder_of_own_program() + "/gbgreg-jail-unpack");
  intake.allow_unknown_binaries(config.http.unknown_binaries_allowed);
  const auto swept = intake.sweep();
  if (!swept) return refuse_to_start(swept.error());

  const auto library = std::make_shared<const models::Library>(config.stores, disk);
  const FleetGround ground{.run_folder = folder->run(),
                           .open_files_max = open_files.before,
                           .memory_for_models = memory_for_models(root),
                           .has_gpu = gpu::has_own_card(gpu::read_machine(gpu::HostFiles(root)))};
  fleet::Fleet fleet(fleet_options(config, ground, library), clock, make_llama, outside.factory());
  if (ground.has_gpu && config.fleet.memory.budget.card == fleet::Memory::kUnbounded) share_out_the_cards(fleet, root);
  services::Generate generate(fleet, registry, clock);
  services::Embed embed(fleet, registry, clock);
  storage::ScreenshotStore screenshot_store(**database);
  services::Screenshots screenshots({.storage_pool = storage_pool,
                                     .rows = screenshot_store,
                                     .blobs = **blobs,
                                     .intake = intake,
                                     .generate = generate,
                                     .clock = clock},
                                    {.jail = intake::folder_of_own_program() + "/gbgreg-jail-look",
                                     .image = config.images,
                                     .queued_max = config.screenshots_queued_max});
  asio::thread_pool doctor_pool(1);
  services::DoctorOptions examined = doctor_options(config);
  examined.probe.root = root;
  services::Doctor doctor(doctor_pool, fleet, std::move(examined), fleet::own_environment());
  services::Health health(fleet, stores, doctor, clock, config.http.upload_bytes_max, version);

  services::FleetAdmin fleet_admin(fleet, doctor, clock);

  services::Models stored_models(library, config.stores, config.fleet.workers,
                                 [&](const std::string& name) { fleet_admin.model_fetched(name); });
  Reload reload(source, config, ground, disk, outside);

  http::JsonReading json_reading(config.http);
  http::AnthropicHandlers anthropic_handlers(generate, clock, json_reading);
  http::AskHandlers ask_handlers(generate, fleet_admin, intake, clock, json_reading);
  http::DoctorHandlers doctor_handlers(doctor);
  http::EmbeddingHandlers embedding_handlers(embed, fleet_admin, json_reading);
  http::FleetHandlers fleet_handlers(fleet_admin, json_reading);
  http::ModelHandlers model_handlers(fleet, stored_models, clock, json_reading);
  http::OpenAiHandlers openai_handlers(generate, clock, json_reading);
  http::HealthHandlers health_handlers(health, registry);
  http::ReloadHandlers reload_handlers(reload);
  http::ResponseHandlers response_handlers(generate, intake, clock, json_reading);
  http::StoredModelHandlers stored_model_handlers(stored_models, json_reading);
  http::UploadHandlers upload_handlers(intake, config.http);
  http::FileHandlers file_handlers(intake, upload_handlers);
  http::ProjectHandlers project_handlers(projects, intake, upload_handlers);
  http::ScreenshotHandlers screenshot_handlers(screenshots, intake, upload_handlers);
  http::Pipeline pipeline(http::make_routes({anthropic_handlers, ask_handlers, doctor_handlers, embedding_handlers,
                                             file_handlers, fleet_handlers, health_handlers, model_handlers,
                                             openai_handlers, project_handlers, reload_handlers, response_handlers,
                                             screenshot_handlers, stored_model_handlers, upload_handlers}),
                          config.http, registry, clock);
  reload.begin({.fleet = fleet,
                .doctor = doctor,
                .health = health,
                .intake = intake,
                .models = stored_models,
                .json = json_reading,
                .uploads = upload_handlers,
                .pipeline = pipeline});
  net::Server server(net_options, pipeline);
  add_sampled_metrics(registry, fleet, server);

  auto addresses = listen_everywhere(server, config, std::move(*inherited), certificates.get());
  if (!addresses) return refuse_to_start(addresses.error());

  IoContext main_context;
  asio::signal_set signals(main_context, SIGINT, SIGTERM);
  signals.async_wait([&](const boost::system::error_code&, int) { main_context.stop(); });
  const HangupWatch hangups(main_context, reload);
  fleet.start();
  if (auto begun = screenshots.start(); !begun) return refuse_to_start(begun.error());
  server.start();
  const CertificateWatch certificate_watch(main_context, certificates.get());
  Greeting greeting(main_context, fleet, std::move(*addresses));
  DoctorRounds doctor_rounds(main_context, doctor, fleet);
  greeting.say_listening(version);
  service_manager.notify("READY=1");
  main_context.run();

  spdlog::info("stopping: answers under way may finish, then the models end");
  service_manager.notify("STOPPING=1");
  signals.cancel();
  reload.stop();
  std::signal(SIGINT, SIG_DFL);  // A second Ctrl-C means it.
  alarm(kShutdownSecondsMax);
  stored_models.give_up();
  projects.stop();
  screenshots.give_up();
  server.stop();
  screenshots.stop();
  stored_models.stop();
  fleet.stop();
  doctor_pool.join();
  unpack_pool.join();
  storage_pool.join();
  spdlog::info("stopped");
  return 0;
}

}  // namespace gbgreg::app
