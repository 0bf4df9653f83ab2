#include "fleet/engine_log.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <functional>

#include "core/utf8.h"

namespace gbgreg::fleet {
namespace {

namespace json = boost::json;

constexpr std::string_view kStatePrefix = "cmd_child_to_router:state:";
constexpr std::size_t kFirstErrorsMax = 2;
constexpr std::size_t kLastWordsLines = 20;  // How far back a complaint still belongs to the end.
constexpr std::size_t kLastWordsBytesMax = 400;
constexpr std::size_t kComplaintsMax = 32;
constexpr std::size_t kArchitecturesMax = 64;
constexpr std::size_t kDevicesMax = 64;
constexpr double kMegabytesMax = 1e9;  // Of one buffer.
constexpr int kLayersMax = 100'000;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

// Printable, one line, bounded; bytes that are no valid UTF-8 would break the JSON that the line ends up in.
std::string printable(std::string_view text) {
  std::string clean;
  clean.reserve(std::min(text.size(), kLogLineBytesMax));
  while (!text.empty()) {
    const CodePoint next = first_code_point(text);
    if (clean.size() + (next.is_valid ? next.bytes : 1) > kLogLineBytesMax) break;
    if (!next.is_valid) {
      clean.push_back('?');
    } else if (next.value < 0x20 || next.value == 0x7f) {
      clean.push_back(' ');
    } else {
      clean.append(text.substr(0, next.bytes));
    }
    text.remove_prefix(next.bytes);
  }
  return clean;
}

void cut_out(std::string& text, std::string_view what) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) text.erase(at, what.size());
}

bool is_of_a_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

// Leaves the last name of each absolute path: "'/home/me/x.gguf'" becomes "'x.gguf'". "20/33 layers", "a / b" and
// "http://x" are none.
std::string without_folders(std::string_view text) {
  constexpr std::string_view kEndsAPath = " '\"`,;()<>[]{}|";
  std::string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    const char before = clean.empty() ? ' ' : clean.back();
    const bool begins =
        text.front() == '/' && text.size() > 1 && is_of_a_name(text[1]) && before != '/' && !is_of_a_name(before);
    if (begins) {
      const std::string_view path = text.substr(0, text.find_first_of(kEndsAPath));
      text.remove_prefix(path.rfind('/') + 1);
      if (text.empty() || !is_of_a_name(text.front())) continue;
    }
    clean.push_back(text.front());
    text.remove_prefix(1);
  }
  return clean;
}

LogLevel level_of(std::string_view word) {
  if (word == "error") return LogLevel::error;
  if (word == "warn") return LogLevel::warning;
  if (word == "debug") return LogLevel::debug;
  return LogLevel::info;
}

struct PlainLine {
  LogLevel level = LogLevel::info;
  std::string_view text;
  bool is_entry = false;  // Of the engine's own log.
};

// "0.00.000.609 I srv  llama_server: initializing ...": what the engine writes before --log-jsonl takes effect. Any
// other plain line is a complaint: of the argument parser, of the loader of shared libraries, of an assertion.
PlainLine read_plain(std::string_view line) {
  const std::size_t space = line.find(' ');
  const bool stamped = space != std::string_view::npos && space > 0 && space + 2 < line.size() &&
                       line.substr(0, space).find_first_not_of("0123456789.") == std::string_view::npos &&
                       line[space + 2] == ' ';
  // An entry of --log-jsonl that was cut off, being too long.
  if (line.starts_with('{')) return {.level = LogLevel::error, .text = line, .is_entry = true};
  if (!stamped) return {.level = LogLevel::error, .text = line};
  const char letter = line[space + 1];
  const LogLevel level = letter == 'E' ? LogLevel::error : letter == 'W' ? LogLevel::warning : LogLevel::info;
  return {.level = level, .text = line.substr(space + 3), .is_entry = true};
}

// "/src/ggml.c:98: GGML_ASSERT(…) failed", or the C++ library's word for an exception that nobody caught.
bool announces_abort(std::string_view line) {
  if (line.starts_with("terminate called")) return true;
  const std::string_view place = line.substr(0, line.find(": "));
  const std::size_t colon = place.rfind(':');
  return colon != std::string_view::npos && colon + 1 < place.size() &&
         place.find_first_not_of("0123456789", colon + 1) == std::string_view::npos &&
         place.find(' ') == std::string_view::npos;
}

