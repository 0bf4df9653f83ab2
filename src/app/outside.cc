#include "app/outside.h"

#include "backends/openai_backend.h"

namespace gbgreg::app {
namespace {

backends::OpenAiOptions options_of(const fleet::ServerOptions& server, const fleet::OutsideModelOptions& model,
                                   net::Address address) {
  using Lists = backends::OpenAiOptions::Lists;
  backends::OpenAiOptions options{
      .address = std::move(address), .key = server.key, .model = model.served_as, .name = model.model};
  if (server.kind == fleet::ServerKind::ollama) options.lists = Lists::ollama;
  if (server.kind == fleet::ServerKind::vllm) options.takes = protocols::Takes::vllm;
  if (server.kind == fleet::ServerKind::llama_server) {
    options.takes = protocols::Takes::engine;
    options.lists = Lists::llama_server;
    options.counts_tokens = true;
  }
  return options;
}

}  // namespace

Result<void> OutsideBackends::adopt(const std::vector<fleet::ServerOptions>& servers) {
  const std::lock_guard lock(mutex_);
  std::map<std::string, Known> next;
  for (const fleet::ServerOptions& server : servers) {
    const auto known = known_.find(server.name);
    if (known != known_.end() && known->second.url == server.url && known->second.ca_file == server.ca_file) {
      next[server.name] = known->second;
      continue;
    }
    auto address = net::server_address(server.url, server.ca_file);
    if (!address) {
      address.error().message = "server `" + server.name + "`: " + address.error().message;
      return std::unexpected(std::move(address.error()));
    }
    next[server.name] = {.url = server.url, .ca_file = server.ca_file, .address = std::move(*address)};
  }
  known_ = std::move(next);
  return {};
}

fleet::OutsideFactory OutsideBackends::factory() const {
  return [this](const fleet::ServerOptions& server, const fleet::OutsideModelOptions& model) {
    const std::lock_guard lock(mutex_);
    return std::make_shared<backends::OpenAiBackend>(options_of(server, model, known_.at(server.name).address));
  };
}

}  // namespace gbgreg::app
