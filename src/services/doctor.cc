#include "services/doctor.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <optional>

#include "fleet/engine_command.h"
#include "gpu/bearing_it_out.h"
#include "gpu/checks.h"
#include "gpu/describe.h"
#include "gpu/kernel_log.h"
#include "gpu/machine.h"
#include "services/checkup.h"

namespace gbgreg::services {
namespace {

// A program that asks a driver that hangs can often not even be killed: each further question leaves one behind.
constexpr std::chrono::seconds kHangRecheckMin{10};

gpu::WorkerFacts facts_of(const fleet::WorkerOptions& worker, std::span<const llm::BackendView> views,
                          std::span<const fleet::EngineWords> words) {
  gpu::WorkerFacts facts{.role = worker.role,
                         .model = worker.model,
                         .policy = worker.device,
                         .has_projector = !worker.projector_file.empty(),
                         .gpu_layers_configured = worker.gpu_layers,
                         .context_tokens = worker.context_tokens * worker.slots};
  const auto view = std::ranges::find_if(
      views, [&](const llm::BackendView& one) { return one.role == worker.role && one.model == worker.model; });
  if (view == views.end()) return facts;
  facts.has_started = view->state == llm::BackendState::ready;
  facts.has_failed = view->state == llm::BackendState::failed;
  facts.placement = view->placement;
  facts.projector_device = view->placement.projector;
  facts.pid = view->process_id.value_or(0);
  facts.model_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(0, view->model_bytes));
  if (!view->detail.empty()) facts.complaints.push_back(view->detail);
  const auto said = std::ranges::find(words, view->id, &fleet::EngineWords::id);
  if (said == words.end()) return facts;
  facts.card_bytes_needed = static_cast<std::uint64_t>(std::max<std::int64_t>(0, said->card_bytes_needed));
  facts.tokens_per_second = said->tokens_per_second_best;
  facts.architectures = said->architectures;
  std::ranges::copy(said->complaints, std::back_inserter(facts.complaints));
  return facts;
}

std::string summary_of(const gpu::Facts& facts) {
  const auto& nvml = facts.probe.nvml;
  if (nvml && nvml->works() && !nvml->devices.empty()) {
    std::string text;
    for (const gpu::NvmlDevice& device : nvml->devices) text += (text.empty() ? "" : ", ") + device.name;
    return text + ", driver " + nvml->driver_version + ".";
  }
  const auto count = static_cast<int>(
      std::ranges::count_if(facts.machine.cards, [](const gpu::PciCard& card) { return card.driver != "vfio-pci"; }));
  if (count > 0) return std::to_string(count) + " NVIDIA card(s) on the PCI bus, of which the driver says nothing.";
  return "No NVIDIA card is seen.";
}

// As long ago as a driver that hangs is left alone.
bool is_old(const Diagnosis& diagnosis) {
  return std::chrono::steady_clock::now() - diagnosis.made_at > kHangRecheckMin;
}

// Is a model on a card giving an answer?
bool is_card_at_work(std::span<const llm::BackendView> views) {
  return std::ranges::any_of(views, [](const llm::BackendView& view) {
    return !view.placement.devices.empty() && view.slots_free < view.slots_total;
  });
}

// However an examination ends, the next one may begin.
struct Ended {
  std::atomic<bool>& is_running;
  ~Ended() { is_running = false; }
};

// Models are at work: how busy are the cards?
void note_utilisation(Diagnosis& diagnosis, std::span<const gpu::NvmlDevice> devices) {
  std::optional<int> most;
  for (const gpu::NvmlDevice& device : devices) {
    if (!device.utilisation_percent) continue;
    diagnosis.utilisation_decoding[device.uuid] = *device.utilisation_percent;
    most = std::max(most.value_or(0), *device.utilisation_percent);
  }
  if (!most) return;
  diagnosis.idle_looks = gpu::is_idle(*most) ? diagnosis.idle_looks + 1 : 0;
  diagnosis.busiest_percent = *most;
}

}  // namespace

