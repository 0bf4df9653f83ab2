#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "core/ids.h"
#include "models/pull.h"
#include "models/sha256.h"

namespace gbgreg::models {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPieceBytes = 1024 * 1024;

std::unexpected<Error> disk_failure(std::string doing) {
  return std::unexpected(storage::disk_error(errno, std::move(doing)));
}

std::unexpected<Error> not_found(const fs::path& file) {
  return fail(Kind::not_found, "file_not_found",
              "The file " + file.filename().string() + " is not there, or may not be read.", file.string());
}

// A copy in the store's folder, removed again by the destructor unless it was kept.
class Copy {
 public:
  explicit Copy(const OwnStore& store)
      : store_(store), path_(store.partial_path(new_uuid(std::chrono::system_clock::now()))) {}
  ~Copy() { store_.disk().remove(path_.string()); }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

  const fs::path& path() const { return path_; }

  // The digest of what was copied. Some file systems share the bytes of a file with its copy until one is changed.
  Result<std::string> of(int source, std::uint64_t size, const std::function<void(std::uint64_t)>& tell,
                         const std::stop_token& stop) {
    const storage::OwnedFile file(store_.disk().create(path_.string()));
    if (!file.is_open()) return disk_failure("create a copy of a model");
    const bool is_shared = ::ioctl(file.get(), FICLONE, source) == 0;
    Sha256 hash;
    std::vector<char> buffer(kPieceBytes);
    for (std::uint64_t at = 0; at < size;) {
      if (stop.stop_requested()) return fail(Kind::cancelled, "cancelled", "The import was given up.");
      const ssize_t got = ::pread(source, buffer.data(), buffer.size(), static_cast<off_t>(at));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return disk_failure("read a model");
      hash.add({buffer.data(), static_cast<std::size_t>(got)});
      for (ssize_t done = 0; !is_shared && done < got;) {
        const ssize_t written =
            store_.disk().write(file.get(), buffer.data() + done, static_cast<std::size_t>(got - done));
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return disk_failure("copy a model");
        done += written;
      }
      at += static_cast<std::uint64_t>(got);
      tell(at);
    }
    if (store_.disk().sync(file.get()) != 0) return disk_failure("sync a copy of a model");
    return hash.finish();
  }

 private:
  const OwnStore& store_;
  fs::path path_;
};

Result<Layer> import_file(const OwnStore& store, const fs::path& path, std::string_view media_type,
                          const TellProgress& tell, const std::stop_token& stop) {
  const storage::OwnedFile source(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status{};
  if (!source.is_open() || ::fstat(source.get(), &status) != 0 || !S_ISREG(status.st_mode)) return not_found(path);
  std::string magic(4, '\0');
  if (::pread(source.get(), magic.data(), magic.size(), 0) != 4 || magic != "GGUF") {
    return fail(Kind::refused, "not_gguf", "The file " + path.filename().string() + " is no GGUF model.");
  }
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (auto room = store.check_room(size); !room) return std::unexpected(std::move(room.error()));
  const auto tell_bytes = [&](std::uint64_t completed) {
    tell({.stage = PullStage::blob,
          .sha256 = path.filename().string(),
          .completed_bytes = completed,
          .total_bytes = size});
  };
  Copy copy(store);
  auto sha256 = copy.of(source.get(), size, tell_bytes, stop);
  if (!sha256) return std::unexpected(std::move(sha256.error()));
  Layer layer{.media_type = std::string(media_type), .sha256 = std::move(*sha256), .size_bytes = size};
  if (store.store().has(layer)) return layer;
  if (auto kept = store.keep(copy.path(), layer.sha256); !kept) return std::unexpected(std::move(kept.error()));
  return layer;
}

}  // namespace

Result<Stored> import_model(const OwnStore& store, const Import& wanted, const TellProgress& tell,
                            const std::stop_token& stop) {
  const auto lock = store.hold_for_writing();
  if (!lock) return std::unexpected(lock.error());
  Manifest manifest;
  for (const fs::path& file : wanted.files) {
    auto layer = import_file(store, file, kModelType, tell, stop);
    if (!layer) return std::unexpected(std::move(layer.error()));
    manifest.layers.push_back(std::move(*layer));
  }
  if (!wanted.projector.empty()) {
    auto layer = import_file(store, wanted.projector, kProjectorType, tell, stop);
    if (!layer) return std::unexpected(std::move(layer.error()));
    manifest.layers.push_back(std::move(*layer));
  }
  auto config = store.put(write_config(wanted.config), kConfigType);
  if (!config) return std::unexpected(std::move(config.error()));
  manifest.config = std::move(*config);
  tell({.stage = PullStage::writing});
  if (auto written = store.put_manifest(wanted.name, write_manifest(manifest)); !written) {
    return std::unexpected(std::move(written.error()));
  }
  tell({.stage = PullStage::done});
  return store.store().find(wanted.name);
}

Result<std::vector<fs::path>> all_shards(const fs::path& file) {
  const auto shard = parse_shard(file.filename().string());
  std::vector<fs::path> files;
  if (!shard) files.push_back(file);
  for (int number = 1; shard && number <= shard->count; ++number) {
    files.push_back(file.parent_path() / shard_file_name(shard->stem, number, shard->count));
  }
  for (const fs::path& each : files) {
    std::error_code unknown;
    if (!fs::is_regular_file(each, unknown)) return not_found(each);
  }
  return files;
}

}  // namespace gbgreg::models
