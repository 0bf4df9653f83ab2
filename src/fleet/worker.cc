#include "fleet/worker.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <system_error>

#include "fleet/memory_need.h"
#include "fleet/model_parts.h"
#include "fleet/model_shape.h"
#include "fleet/run_folder.h"
#include "fleet/worker_port.h"

namespace gbgreg::fleet {
namespace {

constexpr std::string_view kExitLine = "cmd_router_to_child:exit";
constexpr int kKeyBytes = 32;
constexpr std::chrono::milliseconds kLoadTimeMin{100};
constexpr std::int64_t kLoadedBytesPerMillisecond = 500'000;  // A guess, until it has been loaded once.
constexpr double kPredictionTolerance = 0.05;
constexpr std::size_t kLogLinesShownMax = 50;  // Of those that are kept.

SchedulerOptions scheduler_options(const Options& fleet, const WorkerOptions& worker) {
  return {.model = worker.model,
          .model_file_name = worker.model_file.filename().string(),
          .slots = worker.slots,
          .queue_max = fleet.queue_max,
          .objective = std::chrono::milliseconds{worker.objective_ms},
          .queue_wait_max = fleet.queue_wait_max,
          .load_timeout = fleet.load_timeout,
          .stop_timeout = fleet.stop_timeout,
          .restart_delay_min = fleet.restart_delay_min,
          .restart_delay_max = fleet.restart_delay_max,
          .restart_forgiven_after = fleet.restart_forgiven_after,
          .crashes_until_failed = fleet.crashes_until_failed,
          .failures_until_restart = fleet.failures_until_restart,
          .check_interval = fleet.check_interval,
          .checks_missed_max = fleet.checks_missed_max};
}

bool is_file(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

bool is_readable(const std::filesystem::path& path) { return ::access(path.c_str(), R_OK) == 0 && is_file(path); }

std::unexpected<Error> not_started(std::string sentence) {
  return fail(Kind::unavailable, "worker_not_started", std::move(sentence));
}

std::string in_gigabytes(std::int64_t bytes) { return fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9); }

// The engine keeps some weights twice, in an order that these processors multiply faster.
bool processor_repacks() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") != 0;
#else
  return false;
#endif
}

// What the engine would load beside itself for a card.
bool has_card_module(const std::filesystem::path& folder) {
  constexpr std::array<std::string_view, 8> kModules = {"libggml-cuda",   "libggml-vulkan", "libggml-hip",
                                                        "libggml-sycl",   "libggml-musa",   "libggml-cann",
                                                        "libggml-opencl", "libggml-metal"};
  if (std::getenv("GGML_BACKEND_PATH") != nullptr) return true;  // NOLINT(concurrency-mt-unsafe): nobody sets it.
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failure)) {
    const std::string name = entry.path().filename().string();
    if (std::ranges::any_of(kModules, [&](std::string_view module) { return name.starts_with(module); })) return true;
  }
  return failure.operator bool();
}

// By the engine's own word, all of them.
bool are_layers_on_cards(const llm::Placement& placement) {
  return placement.gpu_layers.value_or(0) > 0 && placement.gpu_layers == placement.total_layers;
}

std::string_view demo_detail(const WorkerOptions& worker) {
  return worker.embeds ? "A demo model with random weights: its vectors mean little."
                       : "A demo model with random weights: its answers mean nothing.";
}

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      return "error";
  }
  return "info";
}

// The last lines that anybody may read.
std::vector<llm::LogEntry> told_lines(const EngineLog& log) {
  std::vector<llm::LogEntry> told;
  told.reserve(kLogLinesShownMax);
  for (auto line = log.lines().rbegin(); line != log.lines().rend() && told.size() < kLogLinesShownMax; ++line) {
    if (!line->may_be_told) continue;
    told.push_back({.level = level_name(line->level), .text = line->text});
  }
  std::ranges::reverse(told);
  return told;
}

spdlog::level::level_enum level_for(const LogLine& line) {
  // What people ask is not logged unless the owner wants it.
  return line.level == LogLevel::error && line.may_be_told ? spdlog::level::warn : spdlog::level::debug;
}

}  // namespace