const json::value* member(const json::value& value, std::string_view name) {
  const json::object* object = value.if_object();
  return object == nullptr ? nullptr : object->if_contains(name);
}

std::string_view text_of(const json::value* value) {
  if (value == nullptr || !value->is_string()) return {};
  return value->get_string();
}

// {"stages":["text_model","mmproj_model"],"current":"text_model","value":0.5}
std::optional<double> read_progress(const json::value& payload) {
  const json::value* stages = member(payload, "stages");
  const json::value* value = member(payload, "value");
  const std::string_view current = text_of(member(payload, "current"));
  if (stages == nullptr || !stages->is_array() || value == nullptr || !value->is_number()) return std::nullopt;
  const json::array& names = stages->get_array();
  std::size_t index = 0;
  while (index < names.size() && text_of(&names[index]) != current) ++index;
  if (index == names.size()) return std::nullopt;
  const double within = std::clamp(value->to_number<double>(), 0.0, 1.0);
  return (static_cast<double>(index) + within) / static_cast<double>(names.size());
}

std::optional<EngineState> read_state(std::string_view text) {
  boost::system::error_code failure;
  const json::value state = json::parse(text, failure);
  if (failure) return std::nullopt;
  const std::string_view name = text_of(member(state, "state"));
  if (name == "ready") return EngineState{.stage = EngineStage::ready};
  if (name != "loading") return std::nullopt;
  const json::value* payload = member(state, "payload");
  return EngineState{.stage = EngineStage::loading, .progress = payload ? read_progress(*payload) : std::nullopt};
}

std::optional<int> read_layers(std::string_view& text) {
  text = trimmed(text);
  int number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc() || number < 0 || number > kLayersMax) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// "CPU", "CPU_Mapped", "CPU_REPACK", "AMX", "BLAS" and the pinned "CUDA_Host" are memory of the host.
bool is_host_memory(std::string_view buffer) {
  return buffer.starts_with("CPU") || buffer.starts_with("AMX") || buffer.starts_with("BLAS") ||
         buffer.find("_Host") != std::string_view::npos;
}

// "CUDA0_Split" is on CUDA0.
std::string_view device_of(std::string_view buffer) { return buffer.substr(0, buffer.find('_')); }

}  // namespace

EngineLog::EngineLog(std::size_t lines_max, std::vector<std::string> folders)
    : lines_max_(std::max<std::size_t>(lines_max, 1)), folders_(std::move(folders)) {
  std::erase_if(folders_, [](const std::string& folder) { return folder.empty() || folder == "/"; });
  for (std::string& folder : folders_) {
    if (!folder.ends_with('/')) folder.push_back('/');
  }
  std::ranges::sort(folders_, std::ranges::greater(), &std::string::size);
}

EngineWord EngineLog::take(Stream stream, std::string_view line) {
  const std::string_view text = trimmed(line);
  if (text.empty()) return {};
  // The state of the engine is taken from stdout alone, as its own router does it.
  if (stream == Stream::out && text.starts_with(kStatePrefix)) {
    const auto state = read_state(text.substr(kStatePrefix.size()));
    if (state && state->stage == EngineStage::ready) was_ready_ = true;
    return {.state = state};
  }
  if (text.front() == '{') {
    boost::system::error_code failure;
    const json::value entry = json::parse(text, failure);
    if (!failure) {
      if (text_of(member(entry, "type")) != "log") return {};  // Tables for programs; the log repeats them.
      const std::string_view message = trimmed(text_of(member(entry, "msg")));
      if (!was_ready_) {
        read_evidence(message);
        read_memory(message);
        read_architectures(message);
      }
      const LogLevel level = level_of(text_of(member(entry, "level")));
      return {.log_line = keep(level, message, may_be_told(stream, true))};
    }
  }
  const PlainLine plain = read_plain(text);
  const LogLevel level = stream == Stream::err ? plain.level : LogLevel::info;
  const LogLine* kept = keep(level, plain.text, may_be_told(stream, plain.is_entry));
  if (was_ready_ && kept != nullptr && kept->may_be_told && announces_abort(plain.text)) abort_ = kept->text;
  return {.log_line = kept};
}

