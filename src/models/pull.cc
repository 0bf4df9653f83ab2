#include "models/pull.h"

#include <algorithm>
#include <boost/json.hpp>

#include "models/download.h"
#include "models/sha256.h"

namespace gbgreg::models {
namespace {

constexpr std::size_t kTokenBytesMax = 64 * 1024;

// A bearer's token must not bring a line of its own into the request.
bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

class Pull {
 public:
  Pull(const OwnStore& store, const FetchOptions& options, const Source& source, const TellProgress& tell,
       const std::stop_token& stop)
      : store_(store), options_(options), source_(source), tell_(tell), stop_(stop) {
    const auto token = options.tokens.find(std::string(authority_of(source.base)));
    if (token != options.tokens.end()) token_ = token->second;
  }

  Result<Stored> run() {
    const auto lock = store_.hold_for_writing();
    if (!lock) return std::unexpected(lock.error());
    tell_({.stage = PullStage::manifest});
    auto written = source_.files.empty() ? pull_from_registry() : pull_files();
    if (!written) return std::unexpected(std::move(written.error()));
    tell_({.stage = PullStage::done});
    return store_.store().find(source_.name);
  }

 private:
  std::string registry(std::string_view what) const {
    return source_.base + "/v2/" + source_.name.space + "/" + source_.name.model + std::string(what);
  }

  Result<void> pull_from_registry() {
    auto text = get_small(registry("/manifests/" + source_.name.tag), kManifestType, kManifestBytesMax);
    if (!text) return std::unexpected(std::move(text.error()));
    auto manifest = parse_manifest(*text);
    if (!manifest) return std::unexpected(std::move(manifest.error()));
    std::vector<Wanted> all;
    for (const Layer& layer : manifest->blobs()) {
      all.push_back({.url = registry("/blobs/sha256:" + layer.sha256),
                     .token = token_,
                     .media_type = layer.media_type,
                     .sha256 = layer.sha256,
                     .size_bytes = layer.size_bytes});
    }
    auto layers = fetch_all(all);
    if (!layers) return std::unexpected(std::move(layers.error()));
    return write(*text);
  }

  Result<void> pull_files() {
    std::vector<Wanted> all;
    for (const std::string& url : source_.files) {
      auto wanted = look_at(url, kModelType);
      if (!wanted) return std::unexpected(std::move(wanted.error()));
      all.push_back(std::move(*wanted));
    }
    if (!source_.projector.empty()) {
      auto wanted = look_at(source_.projector, kProjectorType);
      if (!wanted) return std::unexpected(std::move(wanted.error()));
      all.push_back(std::move(*wanted));
    }
    auto layers = fetch_all(all);
    if (!layers) return std::unexpected(std::move(layers.error()));
    auto config = store_.put(write_config({}), kConfigType);
    if (!config) return std::unexpected(std::move(config.error()));
    return write(write_manifest({.config = std::move(*config), .layers = std::move(*layers)}));
  }

  // What the server says of a file before any of it is fetched.
  Result<Wanted> look_at(const std::string& url, std::string_view media_type) {
    Wanted wanted{.url = url, .token = token_, .media_type = std::string(media_type)};
    const FetchRequest request{.url = url, .is_head = true, .token = token_};
    auto head = try_again([&] { return fetch_well(request, [](std::string_view) -> Result<void> { return {}; }); });
    if (!head) return std::unexpected(std::move(head.error()));
    wanted.sha256 = head->linked_sha256;
    wanted.size_bytes = head->linked_size ? head->linked_size : head->length;
    wanted.etag = head->etag;
    return wanted;
  }

  Result<std::vector<Layer>> fetch_all(const std::vector<Wanted>& all) {
    std::uint64_t missing = 0;
    for (const Wanted& wanted : all) missing += missing_bytes(wanted);
    if (auto room = store_.check_room(missing); !room) return std::unexpected(std::move(room.error()));
    std::vector<Layer> layers;
    for (const Wanted& wanted : all) {
      const TellBytes tell_bytes = [&](std::uint64_t completed, std::optional<std::uint64_t> total) {
        const std::string label = wanted.sha256.empty() ? wanted.url.substr(wanted.url.rfind('/') + 1) : wanted.sha256;
        tell_({.stage = PullStage::blob, .sha256 = label, .completed_bytes = completed, .total_bytes = total});
      };
      tell_bytes(0, wanted.size_bytes);
      auto layer = download(store_, options_, wanted, tell_bytes, stop_);
      if (!layer) return std::unexpected(std::move(layer.error()));
      layers.push_back(std::move(*layer));
    }
    return layers;
  }

  std::uint64_t missing_bytes(const Wanted& wanted) const {
    const std::uint64_t size = wanted.size_bytes.value_or(0);
    const bool is_stored =
        !wanted.sha256.empty() && store_.store().has({.media_type = {}, .sha256 = wanted.sha256, .size_bytes = size});
    if (is_stored) return 0;
    std::error_code none;
    const auto there = std::filesystem::file_size(store_.partial_path(partial_key(wanted)), none);
    return none || there > size ? size : size - there;
  }