Worker::Worker(WorkerSurroundings surroundings, int index, const WorkerOptions& options)
    : surroundings_(std::move(surroundings)),
      index_(index),
      options_(options),
      id_(options.role + "/" + options.model),
      seat_(std::make_shared<const Seat>(
          Seat{.id = id_, .gate = std::make_shared<SlotGate>(), .reports = std::make_shared<ReportBox>()})),
      scheduler_(scheduler_options(surroundings_.options, options)),
      log_(0, {}),
      timer_(surroundings_.io.executor()),
      reports_timer_(surroundings_.io.executor()),
      load_time_(kLoadTimeMin) {}

Worker::~Worker() = default;

void Worker::start() {
  is_wanted_ahead_ = is_refused_ = false;
  ordered_at_.reset();
  leaves_when_idle_ = false;
  act(scheduler_.start(now()));
}

void Worker::unload() {
  is_wanted_ahead_ = leaves_when_idle_ = false;
  ordered_at_.reset();
  close_gate();
  act(scheduler_.unload(now()));
}

void Worker::restart() {
  close_gate();
  act(scheduler_.restart(now()));
}

bool Worker::obey(Order order) {
  switch (order) {
    case Order::load:
      load_as_ordered();
      break;
    case Order::unload:
      unload();
      break;
    case Order::unload_when_idle:
      leaves_when_idle_ = scheduler_.is_up();
      close_gate();
      act({});
      break;
    case Order::restart:
      if (process_) {
        restart();
      } else {
        load_as_ordered();
      }
      break;
    case Order::look_again:
      if (process_) break;
      claim_.reset();
      if (state() != llm::BackendState::failed && !scheduler_.is_delayed()) break;
      scheduler_.forgive();
      is_wanted_ahead_ = true;
      act({});
      break;
  }
  return true;
}

// One that leaves comes back when it has left; one that is loading or ready needs nothing.
void Worker::load_as_ordered() {
  leaves_when_idle_ = false;
  scheduler_.forgive();
  if (scheduler_.is_asleep() || scheduler_.leaves()) ordered_at_ = now();
  act({});
}

llm::BackendState Worker::state() const {
  if (!is_begun_ && scheduler_.is_asleep()) return llm::BackendState::stopped;
  const llm::BackendState state = scheduler_.state();
  return ordered_at_ && state == llm::BackendState::sleeping ? llm::BackendState::loading : state;
}

void Worker::refuse_start() {
  is_wanted_ahead_ = false;
  is_refused_ = true;
  ordered_at_.reset();
  const auto& [budget, figures] = surroundings_.budget;
  const bool is_card = claim_->card > budget.card;
  const std::int64_t needed = is_card ? claim_->card : claim_->host;
  const std::int64_t there = is_card ? budget.card : budget.host;
  const bool is_by_driver = is_card && !figures.empty();
  act(scheduler_.refuse_start(now(), options_.model + " needs " + in_gigabytes(needed) + " of " +
                                         (is_card ? "the card's " : "") + "memory, and models may have " +
                                         in_gigabytes(there) + (is_by_driver ? " (" + figures + ")" : "") +
                                         ": give it a smaller context or fewer slots, choose a smaller model, or " +
                                         (is_by_driver ? "end other programs that use the card."
                                          : is_card    ? "raise memory.vram_bytes_max."
                                                       : "raise memory.ram_bytes_max.")));
  spdlog::error("worker {}: {}", id_, scheduler_.detail());
}

// What is in memory takes what it takes. Of another one the prediction goes by the budget, which may let a part of it
// stay off the card; what the engine said of an earlier life counts as long as it fits.
void Worker::budget_changed() {
  if (!scheduler_.is_asleep() && !is_refused_) return;
  const bool still_holds = is_claim_measured_ && claim_->fits_into(surroundings_.budget.memory);
  if (!still_holds) claim_.reset();
  if (!is_refused_) return;
  if (!claim_) predict_memory();
  if (!claim_->fits_into(surroundings_.budget.memory)) return;
  is_refused_ = false;
  is_wanted_ahead_ = true;
  act(scheduler_.reconsider(now()));
}

