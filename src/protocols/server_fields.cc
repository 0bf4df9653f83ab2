#include "protocols/server_fields.h"

namespace gbgreg::protocols {
namespace {

std::string_view name_at(Takes server, const ServerField& field) {
  switch (server) {
    case Takes::engine:
      return field.engine;
    case Takes::vllm:
      return field.vllm;
    case Takes::openai:
      return field.openai;
  }
  return {};
}

bool is_asked_for(const llm::Request& request, std::string_view name) {
  const llm::Sampling& sampling = request.sampling;
  if (name == "top_k") return sampling.top_k.has_value();
  if (name == "min_p") return sampling.min_p.has_value();
  if (name == "typical_p") return sampling.typical_p.has_value();
  if (name == "repeat_penalty") return sampling.repeat_penalty.has_value();
  if (name == "repeat_last_n") return sampling.repeat_last_n.has_value();
  return name == "think" && request.think.has_value();
}

}  // namespace

std::string_view name_at(Takes server, std::string_view ours) {
  for (const ServerField& field : kServerFields) {
    if (field.name == ours) return name_at(server, field);
  }
  return {};
}

std::vector<std::string> fields_left_out(const llm::Request& request, Takes server, std::string_view think_name) {
  std::vector<std::string> names;
  for (const ServerField& field : kServerFields) {
    if (!name_at(server, field).empty() || !is_asked_for(request, field.name)) continue;
    names.emplace_back(field.name == "think" ? think_name : field.name);
  }
  return names;
}

}  // namespace gbgreg::protocols