  Result<void> write(std::string_view manifest) {
    tell_({.stage = PullStage::verifying});
    tell_({.stage = PullStage::writing});
    return store_.put_manifest(source_.name, manifest);
  }

  // A small text. Whoever asks for a login may be content with a token that anybody gets.
  Result<std::string> get_small(const std::string& url, std::string_view accept, std::size_t bytes_max) {
    std::string text;
    const auto take = [&](std::string_view bytes) -> Result<void> {
      if (text.size() + bytes.size() > bytes_max) {
        return fail(Kind::backend_failed, "answer_too_large", "The server's answer is larger than any needs to be.");
      }
      text += bytes;
      return {};
    };
    const auto get = [&] {
      text.clear();
      return fetch_well({.url = url, .accept = std::string(accept), .token = token_}, take);
    };
    auto head = try_again(get);
    if (!head && head.error().code == "login_needed" && get_token()) head = try_again(get);
    if (!head) return std::unexpected(std::move(head.error()));
    return text;
  }

  // Only for the status that is a success; the body of another is passed over.
  Result<FetchHead> fetch_well(const FetchRequest& request, const TakeBytes& take) {
    const auto check = [&](const FetchHead& head) -> Result<void> {
      if (head.status == 200) return {};
      authenticate_ = head.authenticate;
      return std::unexpected(error_of_status(head.status, request.url));
    };
    return fetch(request, options_, stop_, check, take);
  }

  template <class Work>
  Result<FetchHead> try_again(Work work) {
    auto pause_time = options_.pause_min;
    for (int attempt = 1;; ++attempt) {
      Result<FetchHead> head = work();
      if (head || !is_passing(head.error()) || attempt >= options_.attempts_max) return head;
      if (!pause(pause_time, stop_)) return fail(Kind::cancelled, "cancelled", "The download was given up.");
      pause_time = std::min(pause_time * 2, options_.pause_max);
    }
  }

  bool get_token() {
    // One that was given and is refused is not replaced.
    if (!token_.empty() || asked_for_token_) return false;
    asked_for_token_ = true;
    const auto url = token_url(authenticate_);
    // A registry of this machine may have its tokens here; all others theirs by https.
    const bool is_safe = url && (url->starts_with("https://") || url->starts_with(source_.base + "/"));
    if (!is_safe) return false;
    const auto text = get_small(*url, "application/json", kTokenBytesMax);
    if (!text) return false;
    boost::system::error_code error;
    const auto value = boost::json::parse(*text, error);
    if (error || !value.is_object()) return false;
    for (const char* key : {"token", "access_token"}) {
      const auto* found = value.get_object().if_contains(key);
      if (found != nullptr && found->is_string() && is_token(found->get_string())) token_ = found->get_string();
    }
    return !token_.empty();
  }

  const OwnStore& store_;
  const FetchOptions& options_;
  const Source& source_;
  const TellProgress& tell_;
  const std::stop_token& stop_;
  std::string token_;
  std::string authenticate_;
  bool asked_for_token_ = false;
};

// The value of realm="…" and its like.
std::string quoted_value(std::string_view text, std::string_view key) {
  const std::string begin = std::string(key) + "=\"";
  const std::size_t at = text.find(begin);
  if (at == text.npos) return {};
  const std::string_view rest = text.substr(at + begin.size());
  const std::size_t end = rest.find('"');
  return end == rest.npos ? std::string() : std::string(rest.substr(0, end));
}

std::string escaped(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                          std::string_view("-._~").contains(c);
    if (is_plain) {
      out += c;
    } else {
      out += '%';
      out += kHex[static_cast<unsigned char>(c) >> 4];
      out += kHex[static_cast<unsigned char>(c) & 0xf];
    }
  }
  return out;
}

}  // namespace

std::optional<std::string> token_url(std::string_view authenticate) {
  if (!authenticate.starts_with("Bearer ") && !authenticate.starts_with("bearer ")) return std::nullopt;
  std::string url = quoted_value(authenticate, "realm");
  const bool is_address = url.starts_with("https://") || url.starts_with("http://");
  const bool is_plain = std::ranges::all_of(url, [](char c) { return c > ' ' && c < 0x7f; });
  if (!is_address || !is_plain || url.size() > kUrlBytesMax || url.contains('@')) return std::nullopt;
  for (const char* key : {"service", "scope"}) {
    const std::string value = quoted_value(authenticate, key);
    if (value.empty()) continue;
    url += (url.contains('?') ? "&" : "?") + std::string(key) + "=" + escaped(value);
  }
  return url;
}

Result<Stored> pull(const OwnStore& store, const FetchOptions& options, const Source& source, const TellProgress& tell,
                    const std::stop_token& stop) {
  return Pull(store, options, source, tell, stop).run();
}

}  // namespace gbgreg::models