// Slots in the gate are free, and the scheduler does not see who takes one there; so it is asked here, and now and
// then.
Tenant Worker::tenant() {
  if (!claim_) predict_memory();
  Tenant tenant{.claim = *claim_, .load_time = load_time_, .keep_alive = options_.keep_alive};
  if (leaves_when_idle_) tenant.keep_alive = std::chrono::milliseconds{0};
  tenant.busy = std::max(0, scheduler_.busy() - seat_->gate->free());
  tenant.waiting = scheduler_.queued();
  tenant.waiting_since = scheduler_.waiting_since();
  if (ordered_at_) {
    ++tenant.waiting;
    tenant.waiting_since = std::min(tenant.waiting_since.value_or(*ordered_at_), *ordered_at_);
  }
  if (tenant.busy + tenant.waiting > 0 || busy_before_ > 0) used_at_ = now();
  busy_before_ = tenant.busy;
  tenant.used_at = used_at_;
  tenant.in_since = in_since_;
  tenant.stay = stay();
  return tenant;
}

Stay Worker::stay() const {
  if (scheduler_.leaves()) return Stay::leaving;
  if (scheduler_.is_asleep()) {
    return scheduler_.wants_start() || is_wanted_ahead_ || ordered_at_ ? Stay::wanted : Stay::away;
  }
  return scheduler_.is_up() ? Stay::in : Stay::arriving;
}

// Of a file that is missing or not understood nothing is known: it is let in, and the engine says what is wrong.
void Worker::predict_memory() {
  claim_ = Memory{};
  is_claim_measured_ = false;
  predicted_bytes_ = 0;
  const bool is_found = find_stored_model().has_value();
  const auto shape = is_found ? read_model_shape(options_.model_file) : std::nullopt;
  if (!shape) return;
  const std::int64_t projector =
      options_.projector_file.empty() ? 0 : read_weight_bytes(options_.projector_file).value_or(0);
  if (options_.embeds) facts_ = read_model_facts(options_.model_file);
  const Memory& budget = surroundings_.budget.memory;
  const bool goes_to_a_card = budget.card != Memory::kUnbounded && options_.device != gpu::DevicePolicy::cpu &&
                              has_card_module(surroundings_.options.engine.parent_path());
  card_weight_bytes_ = card_weights(*shape);
  const LoadPlan plan = load_plan(options_, facts_, next_batches(), !goes_to_a_card && processor_repacks());
  const std::int64_t on_host = memory_on_host(*shape, projector, plan).total();
  predicted_bytes_ = on_host;
  claim_ = Memory{.host = on_host};
  if (goes_to_a_card) {
    const std::int64_t on_card = memory_on_card(*shape, projector, plan);
    // What does not fit there is put on the processor by the engine, unless that is not allowed.
    const bool may_be_split = options_.device == gpu::DevicePolicy::prefer_gpu;
    const std::int64_t there = may_be_split ? std::min(on_card, budget.card) : on_card;
    claim_ = Memory{.host = on_host - there, .card = there};
  }
  load_time_ = std::max(load_time_, std::chrono::milliseconds{shape->weight_bytes / kLoadedBytesPerMillisecond});
}

// The engine's word counts more than what was predicted; a prediction that is far off is worth a line.
void Worker::compare_memory() {
  const EngineMemory said = log_.memory();
  if (said.total() == 0) return;
  claim_ = Memory{.host = said.host, .card = said.devices};
  is_claim_measured_ = true;
  const double off = std::abs(static_cast<double>(predicted_bytes_ - said.total())) / static_cast<double>(said.total());
  spdlog::debug("worker {}: {} of memory, {} predicted", id_, in_gigabytes(said.total()),
                in_gigabytes(predicted_bytes_));
  if (predicted_bytes_ > 0 && off > kPredictionTolerance) {
    spdlog::info("worker {}: {} of memory instead of the {} that were predicted", id_, in_gigabytes(said.total()),
                 in_gigabytes(predicted_bytes_));
  }
}

