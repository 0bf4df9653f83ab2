// What outside servers say of their models is bounded, and printable where it is told to people.
#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "protocols/server_models.h"

using gbgreg::protocols::ServerModel;
using gbgreg::protocols::ServerModels;

namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

void check(const std::optional<int>& tokens) {
  check(!tokens || (*tokens >= 1 && *tokens <= ServerModels::kContextTokensMax));
}

void check(const ServerModels& told) {
  check(told.is_told || told.models.empty());
  check(told.models.size() <= ServerModels::kModelsMax);
  for (const ServerModel& model : told.models) {
    check(!model.name.empty() && model.name.size() <= ServerModels::kNameBytesMax);
    check(std::ranges::all_of(model.name, [](char c) { return c > ' ' && c < 0x7f; }));
    check(model.context_tokens);
    (void)gbgreg::protocols::is_ollama_name(model.name, "llama3.1");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  check(gbgreg::protocols::read_openai_list(body));
  check(gbgreg::protocols::read_ollama_list(body));
  check(gbgreg::protocols::read_ollama_context(body));
  check(gbgreg::protocols::read_llama_context(body));
  return 0;
}
