// Fetches a model, whole: from a registry that speaks Ollama's protocol, or file by file as from Hugging Face.
//
// Blocking: for a thread that may wait for hours. Any thread; several may pull at once, into one store.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "core/error.h"
#include "models/options.h"
#include "models/own_store.h"

namespace gbgreg::models {

// In their order. A blob that is there already is told as one that is complete.
enum class PullStage : std::uint8_t { manifest, blob, verifying, writing, done };

struct PullProgress {
  PullStage stage = PullStage::manifest;
  std::string sha256 = {};  // Of a blob; of one whose digest nobody knows yet, its file's name.
  std::uint64_t completed_bytes = 0;
  std::optional<std::uint64_t> total_bytes = {};
};

// Called on the pulling thread, for each piece that comes.
using TellProgress = std::function<void(const PullProgress&)>;

// Errors: those of download(); backend_failed bad_manifest; unavailable storage_full before a byte is fetched.
Result<Stored> pull(const OwnStore& store, const FetchOptions& options, const Source& source, const TellProgress& tell,
                    const std::stop_token& stop);

// Puts model files that are here into the store: shards in their order, then perhaps a projector. Copied where they
// cannot be shared with the disk's help. Errors: refused not_gguf, not_found file_not_found, cancelled, unavailable.
struct Import {
  Name name;
  std::vector<std::filesystem::path> files;
  std::filesystem::path projector = {};
  ModelConfig config = {};
};
Result<Stored> import_model(const OwnStore& store, const Import& wanted, const TellProgress& tell,
                            const std::stop_token& stop);

// The files of a model of which one is named: all of its shards, each of which must be there. Errors: not_found
// file_not_found.
Result<std::vector<std::filesystem::path>> all_shards(const std::filesystem::path& file);

// What a token is asked of, in a WWW-Authenticate field; absent when it is nothing that we can do. Pure.
std::optional<std::string> token_url(std::string_view authenticate);

}  // namespace gbgreg::models