void Worker::stop() {
  close_gate();
  act(scheduler_.stop(now()));
}

void Worker::adopt(const WorkerOptions& options) {
  const bool may_be_elsewhere = options_.allow_cpu != options.allow_cpu;
  WorkerOptions adopted = options;
  if (adopted.is_stored) {  // Where its files lie is known since its start.
    adopted.model_file = std::move(options_.model_file);
    adopted.projector_file = std::move(options_.projector_file);
  }
  options_ = std::move(adopted);
  close_gate();
  scheduler_.adopt(scheduler_options(surroundings_.options, options_));
  // It may be where it may not be any more, or have been refused for where it was.
  const bool is_misplaced = is_up() && !check_placement();
  const bool was_refused = scheduler_.state() == llm::BackendState::failed && !scheduler_.is_asleep();
  act(may_be_elsewhere && (is_misplaced || was_refused) ? scheduler_.restart(now()) : Actions{});
}

std::vector<Waiting> Worker::take_waiting() {
  close_gate();
  std::vector<Waiting> taken;
  for (const Waiter& waiter : scheduler_.take_waiting()) {
    const auto found = waiting_.find(waiter.id);
    if (found == waiting_.end()) continue;
    taken.push_back({.waiter = waiter, .backend_id = id_, .answer = std::move(found->second)});
    waiting_.erase(found);
  }
  act({});
  return taken;
}

void Worker::retire() {
  is_wanted_ahead_ = false;
  close_gate();
  act(scheduler_.retire(now()));
}

void Worker::ask(std::string_view, const Waiter& waiter, Answer answer) {
  close_gate();
  waiting_.emplace(waiter.id, std::move(answer));
  act(scheduler_.ask(now(), waiter));
}

void Worker::withdraw(WaiterId waiter) {
  if (!waiting_.contains(waiter)) return;
  scheduler_.withdraw(waiter);
  answer(waiter, fail(Kind::cancelled, "cancelled", "The client left while the request waited for a slot."));
  act({});
}

void Worker::release(std::uint64_t generation, bool is_retry) { act(scheduler_.release(now(), generation, is_retry)); }

void Worker::reports_came() {
  reports_timer_.expires_after(ReportBox::kKeptFor);
  reports_timer_.async_wait([this, here = Here(here_)](const boost::system::error_code& failure) {
    if (failure || here.expired()) return;
    fetch_reports();
    act({});
  });
}

void Worker::fetch_reports() {
  for (const Report& report : seat_->reports->fetch()) {
    used_at_ = now();  // A short answer may have come and gone between two looks at the gate.
    figures_.add(report.usage, report.times.total_ms);
    figures_.add_latency(report.times.slot_ms);
    scheduler_.request_succeeded(report.generation, report.times.slot_ms);
  }
}

void Worker::request_failed(std::uint64_t generation, const Error&) {
  fetch_reports();  // Failures count in a row, so what went well before comes first.
  close_gate();
  act(scheduler_.request_failed(now(), generation));
}

void Worker::request_failed_again(std::uint64_t generation, const Error&) {
  close_gate();
  scheduler_.request_failed_again(now(), generation);
  act({});
}

// The one place where decisions become deeds. Starting a process can be a decision's next event (its files are
// missing), so this may call itself, once.
void Worker::act(Actions actions) {
  perform(std::move(actions));
  lend_slots();
  set_timer();
  surroundings_.on_change();
}

