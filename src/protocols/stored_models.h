// Models on the disk, and their fetching, in Ollama's words and in ours. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "llm/llm.h"
#include "protocols/options.h"

namespace gbgreg::protocols {

struct StoredModel {
  std::string name;         // "llama3.1:8b"
  std::string digest = {};  // Of its manifest: 64 hexadecimal digits.
  std::int64_t size_bytes = 0;
  WallTime modified = {};
  std::string family = {};  // "llama"; empty when not known, like the next two.
  std::string parameter_size = {};
  std::string quantization = {};
  int files = 1;  // Of the weights: more than one when they are sharded.
  bool sees_images = false;
  bool is_own = true;                   // In our own store; else in a folder of Ollama's.
  std::vector<std::string> roles = {};  // That use it.
  // For POST /api/show.
  std::string template_text = {};
  std::string parameters = {};
  std::string system = {};
  std::string license = {};
  std::optional<int> context_tokens = {};
  std::optional<int> embedding_numbers = {};
  bool embeds = false;
};

// How far a fetching is. `label` is the digest of what is fetched, or its file's name where that is not known.
struct PullStep {
  enum class Stage : std::uint8_t { manifest, blob, verifying, writing, done };
  Stage stage = Stage::manifest;
  std::string label = {};
  std::int64_t completed_bytes = 0;
  std::optional<std::int64_t> total_bytes = {};
};

struct PullAsked {
  std::string model;
  bool stream = true;
};

// {"model":…,"stream"?:…}; `name` for `model` is Ollama's older word. Errors: malformed.
Result<PullAsked> parse_pull(std::string_view body, const Limits& limits);

namespace ollama {

// GET /api/tags: what the fleet shows, told by the store where that knows more, and then what else is on the disk.
// `is_same` says whether two names mean one model.
using IsSame = bool (*)(std::string_view one, std::string_view other);
std::string write_tags(std::span<const llm::BackendView> backends, std::span<const StoredModel> stored, IsSame is_same,
                       WallTime now);
// POST /api/show of one that no role uses.
std::string write_model(const StoredModel& model);
// A line of POST /api/pull, with its line feed.
void write_pull_step(std::string& out, const PullStep& step);

}  // namespace ollama

namespace native {

// GET /api/models.
std::string write_models(std::span<const StoredModel> stored);
// A line of POST /api/models/pull, with its line feed.
void write_pull_step(std::string& out, const PullStep& step);

}  // namespace native

}  // namespace gbgreg::protocols
