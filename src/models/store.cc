#include "models/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/utf8.h"
#include "models/sha256.h"
#include "storage/blob_store.h"

namespace gbgreg::models {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_in(const fs::path& folder, std::size_t most) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (names.size() >= most) break;
    names.push_back(entry->path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

// Every name that the folders spell and that is one.
std::vector<Name> names_of(const fs::path& manifests) {
  std::vector<Name> names;
  for (const std::string& host : names_in(manifests, kModelsListedMax)) {
    for (const std::string& space : names_in(manifests / host, kModelsListedMax)) {
      for (const std::string& model : names_in(manifests / host / space, kModelsListedMax)) {
        for (const std::string& tag : names_in(manifests / host / space / model, kModelsListedMax)) {
          const Name name{.host = host, .space = space, .model = model, .tag = tag};
          if (is_valid(name)) names.push_back(name);
          if (names.size() >= kModelsListedMax) return names;
        }
      }
    }
  }
  return names;
}

WallTime modified_of(const fs::path& file) {
  struct stat status{};
  if (::stat(file.c_str(), &status) != 0) return {};
  return WallTime(std::chrono::duration_cast<WallTime::duration>(std::chrono::seconds(status.st_mtim.tv_sec) +
                                                                 std::chrono::nanoseconds(status.st_mtim.tv_nsec)));
}

std::unexpected<Error> not_stored(const Name& name) {
  return fail(
      Kind::not_found, "model_not_stored",
      "The model " + short_name(name) + " is not on this machine. Fetch it: gbgreg models pull " + short_name(name));
}

}  // namespace

Result<std::string> read_small_file(const fs::path& path, std::size_t bytes_max) {
  // Not blocking, because somebody may have put a pipe there.
  const storage::OwnedFile file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) {
    const bool is_absent = errno == ENOENT || errno == ENOTDIR;
    return fail(is_absent ? Kind::not_found : Kind::forbidden, is_absent ? "file_not_found" : "file_not_readable",
                "The file cannot be read.", path.string());
  }
  struct stat status{};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return fail(Kind::forbidden, "file_not_readable", "The file cannot be read.", path.string());
  }
  std::string text(bytes_max + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(Kind::forbidden, "file_not_readable", "The file cannot be read.", path.string());
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > bytes_max) return fail(Kind::too_large, "file_too_large", "The file is too large.", path.string());
  text.resize(size);
  return text;
}

std::vector<Stored> Store::list() const {
  std::vector<Stored> all;
  for (const Name& name : names_of(root_ / "manifests")) {
    if (auto stored = read(name)) all.push_back(std::move(*stored));
  }
  return all;
}

Result<Stored> Store::find(const Name& name) const {
  auto stored = read(name);
  if (stored || stored.error().kind != Kind::not_found) return stored;
  const auto names = names_of(root_ / "manifests");
  const auto same = std::ranges::find_if(names, [&](const Name& other) { return is_same(name, other); });
  if (same == names.end()) return not_stored(name);
  return read(*same);
}

Result<Stored> Store::read(const Name& name) const {
  const fs::path path = manifest_path(name);
  const auto text = read_small_file(path, kManifestBytesMax);
  if (!text && text.error().kind == Kind::not_found) return not_stored(name);
  if (!text) {
    return fail(Kind::forbidden, "model_not_readable",
                "The model " + short_name(name) +
                    " is there, but this user may not read it. Add the user that runs gbgreg to the group of the "
                    "folder of models, or make the folder readable.",
                path.string());
  }
  auto manifest = parse_manifest(*text);
  if (!manifest) return std::unexpected(std::move(manifest.error()));
  return Stored{
      .name = name, .manifest = std::move(*manifest), .digest = sha256_of(*text), .modified = modified_of(path)};
}

fs::path Store::manifest_path(const Name& name) const {
  return root_ / "manifests" / name.host / name.space / name.model / name.tag;
}

fs::path Store::blob_path(const std::string& sha256) const { return root_ / "blobs" / ("sha256-" + sha256); }

bool Store::has(const Layer& layer) const {
  const fs::path path = blob_path(layer.sha256);
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return false;
  return static_cast<std::uint64_t>(status.st_size) == layer.size_bytes && ::access(path.c_str(), R_OK) == 0;
}

std::string Store::text(const Layer& layer) const {
  auto text = read_small_file(blob_path(layer.sha256), kTextBytesMax);
  return text ? to_valid_utf8(*text) : std::string();
}

ModelConfig Store::config(const Manifest& manifest) const {
  return manifest.config.sha256.empty() ? ModelConfig{} : parse_config(text(manifest.config));
}

}  // namespace gbgreg::models
