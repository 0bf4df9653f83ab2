#include "services/module_proof.h"

#include <stdlib.h>

#include <array>
#include <chrono>

#include "fleet/engine_command.h"
#include "fleet/engine_log.h"
#include "fleet/options.h"
#include "services/run_program.h"

namespace gbgreg::services {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// A driver may have to make its kernels first, which takes minutes on some.
constexpr std::chrono::minutes kReadyTimeout{4};
constexpr std::chrono::seconds kListTimeout{30};
constexpr std::size_t kLogLines = 200;
constexpr int kContextTokens = 512;
constexpr std::size_t kDevicesMax = 64;

// A folder of our own for the engine's socket, whose path must be short.
class SocketFolder {
 public:
  SocketFolder() {
    std::string name = (fs::temp_directory_path() / "gbgreg-proof-XXXXXX").string();
    if (::mkdtemp(name.data()) != nullptr) folder_ = name;
  }
  ~SocketFolder() {
    std::error_code ignored;
    if (!folder_.empty()) fs::remove_all(folder_, ignored);
  }
  SocketFolder(const SocketFolder&) = delete;
  SocketFolder& operator=(const SocketFolder&) = delete;
  fs::path socket() const { return folder_ / "engine.sock"; }

 private:
  fs::path folder_;
};

fleet::WorkerOptions demo_worker(const fs::path& models) {
  return {.role = "proof",
          .model = "demo-vision",
          .model_file = models / "demo-vision.gguf",
          .projector_file = models / "demo-vision-mmproj.gguf",
          .context_tokens = kContextTokens,
          .slots = 1,
          .threads = 1,
          .device = gpu::DevicePolicy::require_gpu};
}

// Whether the engine's word is a proof; if not, the error says what it is of.
Result<void> check(const gpu::ModulePackage& package, const llm::Placement& placement) {
  const bool is_its_device = placement.device.starts_with(package.device);
  const bool are_all_there = placement.gpu_layers && placement.gpu_layers == placement.total_layers;
  if (is_its_device && are_all_there && placement.projector == placement.device) return {};
  std::string said = "the engine says nothing of where the model's layers are";
  if (placement.device == "CPU") {
    said = "the engine runs a model on the processor: it found no device of the module's";
  } else if (placement.gpu_layers && placement.total_layers) {
    said = "the engine put " + std::to_string(*placement.gpu_layers) + " of " +
           std::to_string(*placement.total_layers) + " layers on " + placement.device + ", and the part that sees on " +
           placement.projector.value_or("nothing that it names");
  }
  return fail(Kind::refused, "module_not_proven", "The module was loaded, but " + said + ".");
}

}  // namespace

Result<Proof> prove_module(const gpu::ModulePackage& package, const ProofOptions& options) {
  const fleet::WorkerOptions worker = demo_worker(options.models);
  for (const fs::path& file : {worker.model_file, worker.projector_file}) {
    std::error_code error;
    if (fs::is_regular_file(file, error)) continue;
    return fail(Kind::not_found, "demo_model_missing",
                "The module is proven by a demo model, and " + file.string() +
                    " is not there: ./run makes it (or tools/setup.sh); --models names another folder.");
  }
  const SocketFolder folder;
  const fleet::EngineLife life{.socket = folder.socket(), .key = random_hex(16)};
  const fleet::Command command = fleet::engine_command(options.engine, worker, life, options.environment);
  fleet::EngineLog log(kLogLines, {});
  bool is_ready = false;
  const auto began = Clock::now();
  auto take_line = [&](fleet::ChildProcess::Stream stream, std::string_view line) {
    const auto from =
        stream == fleet::ChildProcess::Stream::out ? fleet::EngineLog::Stream::out : fleet::EngineLog::Stream::err;
    const fleet::EngineWord word = log.take(from, line);
    is_ready = word.state && word.state->stage == fleet::EngineStage::ready;
    return is_ready ? AfterLine::end_it : AfterLine::go_on;
  };
  const auto end = run_program(command, kReadyTimeout, take_line);
  if (!end) return std::unexpected(end.error());
  const auto ready_ms = milliseconds_between(began, Clock::now());
  if (!is_ready) {
    const std::string words = log.last_words();
    return fail(Kind::backend_failed, "engine_failed",
                "With the module the engine could not load a demo model: it " +
                    (end->was_over_time ? std::string("was not ready within minutes") : end->process.sentence()) +
                    (words.empty() ? "." : ", and said: " + words));
  }
  Proof proof{.placement = log.placement(), .ready_ms = static_cast<std::int64_t>(ready_ms)};
  if (auto checked = check(package, proof.placement); !checked) return std::unexpected(std::move(checked.error()));
  return proof;
}

std::vector<std::string> devices_of_engine(const ProofOptions& options) {
  const fleet::Command command{.program = options.engine.string(),
                               .arguments = {"--list-devices"},
                               .environment = fleet::environment_for_engine(options.environment)};
  std::vector<std::string> devices;
  bool are_listed = false;
  const auto end = run_program(command, kListTimeout, [&](fleet::ChildProcess::Stream, std::string_view line) {
    const std::size_t text = line.find_first_not_of(' ');
    if (line.starts_with("Available devices")) {
      are_listed = true;
    } else if (are_listed && text != std::string_view::npos && line.substr(text).contains(": ") &&
               devices.size() < kDevicesMax) {
      devices.emplace_back(line.substr(text));
    }
    return AfterLine::go_on;
  });
  return end && end->is_well() ? devices : std::vector<std::string>{};
}

}  // namespace gbgreg::services
