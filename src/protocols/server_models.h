// Which models an outside server says it has, and how long their prompts may be. The servers are not trusted: what they
// say is bounded, and what is not understood is not known. Pure; any thread. Fuzzed (fuzz/server_models).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gbgreg::protocols {

struct ServerModel {
  std::string name;                        // Printable ASCII.
  std::optional<int> context_tokens = {};  // Where the list says it.
  bool operator==(const ServerModel&) const = default;
};

struct ServerModels {
  static constexpr std::size_t kModelsMax = 2'000;   // More are left out …
  static constexpr std::size_t kNameBytesMax = 256;  // … as are those whose names are longer, or not printable.
  static constexpr int kContextTokensMax = 100'000'000;
  static constexpr int kJsonDepthMax = 16;

  bool is_told = false;  // There was a list, and it was understood.
  std::vector<ServerModel> models = {};
};

// GET /v1/models: {"data":[{"id":…,"max_model_len":…}]}, and what others call that length.
ServerModels read_openai_list(std::string_view body);
// Ollama's GET /api/tags: {"models":[{"name":…}]}.
ServerModels read_ollama_list(std::string_view body);

// Of Ollama's POST /api/show: what the model file sets as `num_ctx`, else Ollama's own default of 4096, and never more
// than the model was trained for. Absent when neither is told.
std::optional<int> read_ollama_context(std::string_view body);
// Of llama-server's GET /props: the context of one slot.
std::optional<int> read_llama_context(std::string_view body);

// Ollama's names: a tag that is not said is `latest`, and the case of letters does not count.
bool is_ollama_name(std::string_view listed, std::string_view asked);

}  // namespace gbgreg::protocols
