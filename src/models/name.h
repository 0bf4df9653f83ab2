// What a model is called, and where it is fetched from. Pure; any thread.
//
// A name is Ollama's: HOST/NAMESPACE/MODEL:TAG, of which all but MODEL may be left out: "llama3.1:8b" is
// registry.ollama.ai/library/llama3.1:8b. Its parts become folders, so they are checked letter by letter.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace gbgreg::models {

inline constexpr std::string_view kDefaultHost = "registry.ollama.ai";
inline constexpr std::string_view kDefaultNamespace = "library";
inline constexpr std::string_view kDefaultTag = "latest";
inline constexpr std::size_t kPartBytesMax = 80;  // Of a namespace, a model or a tag; a host may have more.
inline constexpr std::size_t kHostBytesMax = 253;
inline constexpr std::size_t kUrlBytesMax = 2048;
inline constexpr int kShardsMax = 999;  // Of one model.

struct Name {
  std::string host{kDefaultHost};
  std::string space{kDefaultNamespace};
  std::string model = {};
  std::string tag{kDefaultTag};

  bool operator==(const Name&) const = default;
};

// Errors: malformed bad_model_name.
Result<Name> parse_name(std::string_view text);

// Each part as parse_name would take it: what a folder says may be anything.
bool is_valid(const Name& name);

// As short as parse_name understands it, with its tag: "llama3.1:8b", "hf.co/org/repo:Q4_K_M".
std::string short_name(const Name& name);

// The same model, whatever the case of the letters: people type q4_k_m for Q4_K_M.
bool is_same(const Name& one, const Name& other);

// Where the bytes are: a registry that speaks Ollama's protocol, or single files.
struct Source {
  Name name;                            // What the model will be called.
  std::string base;                     // "https://example.org": scheme and authority, and nothing more.
  std::string projector = {};           // The URL of a projector, beside files.
  std::vector<std::string> files = {};  // Whole URLs, shard after shard; empty for a registry.
};

// Understands a name, "hf.co/ORG/REPO:FILE.gguf", and "https://HOST/ORG/REPO/resolve/REVISION/FILE.gguf". Of a sharded
// file (…-00001-of-00003.gguf) any shard names all of them. Plain http is for this machine only, where it is what a
// name without a scheme means. Errors: malformed bad_model_name, bad_model_url.
Result<Source> parse_source(std::string_view text);

// "https://x:5000" to "x:5000".
std::string_view authority_of(std::string_view base);
// A name or an address of this machine, with or without a port.
bool is_loopback(std::string_view authority);

// Of a shard's file name: "m-00002-of-00003.gguf" is the second of three of "m". Absent when it is no shard's.
struct Shard {
  std::string stem;
  int number = 0;  // From 1 on.
  int count = 0;
};
std::optional<Shard> parse_shard(std::string_view file_name);
std::string shard_file_name(std::string_view stem, int number, int count);

}  // namespace gbgreg::models