void Worker::perform(Actions actions) {
  for (Action& action : actions) {
    if (std::holds_alternative<StartProcess>(action)) {
      begin_life();
    } else if (std::holds_alternative<AskToExit>(action)) {
      if (process_) process_->send_line(kExitLine);
    } else if (std::holds_alternative<KillProcess>(action)) {
      if (process_) process_->kill();
    } else if (std::holds_alternative<AbandonProcess>(action)) {
      spdlog::error("worker {}: process {} does not end, even when killed", id_, process_ ? process_->id() : 0);
      process_.reset();
    } else if (std::holds_alternative<CheckEngine>(action)) {
      const SteadyTime deadline = now() + surroundings_.options.check_timeout;
      spawn(surroundings_.io.executor(), "check an engine",
            check_engine(here_, surroundings_.io, deadline, backend_, scheduler_.generation()));
    } else if (const auto* grant = std::get_if<Grant>(&action)) {
      answer(grant->waiter, Slot{.generation = scheduler_.generation(),
                                 .backend = backend_,
                                 .is_retry = grant->is_retry,
                                 .device = log_.placement().device,
                                 .seat = seat_});
    } else if (auto* refuse = std::get_if<Refuse>(&action)) {
      answer(refuse->waiter, std::unexpected(std::move(refuse->error)));
    }
  }
}

// Before anything that takes the slots into account one by one; act(), which follows, lends them again if it may.
void Worker::close_gate() { perform(scheduler_.take_back(now(), seat_->gate->close())); }

void Worker::lend_slots() {
  const int slots = scheduler_.lend(now());
  if (slots > 0) seat_->gate->lend(scheduler_.generation(), slots);
}

Picture::Place Worker::place() const {
  return {.seat = seat_, .generation = scheduler_.generation(), .backend = backend_};
}

// Whatever goes wrong here must be told to the scheduler: while it waits for a start, nothing else wakes it.
void Worker::begin_life() {
  Result<void> started;
  try {
    started = start_process();
  } catch (const std::exception& error) {
    started = not_started("The engine could not be started, and the log says why. It is tried again.");
    started.error().detail = error.what();
    process_.reset();
    backend_.reset();
  }
  if (started) {
    act(scheduler_.process_started(now()));
    return;
  }
  spdlog::warn("worker {}: {} {}", id_, started.error().message, started.error().detail);
  claim_.reset();  // Its file may be there the next time.
  act(scheduler_.process_not_started(now(), std::move(started.error().message)));
}

// It may have been fetched, or fetched anew, since the last start.
Result<void> Worker::find_stored_model() {
  if (!options_.is_stored || !surroundings_.options.find_model) return {};
  auto found = surroundings_.options.find_model(options_.model);
  if (!found) return std::unexpected(std::move(found.error()));
  options_.model_file = std::move(found->model);
  options_.projector_file = std::move(found->projector);
  return {};
}

Result<void> Worker::start_process() {
  if (auto found = find_stored_model(); !found) return found;
  std::vector<std::string> folders;
  for (const auto& file : {options_.model_file, options_.projector_file, surroundings_.options.engine}) {
    folders.push_back(file.parent_path().string());
  }
  folders.push_back(surroundings_.options.run_folder.string());
  log_ = EngineLog(static_cast<std::size_t>(surroundings_.options.log_lines_max), std::move(folders));
  if (auto ready = check_files(); !ready) return ready;
  if (surroundings_.gpu_hold && options_.device != gpu::DevicePolicy::cpu) return not_started(*surroundings_.gpu_hold);
  if (auto free = check_port(); !free) return free;
  const std::string name = "w" + std::to_string(index_) + "-" + std::to_string(scheduler_.generation()) + ".sock";
  socket_ = surroundings_.options.run_folder / name;
  std::error_code ignored;
  std::filesystem::remove(socket_, ignored);  // The engine does not bind over a stale one.

  if (options_.embeds) facts_ = read_model_facts(options_.model_file);
  batches_ = next_batches();
  const EngineLife life{.socket = socket_,
                        .key = random_hex(kKeyBytes),
                        .facts = facts_,
                        .batches = batches_,
                        .may_use_card = has_card_module(surroundings_.options.engine.parent_path())};
  const std::vector<std::string> environment = own_environment();
  Command command = engine_command(surroundings_.options.engine, options_, life, environment);
  command.open_files_max = surroundings_.options.worker_open_files_max;
  auto on_line = [this](ChildProcess::Stream stream, std::string_view line) { take_line(stream, line); };
  auto on_end = [this](const ProcessEnd& end) { end_life(end); };
  auto process = ChildProcess::start(surroundings_.io.context(), command, std::move(on_line), std::move(on_end));
  if (!process) {
    return not_started("The engine's process could not be made (" + process.error().detail +
                       "); free some memory or processes. It is tried again.");
  }
  process_ = std::move(*process);
  const std::string address =
      options_.port ? std::string(kWorkerHost) + ":" + std::to_string(*options_.port) : "unix:" + socket_.string();
  backend_ = surroundings_.make_backend(address, life.key);
  started_at_ = now();
  model_bytes_ = model_file_bytes(options_.model_file);
  spdlog::info("worker {}: process {} loads {}", id_, process_->id(), options_.model_file.filename().string());
  return {};
}

