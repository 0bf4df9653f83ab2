#include "app/outside.h"

#include <map>

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

Result<fleet::OutsideFactory> outside_factory(const std::vector<fleet::ServerOptions>& servers) {
  std::map<std::string, net::Address> addresses;
  for (const fleet::ServerOptions& server : servers) {
    auto address = net::server_address(server.url, server.ca_file);
    if (!address) {
      address.error().message = "server `" + server.name + "`: " + address.error().message;
      return std::unexpected(std::move(address.error()));
    }
    addresses[server.name] = std::move(*address);
  }
  return
      [addresses = std::move(addresses)](const fleet::ServerOptions& server, const fleet::OutsideModelOptions& model) {
        return std::make_shared<backends::OpenAiBackend>(options_of(server, model, addresses.at(server.name)));
      };
}

}  // namespace gbgreg::app
