// Bounds of what is fetched from other machines, filled by config/.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "models/name.h"

namespace gbgreg::models {

struct FetchOptions {
  std::chrono::seconds connect_timeout{15};
  std::chrono::seconds stall_timeout{30};  // `limits.pull_stall_seconds`: fewer than kBytesPerSecondMin for so long.
  int redirects_max = 5;
  int attempts_max = 6;                      // In a row without a new byte; then whoever asked is told.
  std::chrono::milliseconds pause_min{250};  // Before another attempt; doubled up to the second.
  std::chrono::milliseconds pause_max{4'000};
  // Authorization by the host that asks for it, from the environment. Never logged, and never sent to another host.
  std::map<std::string, std::string> tokens = {};
};

struct Options {
  std::filesystem::path folder = {};                      // Our own store.
  std::vector<std::filesystem::path> other_folders = {};  // `model_stores`: of Ollama's layout, used in place.
  // `registries`: from where a client may have models fetched. Whoever has the command line may name any.
  std::vector<std::string> registries = {std::string(kDefaultHost), "hf.co", "huggingface.co"};
  FetchOptions fetch = {};
};

}  // namespace gbgreg::models
