// Any bytes as a model's name, as an address, as a manifest, as a config and as a field of a server's answer: what is
// taken can be a path and be written again.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "models/fetch.h"
#include "models/manifest.h"
#include "models/name.h"
#include "models/pull.h"
#include "models/store.h"
#include "storage/blob_store.h"

namespace {

namespace models = gbgreg::models;

void check(bool holds) {
  if (!holds) std::abort();
}

void check_name(const models::Name& name) {
  check(models::is_valid(name));
  const auto again = models::parse_name(models::short_name(name));
  check(again && *again == name);
  // Its path stays below the folder of manifests, four steps down.
  const auto path = models::Store("/s").manifest_path(name);
  check(path.lexically_normal() == path && std::ranges::distance(path) == 7);
}

void check_source(const models::Source& source) {
  check_name(source.name);
  const bool is_secure = source.base.starts_with("https://");
  check(is_secure || (source.base.starts_with("http://") && models::is_loopback(models::authority_of(source.base))));
  for (const std::string& url : source.files) {
    check(url.starts_with(source.base + "/") && url.ends_with(".gguf") && !url.contains("/../"));
    check(std::ranges::all_of(url, [](char c) { return c > ' ' && c < 0x7f && c != '@' && c != '%'; }));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto name = models::parse_name(text)) check_name(*name);
  if (const auto source = models::parse_source(text)) check_source(*source);
  if (const auto shard = models::parse_shard(text)) {
    check(models::shard_file_name(shard->stem, shard->number, shard->count) == text);
  }
  if (const auto manifest = models::parse_manifest(text)) {
    for (const auto& layer : manifest->blobs()) check(gbgreg::storage::is_sha256(layer.sha256));
    const auto again = models::parse_manifest(models::write_manifest(*manifest));
    check(manifest->config.sha256.empty() || (again && *again == *manifest));
  }
  models::parse_config(text);
  models::params_text(text);
  models::FetchHead head;
  models::read_field(text, head);
  check(head.linked_sha256.empty() || gbgreg::storage::is_sha256(head.linked_sha256));
  if (const auto url = models::token_url(text)) check(!url->contains('\n') && !url->contains('@'));
  return 0;
}
