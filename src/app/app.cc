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
#include "app/gateway_id.h"
#include "app/gauges.h"
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
#include "http/pipeline.h"
#include "http/routes.h"
#include "intake/jail.h"
#include "metrics/metrics.h"
#include "models/library.h"
#include "net/server.h"
#include "records/recorder.h"
#include "services/analytics.h"
#include "services/audit.h"
#include "services/card_memory.h"
#include "services/doctor.h"
#include "services/embed.h"
#include "services/fleet_admin.h"
#include "services/generate.h"
#include "services/health.h"
#include "services/intake.h"
#include "services/keys.h"
#include "services/models.h"
#include "services/projects.h"
#include "services/screenshots.h"
#include "services/stores_watch.h"
#include "storage/database_url.h"
#include "storage/storage.h"
#include "traces/tracer.h"

namespace gbgreg::app {
namespace {

constexpr int kUnpackThreads = 2;
constexpr int kStorageThreads = 4;    // Two slow syncs must not hold up a listing.
constexpr int kOthersOnDatabase = 2;  // This thread, and the one that writes records.
// Past it a shutdown that hangs is ended by SIGALRM; the workers die with their parent.
constexpr unsigned kShutdownSecondsMax = 30;
constexpr std::chrono::milliseconds kReadyPoll{20};
constexpr std::chrono::milliseconds kLookAfterStores{1'000};
constexpr std::chrono::milliseconds kLookAfterSharedKeys{200};
// At a card's memory, for which the start waits.
constexpr std::chrono::milliseconds kFirstLookTimeout{2'000};

int refuse_to_start(const Error& error) {
  std::cerr << "gbgreg: " << error.message << (error.detail.empty() ? "" : " (" + error.detail + ")") << std::endl;
  return 1;
}

std::shared_ptr<backends::Backend> make_llama(const std::string& address, const std::string& bearer) {
  return std::make_shared<backends::LlamaBackend>(net::Address{.text = address}, bearer);
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

// Has what keys used and who did what written down, and looks for keys that others made or revoked.
class StoreRounds {
 public:
  StoreRounds(IoContext& context, services::Keys& keys, services::Audit& audit)
      : timer_(context), keys_(keys), audit_(audit) {
    wait();
  }

 private:
  void wait() {
    timer_.expires_after(keys_.is_sharing() ? kLookAfterSharedKeys : kLookAfterStores);
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      keys_.look_soon();
      audit_.look_soon();
      wait();
    });
  }

  asio::steady_timer timer_;
  services::Keys& keys_;
  services::Audit& audit_;
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

  const storage::Options storage_options{.database_url = database_url(config),
                                         .uploads_folder = folder->uploads(),
                                         .database_connections = kStorageThreads + kOthersOnDatabase};
  using storage::Reserve;
  Reserve reserve(folder->reserve(), disk,
                  storage::is_sqlite_url(storage_options.database_url) ? Reserve::Wanted::yes : Reserve::Wanted::no);
  auto database = storage::open_database(storage_options, clock, reserve);
  if (!database) return refuse_to_start(database.error());
  auto blobs = storage::BlobStore::open(storage_options.uploads_folder, disk);
  if (!blobs) return refuse_to_start(blobs.error());
  storage::UploadStore uploads(**database, storage_options.list_limit_max);
  asio::thread_pool storage_pool(kStorageThreads);
  services::StoresWatch stores(storage_pool, **database, **blobs, clock);
  services::Intake intake(storage_pool, uploads, **blobs, reserve, clock);
  storage::KeyStore key_store(**database);
  // A file of SQLite's is one gateway's.
  storage::KeyShares key_shares(**database);
  const bool is_alone = storage::is_sqlite_url(storage_options.database_url);
  const std::string own_id = is_alone ? "" : gateway_id(folder->root(), clock);
  std::optional<services::Keys::Together> together;
  if (!is_alone) together.emplace(services::Keys::Together{.shares = key_shares, .id = own_id});
  services::Keys keys(storage_pool, key_store, clock, net_options.threads, config.keys, std::move(together));
  if (auto loaded = keys.load(); !loaded) return refuse_to_start(loaded.error());
  storage::RequestStore request_store(**database);
  auto spool = std::make_unique<records::Spool>(folder->records_spool(), disk, config.records.spool_bytes_max);
  if (auto opened = spool->open(); !opened) return refuse_to_start(opened.error());
  storage::RequestTextStore text_store(**database);
  auto texts = config.records.texts_kept.count() > 0 ? std::make_unique<records::Texts>(text_store, registry) : nullptr;
  records::Recorder recorder(request_store, std::move(spool), registry, clock, new_uuid(clock.wall()), config.records,
                             std::move(texts));
  services::Analytics analytics(storage_pool, {.requests = request_store, .texts = text_store, .uploads = uploads},
                                recorder, clock);
  storage::AuditStore audit_store(**database);
  services::Audit audit(storage_pool, audit_store, registry, clock);
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
  storage::ScreenshotStore screenshot_store(**database, own_id);
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
  http::AnalyticsHandlers analytics_handlers(analytics, keys);
  http::AnthropicHandlers anthropic_handlers(generate, clock, json_reading);
  http::AskHandlers ask_handlers(generate, fleet_admin, intake, clock, json_reading);
  http::AuditHandlers audit_handlers(audit);
  http::DoctorHandlers doctor_handlers(doctor);
  http::EmbeddingHandlers embedding_handlers(embed, fleet_admin, json_reading);
  http::FleetHandlers fleet_handlers(fleet_admin, json_reading);
  http::ModelHandlers model_handlers(fleet, stored_models, clock, json_reading);
  http::OpenAiHandlers openai_handlers(generate, clock, json_reading);
  http::HealthHandlers health_handlers(health, registry);
  http::KeyHandlers key_handlers(keys, clock, json_reading);
  http::ReloadHandlers reload_handlers(reload);
  http::ResponseHandlers response_handlers(generate, intake, clock, json_reading);
  http::StoredModelHandlers stored_model_handlers(stored_models, json_reading);
  http::UploadHandlers upload_handlers(intake, config.http);
  http::FileHandlers file_handlers(intake, upload_handlers);
  http::ProjectHandlers project_handlers(projects, intake, upload_handlers);
  http::ScreenshotHandlers screenshot_handlers(screenshots, intake, upload_handlers);
  http::KeyGate key_gate(keys, clock);
  auto tracer = traces::Tracer::make(config.tracing, clock, registry, version);
  if (!tracer) return refuse_to_start(tracer.error());
  http::Pipeline pipeline(
      http::make_routes({analytics_handlers, anthropic_handlers, ask_handlers, audit_handlers, doctor_handlers,
                         embedding_handlers, file_handlers, fleet_handlers, health_handlers, key_handlers,
                         model_handlers, openai_handlers, project_handlers, reload_handlers, response_handlers,
                         screenshot_handlers, stored_model_handlers, upload_handlers}),
      config.http, registry, clock, &key_gate, config.records.kept.count() > 0 ? &recorder : nullptr, &audit,
      tracer->get());
  reload.begin({.audit = audit,
                .fleet = fleet,
                .doctor = doctor,
                .health = health,
                .intake = intake,
                .keys = keys,
                .models = stored_models,
                .json = json_reading,
                .uploads = upload_handlers,
                .pipeline = pipeline});
  net::Server server(net_options, pipeline);
  add_gauges(registry, {.fleet = fleet, .server = server, .doctor = doctor, .stores = stores, .intake = intake},
             version);

  const Lock lock = keys.has_active() ? Lock::has_key : Lock::has_none;
  auto listened = listen_everywhere(server, config, lock, std::move(*inherited), certificates.get());
  if (!listened) return refuse_to_start(listened.error());
  using services::Reach;
  keys.set_reach(!listened->can_others_reach_it ? Reach::this_machine
                 : config.insecure              ? Reach::others_by_choice
                                                : Reach::others);

  IoContext main_context;
  asio::signal_set signals(main_context, SIGINT, SIGTERM);
  signals.async_wait([&](const boost::system::error_code&, int) { main_context.stop(); });
  const HangupWatch hangups(main_context, reload);
  fleet.start();
  if (auto begun = screenshots.start(); !begun) return refuse_to_start(begun.error());
  recorder.start();
  (*tracer)->start();
  server.start();
  const CertificateWatch certificate_watch(main_context, certificates.get());
  Greeting greeting(main_context, fleet, std::move(listened->addresses));
  const StoreRounds store_rounds(main_context, keys, audit);
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
  analytics_handlers.give_up();
  server.stop();
  (*tracer)->stop();
  screenshots.stop();
  stored_models.stop();
  fleet.stop();
  doctor_pool.join();
  unpack_pool.join();
  storage_pool.join();
  recorder.stop();
  if (const auto kept = keys.leave(); !kept) {
    spdlog::warn("what keys used last is not written: {} ({})", kept.error().message, kept.error().detail);
  }
  if (const auto kept = audit.look(); !kept) {
    spdlog::warn("{} rows of the audit trail are not written: {} ({})", audit.waiting(), kept.error().message,
                 kept.error().detail);
  }
  spdlog::info("stopped");
  return 0;
}

}  // namespace gbgreg::app