// The sentences reach /health, so they name files, but not where they are; the log has the paths.
Result<void> Worker::check_files() const {
  const Options& fleet = surroundings_.options;
  if (::access(fleet.engine.c_str(), X_OK) != 0 || !is_file(fleet.engine)) {
    spdlog::debug("worker {}: no engine at {}", id_, fleet.engine.string());
    return not_started("The engine program " + fleet.engine.filename().string() +
                       " is missing or not executable: build it with ./run, or name another one in the configuration.");
  }
  if (const std::string first = first_part_of(options_.model_file); !first.empty()) {
    return not_started("The model file " + options_.model_file.filename().string() +
                       " is a later part of its model: name " + first + " in the configuration.");
  }
  std::vector<std::filesystem::path> missing = missing_parts(options_.model_file);
  if (!options_.projector_file.empty() && !is_readable(options_.projector_file))
    missing.push_back(options_.projector_file);
  if (!missing.empty()) {
    const auto& file = missing.front();
    spdlog::debug("worker {}: no readable file at {}", id_, file.string());
    const std::string others =
        missing.size() > 1 ? " (and " + std::to_string(missing.size() - 1) + " more of its parts)" : "";
    return not_started("The model file " + file.filename().string() + others +
                       " is missing or not readable: put it back, or name another one in the configuration.");
  }
  return make_run_folder(fleet.run_folder);
}

// The engine would say so as well, but only after a while, and once a start.
Result<void> Worker::check_port() const {
  if (!options_.port || !is_port_taken(*options_.port)) return {};
  return not_started("Port " + std::to_string(*options_.port) + " of the role " + options_.role +
                     " is taken by another program: end that, or give the role another port.");
}

void Worker::take_line(ChildProcess::Stream stream, std::string_view line) {
  const auto from = stream == ChildProcess::Stream::out ? EngineLog::Stream::out : EngineLog::Stream::err;
  const EngineWord word = log_.take(from, line);
  if (word.log_line != nullptr) {
    spdlog::log(level_for(*word.log_line), "engine {}: {}", id_, word.log_line->text);
  }
  if (!word.state) return;
  if (word.state->stage == EngineStage::loading) {
    scheduler_.process_loads(now(), word.state->progress);
    act({});
  } else {
    spdlog::info("worker {}: ready after {} ms on {}", id_, milliseconds_between(started_at_, now()),
                 log_.placement().device);
    load_time_ = std::chrono::milliseconds{milliseconds_between(started_at_, now())};
    used_at_ = in_since_ = now();
    compare_memory();
    auto fit = check_placement();
    if (!fit) {
      spdlog::error("worker {}: {}", id_, fit.error().message);
      return act(scheduler_.process_unfit(now(), std::move(fit.error().message)));
    }
    is_card_disproved_ = !are_layers_on_cards(log_.placement());
    if (batches_ == Batches::small || !is_card_disproved_) return act(scheduler_.process_ready(now()));
    spdlog::info("worker {}: not wholly on a card, so it is loaded once more, with batches for a processor", id_);
    act(scheduler_.restart(now()));
  }
}

// Where its layers will be is known only when it has loaded. Where it may use a card, that is what is expected; one
// that turns out to be on the processor is loaded again, and its later lives begin as it was then.
Batches Worker::next_batches() const {
  const bool may_use_card = options_.device != gpu::DevicePolicy::cpu && !options_.embeds && !is_card_disproved_ &&
                            has_card_module(surroundings_.options.engine.parent_path());
  return may_use_card ? Batches::large : Batches::small;
}