// Before it is ready nobody has asked it anything. Afterwards an entry of its own log can quote a request; only what
// goes to stderr past that log is told: an assertion, a complaint of a loader. And nothing after the word that it
// aborts, because the exception's text and a debugger's list of calls can quote a request again.
bool EngineLog::may_be_told(Stream stream, bool is_entry) const {
  return !was_ready_ || (stream == Stream::err && !is_entry && !abort_);
}

const LogLine* EngineLog::keep(LogLevel level, std::string_view text, bool may_be_told) {
  // "srv init_listene: api_keys: ****abcd" has a part of our key.
  if (text.empty() || text.find("api_key") != std::string_view::npos) return nullptr;
  std::string clean = printable(text);
  for (const std::string& folder : folders_) cut_out(clean, folder);
  clean = without_folders(clean);
  if (level == LogLevel::error && !was_ready_ && first_errors_.size() < kFirstErrorsMax) {
    if (std::ranges::find(first_errors_, clean) == first_errors_.end()) first_errors_.push_back(clean);
  }
  const bool is_complaint = level == LogLevel::error || level == LogLevel::warning;
  if (is_complaint && may_be_told && complaints_.size() < kComplaintsMax) complaints_.push_back(clean);
  lines_.push_back({.level = level, .text = std::move(clean), .may_be_told = may_be_told});
  if (lines_.size() > lines_max_) lines_.pop_front();
  return &lines_.back();
}

// The lines as the engine's source (v0.5.0, src/llama.cpp, src/llama-model.cpp, tools/mtmd/clip.cpp) writes them:
//   llama_prepare_model_devices: using device CUDA0 (NVIDIA GeForce RTX 5070 Ti) (0000:01:00.0) - 15800 MiB free
//   load_tensors: loading model tensors, this can take a while... (load_mode = mmap)
//   load_tensors: offloaded 33/33 layers to GPU
//   load_tensors:        CUDA0 model buffer size =  4403.49 MiB
//   clip_ctx: CLIP using CUDA0 backend
void EngineLog::read_evidence(std::string_view text) {
  if (const std::size_t colon = text.find(": using device "); colon != std::string_view::npos) {
    const std::string_view name = text.substr(colon + std::string_view(": using device ").size());
    if (!is_host_memory(name)) device_named_ = true;
    return;
  }
  if (take_prefix(text, "print_info: n_layer ")) {
    text = trimmed(text);
    if (take_prefix(text, "=")) layers_ = read_layers(text);
    return;
  }
  if (take_prefix(text, "clip_ctx: CLIP using ")) {
    projector_device_ = text.substr(0, text.find(' '));
    return;
  }
  if (!take_prefix(text, "load_tensors:")) return;
  text = trimmed(text);
  if (text.starts_with("loading model tensors")) {
    // An earlier attempt with more layers may have been given up: only the last one counts.
    weights_ = {};
    offloaded_ = offloadable_ = std::nullopt;
    return;
  }
  if (take_prefix(text, "offloaded ")) {
    const auto offloaded = read_layers(text);
    if (!offloaded || !take_prefix(text, "/")) return;
    const auto offloadable = read_layers(text);
    if (!offloadable || *offloaded > *offloadable || !text.starts_with(" layers to GPU")) return;
    offloaded_ = offloaded;
    offloadable_ = offloadable;
    return;
  }
  const std::size_t size = text.find(" model buffer size =");
  if (size == std::string_view::npos) return;
  const std::string_view buffer = trimmed(text.substr(0, size));
  if (is_host_memory(buffer)) {
    weights_.host = true;
  } else if (!buffer.empty() && weights_.devices.size() < kDevicesMax) {
    const std::string device(device_of(buffer));
    if (std::ranges::find(weights_.devices, device) == weights_.devices.end()) weights_.devices.push_back(device);
  }
}

