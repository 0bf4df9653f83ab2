// Which fields beside OpenAI's own a server understands, and under which names. Strict servers refuse a request for one
// that they do not know, and others pass over it in silence, so only these are sent, and what is left out is told.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "llm/llm.h"

namespace gbgreg::protocols {

enum class Takes : std::uint8_t {
  engine,  // llama-server.
  vllm,
  openai,  // OpenAI's own and nothing else, as far as is known; Ollama's /v1 passes over the rest.
};

struct ServerField {
  std::string_view name;                  // Ours.
  std::string_view engine, vllm, openai;  // Empty: it has nothing like it.
};

inline constexpr std::array<ServerField, 6> kServerFields{{
    {"top_k", "top_k", "top_k", ""},
    {"min_p", "min_p", "min_p", ""},
    {"typical_p", "typical_p", "", ""},
    {"repeat_penalty", "repeat_penalty", "repetition_penalty", ""},
    {"repeat_last_n", "repeat_last_n", "", ""},
    {"think", "chat_template_kwargs", "chat_template_kwargs", ""},
}};

// What a server calls our field of this name, which stands in the table; empty when it has none.
std::string_view name_at(Takes server, std::string_view ours);

// The names of what `request` asks for and such a server is not sent, in the order of the table. `think_name` is what
// the client's dialect calls thinking.
std::vector<std::string> fields_left_out(const llm::Request& request, Takes server, std::string_view think_name);

}  // namespace gbgreg::protocols