// By the engine's own word: all of it on a card where the role requires that, and some of it where it prefers one that
// the machine has. Silence is no proof.
Result<void> Worker::check_placement() const {
  const llm::Placement placement = log_.placement();
  const std::string subject = "The role " + options_.role;
  if (options_.device == gpu::DevicePolicy::prefer_gpu) {
    if (!surroundings_.options.has_gpu || options_.allow_cpu || placement.device != "CPU") return {};
    return fail(Kind::unavailable, "gpu_not_used",
                subject + " prefers a GPU for " + options_.model +
                    ", this machine has one, and the engine put it on the processor: gbgreg doctor names the cause. "
                    "To let it answer all the same, set allow_cpu: true.");
  }
  if (options_.device != gpu::DevicePolicy::require_gpu) return {};
  const bool is_on_card = placement.device != "CPU" && placement.device != "mixed" && placement.device != "unknown";
  if (is_on_card) return {};
  const std::string where = placement.device == "CPU"     ? "put it on the processor"
                            : placement.device == "mixed" ? "put only a part of it on a card"
                                                          : "does not say where it is";
  return fail(Kind::unavailable, "gpu_required",
              subject + " requires a GPU for " + options_.model + ", and the engine " + where +
                  ": gbgreg doctor names the cause. To let it answer all the same, set device: prefer_gpu.");
}

void Worker::end_life(const ProcessEnd& end) {
  const llm::BackendState before = scheduler_.state();
  last_complaints_ = log_.complaints();
  process_.reset();
  backend_.reset();
  seat_->gate->close();  // Its slots went with the life; the scheduler forgets them, too.
  std::error_code ignored;
  std::filesystem::remove(socket_, ignored);
  if (end.start_failure != 0) {
    const std::string why = std::system_category().message(end.start_failure);
    act(scheduler_.process_not_started(now(), "The engine program cannot be executed (" + why +
                                                  "): build it with ./run, or name another one in the configuration."));
    return;
  }
  Actions actions = scheduler_.process_ended(now(), end.sentence(), log_.last_words());
  if (before == llm::BackendState::draining || before == llm::BackendState::stopped) {
    spdlog::info("worker {}: the engine {}", id_, end.sentence());
  } else {
    spdlog::warn("worker {}: {}", id_, scheduler_.detail());
  }
  act(std::move(actions));
}

// Bounded by its deadline, so the fleet's thread, which ends when all its work is done, does not wait for it long.
Task<void> Worker::check_engine(Here worker, net::IoThread& io, SteadyTime deadline,
                                std::shared_ptr<backends::Backend> backend, std::uint64_t generation) {
  const auto told = co_await backend->check(io, deadline);
  const Result<void> alive = told ? Result<void>{} : std::unexpected(told.error());
  if (const auto here = worker.lock()) (*here)->engine_checked(alive, generation);
}

void Worker::engine_checked(const Result<void>& alive, std::uint64_t generation) {
  if (alive) return act(scheduler_.engine_answered(now(), generation));
  spdlog::debug("worker {}: missed a check ({} {})", id_, alive.error().code, alive.error().detail);
  close_gate();
  act(scheduler_.engine_missed_check(now(), generation));
}

void Worker::answer(WaiterId waiter, Result<Slot> result) {
  const auto found = waiting_.find(waiter);
  if (found == waiting_.end()) return;
  Answer tell = std::move(found->second);
  waiting_.erase(found);
  tell(std::move(result));
}

// One timer for everything that the scheduler waits for. It is only moved when the next event comes sooner; a timer
// that fires too early finds nothing to do and is set again.
void Worker::set_timer() {
  const auto next = scheduler_.next_event();
  if (!next) {
    timer_set_for_ = SteadyTime::max();
    timer_.cancel();
    return;
  }
  if (*next >= timer_set_for_) return;
  timer_set_for_ = *next;
  timer_.expires_at(*next);
  timer_.async_wait([this, here = Here(here_)](const boost::system::error_code& failure) {
    if (failure || here.expired()) return;  // Moved, cancelled, or the worker is gone.
    timer_set_for_ = SteadyTime::max();
    const llm::BackendState before = scheduler_.state();
    Actions actions = scheduler_.time_passed(now(), seat_->gate->free());
    const bool gave_up = before != scheduler_.state() && scheduler_.state() == llm::BackendState::failed;
    if (gave_up) spdlog::error("worker {}: {}", id_, scheduler_.detail());
    act(std::move(actions));
  });
}

