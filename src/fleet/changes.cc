#include "fleet/changes.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string_view>

namespace gbgreg::fleet {
namespace {

std::string word(int number) { return std::to_string(number); }
std::string word(bool yes) { return yes ? "true" : "false"; }
std::string word(const std::string& text) { return text; }
std::string word(const std::optional<int>& number) { return number ? std::to_string(*number) : "what there is"; }
std::string word(const net::ServerUrl& url) {
  return (url.is_secure ? "https://" : "http://") + url.authority + url.base_path;
}
std::string word(CacheType cache) { return cache == CacheType::q8_0 ? "q8_0" : "f16"; }
std::string word(const std::optional<std::chrono::milliseconds>& keep_alive) {
  return keep_alive ? std::to_string(keep_alive->count() / 1000) : "-1";
}
// Sentences go to clients, so they name files, but not where they are.
std::string word(const std::filesystem::path& file) { return file.empty() ? "none" : file.filename().string(); }
std::string word(gpu::DevicePolicy device) {
  return device == gpu::DevicePolicy::cpu           ? "cpu"
         : device == gpu::DevicePolicy::require_gpu ? "require_gpu"
                                                    : "prefer_gpu";
}
std::string word(ServerKind kind) {
  switch (kind) {
    case ServerKind::openai:
      return "openai";
    case ServerKind::ollama:
      return "ollama";
    case ServerKind::vllm:
      return "vllm";
    case ServerKind::llama_server:
      return "llama-server";
  }
  return "openai";
}
std::string word(const std::optional<Pooling>& pooling) {
  if (!pooling) return "the model's own";
  return *pooling == Pooling::mean ? "mean" : *pooling == Pooling::cls ? "cls" : "last";
}

class Comparison {
 public:
  template <class Value>
  void adjusts(std::string_view key, const Value& before, const Value& after) {
    if (before != after) note(Difference::adjusts, said(key, word(before), word(after)));
  }
  template <class Value>
  void replaces(std::string_view key, const Value& before, const Value& after) {
    if (before != after) note(Difference::replaces, said(key, word(before), word(after)));
  }
  void note(Difference difference, std::string_view words) {
    change_.difference = std::max(change_.difference, difference);
    if (!change_.words.empty()) change_.words += ", ";
    change_.words += words;
  }
  Change made() && { return std::move(change_); }

 private:
  static std::string said(std::string_view key, const std::string& before, const std::string& after) {
    std::string words(key);
    if (before == after) return words.append(" ").append(after).append(" of another folder");
    return words.append(" ").append(after).append(" instead of ").append(before);
  }

  Change change_;
};

}  // namespace

Change compare(const WorkerOptions& before, const WorkerOptions& after) {
  Comparison comparison;
  if (before.is_stored != after.is_stored) {
    comparison.note(Difference::replaces,
                    after.is_stored ? "a fetched model instead of a file" : "the file " + word(after.model_file));
  } else if (!after.is_stored) {
    comparison.replaces("file", before.model_file, after.model_file);
    comparison.replaces("mmproj", before.projector_file, after.projector_file);
  }
  comparison.replaces("embeddings", before.embeds, after.embeds);
  comparison.replaces("pooling", before.pooling, after.pooling);
  comparison.replaces("context", before.context_tokens, after.context_tokens);
  comparison.replaces("slots", before.slots, after.slots);
  comparison.replaces("threads", before.threads, after.threads);
  comparison.replaces("batch", before.batch_tokens, after.batch_tokens);
  comparison.replaces("device", before.device, after.device);
  comparison.replaces("gpu_layers", before.gpu_layers, after.gpu_layers);
  comparison.replaces("cache", before.cache, after.cache);
  comparison.replaces("port", before.port, after.port);
  comparison.adjusts("dimensions_min", before.dimensions_min, after.dimensions_min);
  comparison.adjusts("objective_ms", before.objective_ms, after.objective_ms);
  comparison.adjusts("keep_alive", before.keep_alive, after.keep_alive);
  comparison.adjusts("allow_cpu", before.allow_cpu, after.allow_cpu);
  comparison.adjusts("place in its role", before.preference + 1, after.preference + 1);
  return std::move(comparison).made();
}

Change compare(const ServerOptions& before, const ServerOptions& after) {
  Comparison comparison;
  comparison.replaces("kind", before.kind, after.kind);
  comparison.replaces("url", word(before.url), word(after.url));
  comparison.replaces("ca_file", before.ca_file, after.ca_file);
  if (before.key != after.key) comparison.note(Difference::replaces, "another key");
  comparison.adjusts("slots", before.slots, after.slots);
  return std::move(comparison).made();
}

Change compare(const OutsideModelOptions& before, const OutsideModelOptions& after) {
  Comparison comparison;
  comparison.adjusts("served_as", before.served_as, after.served_as);
  comparison.adjusts("sees_images", before.sees_images, after.sees_images);
  comparison.adjusts("embeddings", before.embeds, after.embeds);
  comparison.adjusts("context", before.context_tokens, after.context_tokens);
  comparison.adjusts("objective_ms", before.objective_ms, after.objective_ms);
  comparison.adjusts("place in its role", before.preference + 1, after.preference + 1);
  return std::move(comparison).made();
}

}  // namespace gbgreg::fleet