// The lines as the engine writes them:
//   load_tensors:   CPU_REPACK model buffer size =  1299.38 MiB
//   llama_kv_cache:      CUDA0 KV buffer size =   896.00 MiB
//   sched_reserve:  CUDA_Host compute buffer size =    10.00 MiB
//   load_hparams: model size:         595.49 MiB
void EngineLog::read_memory(std::string_view text) {
  constexpr std::string_view kProjector = "load_hparams: model size:";
  constexpr std::string_view kSize = " buffer size =";
  if (text.starts_with("load_tensors: loading model tensors")) memory_ = {};  // An earlier attempt was given up.
  std::string_view number;
  bool is_on_host = true;
  if (text.starts_with(kProjector)) {
    number = text.substr(kProjector.size());
    is_on_host = !projector_device_ || is_host_memory(*projector_device_);
  } else if (const std::size_t size = text.find(kSize); size != std::string_view::npos) {
    const std::size_t colon = text.find(": ");
    if (colon == std::string_view::npos || colon > size) return;
    is_on_host = is_host_memory(trimmed(text.substr(colon + 2, size - colon - 2)));
    number = text.substr(size + kSize.size());
  }
  number = trimmed(number);
  double megabytes = 0;
  const auto [end, failure] = std::from_chars(number.data(), number.data() + number.size(), megabytes);
  const bool is_a_size =
      failure == std::errc() && number.ends_with(" MiB") && megabytes >= 0 && megabytes < kMegabytesMax;
  if (!is_a_size) return;
  (is_on_host ? memory_.host : memory_.devices) += static_cast<std::int64_t>(megabytes * 1024 * 1024);
}

// As the module for CUDA describes itself:
//   system_info: n_threads = 4 (n_threads_batch = 4) / 8 | CUDA : ARCHS = 750,800,860,890,1200 | USE_GRAPHS = 1 | …
void EngineLog::read_architectures(std::string_view text) {
  constexpr std::string_view kArchitectures = "CUDA : ARCHS = ";
  const std::size_t at = text.find(kArchitectures);
  if (at == std::string_view::npos || !architectures_.empty()) return;
  text.remove_prefix(at + kArchitectures.size());
  while (architectures_.size() < kArchitecturesMax) {
    int architecture = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), architecture);
    if (failure != std::errc()) return;
    architectures_.push_back(architecture);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (!take_prefix(text, ",")) return;
  }
}

llm::Placement EngineLog::placement() const {
  llm::Placement placement;
  placement.gpu_layers = offloaded_;
  placement.total_layers = offloadable_;
  // The engine counts the output layer as one more than the model's own layers.
  if (!offloadable_ && layers_) placement.total_layers = *layers_ + 1;

  const bool projector_on_host = !projector_device_ || is_host_memory(*projector_device_);
  if (projector_device_) placement.projector = projector_on_host ? "CPU" : printable(*projector_device_);
  for (const std::string& device : weights_.devices) placement.devices.push_back(printable(device));
  if (!projector_on_host && std::ranges::find(weights_.devices, *projector_device_) == weights_.devices.end()) {
    placement.devices.push_back(printable(*projector_device_));
  }
  if (weights_.devices.empty()) {
    // An engine with a GPU module says "offloaded 0/33": as good a proof as the silence of one without.
    const bool no_gpu = !device_named_ || offloaded_ == 0;
    if (!weights_.host || !no_gpu) return placement;
    placement.device = projector_on_host ? "CPU" : "mixed";
    // One with a module that is kept off all devices says "offloaded 33/33", and means the processor.
    if (placement.total_layers) placement.gpu_layers = 0;
    return placement;
  }
  const std::string& device = weights_.devices.front();
  const bool all_layers = offloaded_ && offloaded_ == offloadable_ && weights_.devices.size() == 1;
  const bool projector_there = !projector_device_ || *projector_device_ == device;
  placement.device = all_layers && projector_there ? printable(device) : "mixed";
  return placement;
}

std::string EngineLog::last_words() const {
  std::vector<std::string_view> words;
  if (!was_ready_) {
    words.assign(first_errors_.begin(), first_errors_.end());
  } else if (abort_) {
    words.push_back(*abort_);  // However long a list of calls came after it.
  } else {
    const std::size_t from = lines_.size() > kLastWordsLines ? lines_.size() - kLastWordsLines : 0;
    for (std::size_t i = from; i < lines_.size() && words.size() < kFirstErrorsMax; ++i) {
      if (lines_[i].level == LogLevel::error && lines_[i].may_be_told) words.push_back(lines_[i].text);
    }
  }
  std::string joined;
  for (const std::string_view word : words) {
    if (!joined.empty()) joined += " | ";
    joined += word;
  }
  return joined.size() > kLastWordsBytesMax ? printable(std::string_view(joined).substr(0, kLastWordsBytesMax))
                                            : joined;
}

}  // namespace gbgreg::fleet
