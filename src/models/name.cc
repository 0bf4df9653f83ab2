#include "models/name.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdio>

namespace gbgreg::models {
namespace {

constexpr std::string_view kGguf = ".gguf";
constexpr std::string_view kResolve = "resolve";
constexpr std::array<std::string_view, 2> kHuggingFace = {"hf.co", "huggingface.co"};

std::unexpected<Error> bad_name() {
  return fail(Kind::malformed, "bad_model_name",
              "A model's name is like llama3.1:8b, someone/model:tag or hf.co/org/repo:Q4_K_M: letters, digits and "
              "_ - . in parts of at most 80 characters.");
}

std::unexpected<Error> bad_url(std::string why) { return fail(Kind::malformed, "bad_model_url", std::move(why)); }

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// Not "." nor "..", nor anything with a slash: it begins with a letter, a digit or an underscore.
bool is_part(std::string_view text, std::string_view also) {
  if (text.empty() || text.size() > kPartBytesMax) return false;
  if (!is_letter_or_digit(text.front()) && text.front() != '_') return false;
  return std::ranges::all_of(text, [&](char c) { return is_letter_or_digit(c) || also.contains(c); });
}

// "example.org", "127.0.0.1:5000", "[::1]:5000".
bool is_host(std::string_view text) {
  if (text.empty() || text.size() > kHostBytesMax) return false;
  if (!is_letter_or_digit(text.front()) && text.front() != '[') return false;
  return std::ranges::all_of(text,
                             [](char c) { return is_letter_or_digit(c) || std::string_view("-._:[]").contains(c); });
}

// Of what follows the host in a URL. Nothing is decoded, so nothing that is escaped gets through.
bool is_path_segment(std::string_view text) {
  if (text.empty() || text == "." || text == "..") return false;
  return std::ranges::all_of(text,
                             [](char c) { return is_letter_or_digit(c) || std::string_view("-._~+").contains(c); });
}

std::vector<std::string_view> split(std::string_view text, char by) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(by);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool equal_but_for_case(std::string_view one, std::string_view other) {
  return std::ranges::equal(one, other,
                            [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
}

bool is_hugging_face(std::string_view host) { return std::ranges::find(kHuggingFace, host) != kHuggingFace.end(); }

std::string base_for(std::string_view host, std::string_view scheme) {
  const std::string_view used = scheme.empty() ? (is_loopback(host) ? "http" : "https") : scheme;
  return std::string(used) + "://" + std::string(host);
}

// The files behind HOST/ORG/REPO/resolve/REVISION/FOLDERS…/FILE.gguf.
Result<Source> source_of_files(std::string_view host, std::string_view scheme, std::string_view path) {
  const auto parts = split(path, '/');
  if (parts.size() < 5 || parts[2] != kResolve || !std::ranges::all_of(parts, is_path_segment)) {
    return bad_url(
        "The address of a model is like https://HOST/ORG/REPO/resolve/main/FILE.gguf, of letters, digits "
        "and - _ . ~ + only.");
  }
  const std::string_view file = parts.back();
  if (!file.ends_with(kGguf)) return bad_url("The address must end with the name of a GGUF file: FILE.gguf.");
  const auto shard = parse_shard(file);
  Source source{.name = {.host = std::string(host),
                         .space = std::string(parts[0]),
                         .model = std::string(parts[1]),
                         .tag = shard ? shard->stem : std::string(file.substr(0, file.size() - kGguf.size()))},
                .base = base_for(host, scheme),
                .projector = {}};
  if (!is_valid(source.name)) {
    return bad_url(
        "No name can be made of this address: each part of it may have at most 80 characters, and the "
        "file's name only letters, digits and _ - . in it. Say --name NAME.");
  }
  const std::string folder = source.base + "/" + std::string(path.substr(0, path.size() - file.size()));
  const int count = shard ? shard->count : 1;
  for (int number = 1; number <= count; ++number) {
    source.files.push_back(folder + (shard ? shard_file_name(shard->stem, number, count) : std::string(file)));
  }
  return source;
}

}  // namespace

bool is_valid(const Name& name) {
  return is_host(name.host) && is_part(name.space, "_-.") && is_part(name.model, "_-.") && is_part(name.tag, "_-.");
}

Result<Name> parse_name(std::string_view text) {
  Name name;
  const auto parts = split(text, '/');
  if (parts.size() > 3) return bad_name();
  const auto last = split(parts.back(), ':');
  if (last.size() > 2) return bad_name();
  name.model = last[0];
  if (last.size() == 2) name.tag = last[1];
  if (parts.size() >= 2) name.space = parts[parts.size() - 2];
  if (parts.size() == 3) name.host = parts[0];
  if (!is_valid(name)) return bad_name();
  return name;
}

std::string short_name(const Name& name) {
  std::string text;
  const bool is_default_host = name.host == kDefaultHost;
  if (!is_default_host) text += name.host + "/";
  if (!is_default_host || name.space != kDefaultNamespace) text += name.space + "/";
  return text + name.model + ":" + name.tag;
}

bool is_same(const Name& one, const Name& other) {
  return equal_but_for_case(one.host, other.host) && equal_but_for_case(one.space, other.space) &&
         equal_but_for_case(one.model, other.model) && equal_but_for_case(one.tag, other.tag);
}

Result<Source> parse_source(std::string_view text) {
  if (text.size() > kUrlBytesMax)
    return bad_url("The address is longer than " + std::to_string(kUrlBytesMax) + " bytes.");
  std::string_view scheme;
  std::string_view rest = text;
  if (const std::size_t at = text.find("://"); at != std::string_view::npos) {
    scheme = text.substr(0, at);
    rest = text.substr(at + 3);
    if (scheme != "https" && scheme != "http") return bad_url("Models are fetched by https.");
  }
  const std::size_t slash = rest.find('/');
  const std::string_view host = rest.substr(0, slash);
  const bool has_host = !scheme.empty() || (slash != std::string_view::npos && rest.find('/', slash + 1) != rest.npos);
  if (has_host && !is_host(host)) return bad_url("The address has no host that could be asked.");
  if (scheme == "http" && !is_loopback(host)) {
    return bad_url("Models come by https from other machines: what comes by http could be changed on its way.");
  }
  if (has_host && slash != std::string_view::npos) {
    const std::string_view path = rest.substr(slash + 1);
    const auto parts = split(path, '/');
    if (parts.size() > 2 && parts[2] == kResolve) return source_of_files(host, scheme, path);
    // hf.co/ORG/REPO:FILE.gguf, or with folders before the file.
    const std::size_t colon = path.find(':');
    if (is_hugging_face(host) && colon != path.npos && path.ends_with(kGguf)) {
      const std::string whole =
          std::string(path.substr(0, colon)) + "/resolve/main/" + std::string(path.substr(colon + 1));
      return source_of_files(host, scheme, whole);
    }
  }
  auto name = parse_name(rest);
  if (!name) return std::unexpected(std::move(name.error()));
  // Shorter names are taken with what they leave out filled in; behind a scheme that would be a host nobody named.
  if (!scheme.empty() && name->host != host) {
    return bad_url("The address of a model in a registry is like https://HOST/NAMESPACE/MODEL:TAG.");
  }
  Source source{.name = std::move(*name), .base = {}};
  source.base = base_for(source.name.host, scheme);
  return source;
}

std::string_view authority_of(std::string_view base) {
  const std::size_t at = base.find("://");
  return at == base.npos ? base : base.substr(at + 3);
}

bool is_loopback(std::string_view authority) {
  if (authority.starts_with("[::1]")) return true;
  const std::string_view host = authority.substr(0, authority.find(':'));
  if (host == "localhost") return true;
  // 127.0.0.1 and its like, and no name that only begins so.
  return host.starts_with("127.") &&
         std::ranges::all_of(host, [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

std::optional<Shard> parse_shard(std::string_view file_name) {
  constexpr std::string_view kForm = "-00001-of-00003.gguf";
  if (file_name.size() <= kForm.size() || !file_name.ends_with(kGguf)) return std::nullopt;
  const std::string_view end = file_name.substr(file_name.size() - kForm.size());
  if (end[0] != '-' || end.substr(6, 4) != "-of-") return std::nullopt;
  Shard shard{.stem = std::string(file_name.substr(0, file_name.size() - kForm.size()))};
  const auto read = [](std::string_view digits, int& out) {
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    return error == std::errc{} && stop == digits.data() + digits.size() && digits.front() != '-';
  };
  if (!read(end.substr(1, 5), shard.number) || !read(end.substr(10, 5), shard.count)) return std::nullopt;
  if (shard.number < 1 || shard.number > shard.count || shard.count > kShardsMax) return std::nullopt;
  return shard;
}

std::string shard_file_name(std::string_view stem, int number, int count) {
  std::array<char, 32> end{};
  std::snprintf(end.data(), end.size(), "-%05d-of-%05d.gguf", number, count);
  return std::string(stem) + end.data();
}

}  // namespace gbgreg::models