void Worker::show(Picture& picture) const {
  picture.views.push_back(view());
  picture.places.push_back(place());
}

llm::BackendView Worker::view() const {
  llm::BackendView view{.id = id_, .role = options_.role, .model = options_.model};
  view.state = state();
  view.sees_images = !options_.projector_file.empty();
  view.is_demo = options_.is_demo;
  view.context_tokens = options_.context_tokens;
  if (options_.embeds) describe_embedder(view);
  view.model_bytes = model_bytes_;
  view.slots_total = options_.slots;
  view.slots_free = scheduler_.slots_free();
  view.queued = scheduler_.queued();
  view.queue_max = surroundings_.options.queue_max;
  view.objective_ms = options_.objective_ms;
  view.restarts = scheduler_.restarts();
  view.loads = loads();
  if (claim_) view.memory_bytes = claim_->host + claim_->card;
  view.preference = options_.preference;
  view.latency_ms = figures_.latency_ms();
  view.tokens_per_second = figures_.tokens_per_second();
  view.total_p95_ms = figures_.total_p95_ms();
  if (view.state == llm::BackendState::ready) view.placement = log_.placement();
  view.port = options_.port;
  if (process_) view.process_id = process_->id();
  view.detail = scheduler_.detail();
  if (view.detail.empty() && ordered_at_) view.detail = options_.model + " waits until there is memory for it.";
  if (view.detail.empty() && options_.is_demo) view.detail = demo_detail(options_);
  return view;
}

EngineWords Worker::words() const {
  const bool has_told = state() == llm::BackendState::ready || !log_.complaints().empty();
  return {.id = id_,
          .architectures = log_.architectures(),
          .complaints = has_told ? log_.complaints() : last_complaints_,
          .card_bytes_needed = card_weight_bytes_,
          .tokens_per_second_best = figures_.tokens_per_second_best()};
}

void Worker::describe(std::vector<llm::BackendDetails>& out) const {
  llm::BackendDetails details{.view = view()};
  const int free = seat_->gate->free();
  details.view.slots_free = std::clamp(details.view.slots_free + free, 0, options_.slots);
  details.slots_busy = std::max(0, scheduler_.busy() - free);
  details.queue = scheduler_.queue(now());
  details.is_leaving = scheduler_.leaves();
  details.loading_progress = scheduler_.progress();
  if (claim_) details.claim = {.host = claim_->host, .card = claim_->card};
  const Stay is = stay();
  if (is == Stay::arriving) details.hold = llm::Hold::reserved;
  if (is == Stay::in || is == Stay::leaving) details.hold = llm::Hold::used;
  if (predicted_bytes_ > 0) details.predicted_bytes = predicted_bytes_;
  if (const EngineMemory said = log_.memory(); said.total() > 0) {
    details.reported = llm::MemoryBytes{.host = said.host, .card = said.devices};
  }
  details.keep_alive = options_.keep_alive;
  const bool is_idle =
      details.view.state == llm::BackendState::ready && details.slots_busy == 0 && scheduler_.queued() == 0;
  if (is_idle) details.idle_ms = milliseconds_between(used_at_, now());
  details.log = told_lines(log_);
  out.push_back(std::move(details));
}

void Worker::describe_embedder(llm::BackendView& view) const {
  view.embeds = true;
  view.dimensions_min = options_.dimensions_min;
  view.context_tokens = embedding_tokens_max(options_, facts_);
  if (!facts_.architecture.empty()) view.architecture = facts_.architecture;
  view.embedding_numbers = facts_.embedding_numbers.value_or(0);
}

}  // namespace gbgreg::fleet