Diagnosis diagnose(const DoctorOptions& options, const fleet::Fleet* fleet, std::span<const std::string> environment,
                   const Diagnosis* earlier) {
  const auto began = std::chrono::steady_clock::now();
  const auto views_now = [&] { return fleet != nullptr ? fleet->views() : std::vector<llm::BackendView>{}; };
  std::vector<llm::BackendView> views = views_now();
  gpu::Facts facts;
  facts.environment = gpu::read_environment(environment);
  facts.machine = gpu::read_machine(gpu::HostFiles(options.probe.root));
  gpu::ProbeOptions probe = options.probe;
  probe.engine_folder = options.engine.parent_path();
  probe.environment = fleet::environment_for_engine(environment);
  facts.probe = gpu::ask_driver(probe, facts.machine);
  const auto words = fleet != nullptr ? fleet->engine_words() : std::vector<fleet::EngineWords>{};
  for (const fleet::WorkerOptions& worker : options.workers) facts.workers.push_back(facts_of(worker, views, words));

  Diagnosis diagnosis;
  if (facts.probe.nvml) diagnosis.devices = facts.probe.nvml->devices;
  if (earlier != nullptr) {
    diagnosis.utilisation_decoding = earlier->utilisation_decoding;
    diagnosis.idle_looks = earlier->idle_looks;
    diagnosis.busiest_percent = earlier->busiest_percent;
  }
  const auto later = views_now();
  if (is_card_at_work(views) && is_card_at_work(later)) note_utilisation(diagnosis, diagnosis.devices);
  facts.idle_looks = diagnosis.idle_looks;
  facts.utilisation_decoding_percent = diagnosis.busiest_percent;
  std::ranges::copy(later, std::back_inserter(views));
  diagnosis.card_memory = card_memory_for_models(diagnosis.devices, views);
  diagnosis.gpu_findings = gpu::examine(facts);
  diagnosis.has_card = gpu::has_own_card(facts.machine);
  diagnosis.summary = summary_of(facts);
  diagnosis.facts_json = gpu::describe(facts);
  const std::vector<gpu::Finding> others = check_up(options);
  for (const auto severity : {gpu::Severity::error, gpu::Severity::warning, gpu::Severity::info}) {
    const auto weighs_this = [severity](const gpu::Finding& finding) { return finding.severity == severity; };
    std::ranges::copy_if(diagnosis.gpu_findings, std::back_inserter(diagnosis.findings), weighs_this);
    std::ranges::copy_if(others, std::back_inserter(diagnosis.findings), weighs_this);
  }
  diagnosis.made_at = std::chrono::steady_clock::now();
  diagnosis.duration_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();
  return diagnosis;
}

const gpu::Finding* driver_hangs(const Diagnosis& diagnosis) {
  const auto found = std::ranges::find_if(diagnosis.gpu_findings, [](const gpu::Finding& finding) {
    return finding.code == "firmware_hang" || finding.code == "driver_does_not_answer";
  });
  return found == diagnosis.gpu_findings.end() ? nullptr : &*found;
}

std::string_view status_of(const Diagnosis& diagnosis) {
  if (diagnosis.findings.empty()) return "ok";
  const gpu::Severity worst = diagnosis.findings.front().severity;
  return worst == gpu::Severity::info ? "ok" : gpu::severity_name(worst);
}

Doctor::Doctor(asio::thread_pool& pool, const fleet::Fleet& fleet, DoctorOptions options,
               std::vector<std::string> environment)
    : pool_(pool),
      fleet_(fleet),
      environment_(std::move(environment)),
      options_(std::make_shared<const DoctorOptions>(std::move(options))) {}

void Doctor::adopt(DoctorOptions options) {
  const std::lock_guard lock(mutex_);
  options.probe = options_->probe;
  options_ = std::make_shared<const DoctorOptions>(std::move(options));
}

std::shared_ptr<const DoctorOptions> Doctor::options() const {
  const std::lock_guard lock(mutex_);
  return options_;
}

Task<Result<Diagnosis>> Doctor::run() {
  if (const auto hung = latest(); hung && driver_hangs(*hung) && !is_old(*hung)) co_return *hung;
  if (is_running_.exchange(true)) {
    auto known = latest();
    // Behind the one under way, which is the first: the pool has one thread.
    if (!known) known = co_await offload(pool_, [this] { return latest(); });
    if (known) co_return *known;
    co_return std::unexpected(
        Error{.kind = Kind::busy,
              .code = "doctor_busy",
              .message = "The doctor is at work for somebody else; ask again when Retry-After says.",
              .retry_after_seconds = 5});
  }
  // Ended on the pool and not in this task, which ends early when its client leaves.
  const auto found = co_await offload(pool_, [this] {
    const Ended ended{is_running_};
    const auto known = latest();
    auto diagnosis = std::make_shared<const Diagnosis>(diagnose(*options(), &fleet_, environment_, known.get()));
    const std::lock_guard lock(mutex_);
    latest_ = diagnosis;
    return diagnosis;
  });
  co_return *found;
}

Task<std::string> Doctor::newest_hang() {
  auto look = [this] { return gpu::newest_hang(gpu::HostFiles(options()->probe.root)); };
  co_return co_await offload(pool_, std::move(look));
}

std::shared_ptr<const Diagnosis> Doctor::latest() const {
  const std::lock_guard lock(mutex_);
  return latest_;
}

}  // namespace gbgreg::services
