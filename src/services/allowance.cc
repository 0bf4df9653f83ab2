#include "services/allowance.h"

#include <algorithm>
#include <string>
#include <variant>

namespace gbgreg::services {
namespace {

constexpr std::int64_t kBytesOfAToken = 4;
constexpr std::int64_t kTokensOfAnImage = 256;

std::int64_t tokens_in(std::size_t bytes) {
  return (static_cast<std::int64_t>(bytes) + kBytesOfAToken - 1) / kBytesOfAToken;
}

std::int64_t prompt_tokens(const llm::Request& request) {
  std::int64_t tokens = tokens_in(request.schema_json.size());
  for (const llm::Message& message : request.messages) {
    tokens += 1 + tokens_in(message.text.size() + message.thinking.size());
    tokens += kTokensOfAnImage * static_cast<std::int64_t>(message.images.size());
    for (const llm::ToolCall& call : message.tool_calls) tokens += tokens_in(call.name.size() + call.arguments.size());
  }
  for (const llm::Tool& tool : request.tools) {
    tokens += tokens_in(tool.name.size() + tool.description.size() + tool.parameters_json.size());
  }
  return tokens;
}

}  // namespace

Backends open_to(const llm::Caller* caller, Backends all) {
  if (caller == nullptr || !caller->is_restricted()) return all;
  auto open = std::make_shared<std::vector<llm::BackendView>>(*all);
  std::erase_if(*open, [&](const llm::BackendView& backend) { return !caller->may_use(backend.role); });
  return open;
}

std::unexpected<Error> role_closed(const llm::Caller& caller, std::string_view role,
                                   const std::vector<llm::BackendView>& backends) {
  std::vector<std::string_view> open;
  for (const llm::BackendView& backend : backends) {
    const bool is_known = std::ranges::find(open, backend.role) != open.end();
    if (!is_known && caller.may_use(backend.role)) open.push_back(backend.role);
  }
  std::string message = "This key may not use the role ";
  message.append(role).append(", which would answer that. It may use: ");
  for (std::size_t i = 0; i < open.size(); ++i) message.append(i == 0 ? "" : ", ").append(open[i]);
  message.append(open.empty() ? "none of those that are here." : ".");
  return fail(Kind::forbidden, "role_not_allowed", std::move(message));
}

std::int64_t tokens_expected(const llm::Request& request) {
  return prompt_tokens(request) + std::max(0, request.sampling.tokens_max.value_or(0));
}

std::int64_t tokens_expected(const llm::EmbedRequest& request) {
  std::int64_t tokens = 0;
  for (const llm::EmbedInput& input : request.inputs) {
    const auto* text = std::get_if<std::string>(&input);
    tokens +=
        text != nullptr ? tokens_in(text->size()) : static_cast<std::int64_t>(std::get<llm::TokenIds>(input).size());
  }
  return tokens;
}

Spending::~Spending() {
  if (is_asked_ && request_.caller != nullptr) request_.caller->spent(seen());
}

void Spending::told(const llm::Usage& usage) {
  is_asked_ = false;
  if (request_.caller == nullptr) return;
  const std::int64_t tokens =
      std::int64_t{std::max(0, usage.prompt_tokens)} + std::int64_t{std::max(0, usage.completion_tokens)};
  // Some servers do not say.
  request_.caller->spent(tokens > 0 ? tokens : seen());
}

std::int64_t Spending::seen() const { return prompt_tokens(request_) + pieces_; }

}  // namespace gbgreg::services
