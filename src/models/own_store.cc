#include "models/own_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "core/ids.h"
#include "models/sha256.h"

namespace gbgreg::models {
namespace {

namespace fs = std::filesystem;

std::unexpected<Error> disk_failure(std::string doing) {
  return std::unexpected(storage::disk_error(errno, std::move(doing)));
}

Result<void> write_all(storage::Disk& disk, int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = disk.write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return disk_failure("write a file of a model");
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

std::string megabytes(std::uint64_t bytes) { return std::to_string((bytes + 999'999) / 1'000'000) + " MB"; }

std::uint64_t size_of(const fs::path& file) {
  std::error_code unknown;
  const auto size = fs::file_size(file, unknown);
  return unknown ? 0 : size;
}

}  // namespace

Result<storage::OwnedFile> OwnStore::hold_for_writing() const {
  if (auto made = make_folders(); !made) return std::unexpected(std::move(made.error()));
  storage::OwnedFile lock(::open((store_.root() / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.is_open()) return disk_failure("open the lock of the models");
  // Who holds it alone removes a few files and is done at once.
  while (::flock(lock.get(), LOCK_SH) != 0) {
    if (errno != EINTR) return disk_failure("lock the models");
  }
  return lock;
}

Result<storage::OwnedFile> OwnStore::hold_alone() const {
  if (auto made = make_folders(); !made) return std::unexpected(std::move(made.error()));
  storage::OwnedFile lock(::open((store_.root() / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.is_open()) return disk_failure("open the lock of the models");
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  return fail(
      Kind::conflict, "pull_under_way",
      "A model is being fetched at the moment, and nothing can be removed meanwhile. Try again when it is done.");
}

Result<void> OwnStore::check_room(std::uint64_t bytes) const {
  struct statvfs disk{};
  if (::statvfs(store_.root().c_str(), &disk) != 0) return disk_failure("ask for the free space");
  const std::uint64_t free_bytes = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  if (bytes == 0 || free_bytes >= bytes + kFreeBytesKept) return {};
  return std::unexpected(Error{.kind = Kind::unavailable,
                               .code = "storage_full",
                               .message = "The model does not fit on the disk: " + megabytes(bytes) +
                                          " are to be fetched, " + megabytes(free_bytes) + " are free, and " +
                                          megabytes(kFreeBytesKept) +
                                          " stay so. Free some space, as by gbgreg models rm, or move the data folder.",
                               .retry_after_seconds = 30});
}

Result<void> OwnStore::keep(const fs::path& partial, const std::string& sha256) const {
  const fs::path path = store_.blob_path(sha256);
  if (disk_.rename(partial.string(), path.string()) != 0) return disk_failure("rename a blob");
  if (disk_.sync_folder(path.parent_path().string()) != 0) return disk_failure("sync the folder of blobs");
  return {};
}

Result<Layer> OwnStore::put(std::string_view bytes, std::string_view media_type) const {
  Layer layer{.media_type = std::string(media_type), .sha256 = sha256_of(bytes), .size_bytes = bytes.size()};
  if (store_.has(layer)) return layer;
  if (auto written = write_file(store_.blob_path(layer.sha256), bytes); !written) {
    return std::unexpected(std::move(written.error()));
  }
  return layer;
}

Result<void> OwnStore::put_manifest(const Name& name, std::string_view bytes) const {
  const fs::path path = store_.manifest_path(name);
  const fs::path space = path.parent_path().parent_path();
  for (const fs::path& folder : {space.parent_path(), space, path.parent_path()}) {
    if (auto made = make_folder(folder); !made) return made;
  }
  return write_file(path, bytes);
}

Result<void> OwnStore::remove(const Name& name) const {
  auto stored = store_.find(name);
  if (!stored) return std::unexpected(std::move(stored.error()));
  const auto lock = hold_alone();
  if (!lock) return std::unexpected(lock.error());
  const fs::path path = store_.manifest_path(stored->name);
  if (disk_.remove(path.string()) != 0 && errno != ENOENT) return disk_failure("remove a manifest");
  if (disk_.sync_folder(path.parent_path().string()) != 0) return disk_failure("sync the folder of a manifest");
  std::error_code ignored;
  fs::remove(path.parent_path(), ignored);  // When it was the last one.
  fs::remove_all(store_.root() / "shards" / stored->digest, ignored);
  std::vector<std::string> blobs;
  for (const Layer& layer : stored->manifest.blobs()) blobs.push_back(layer.sha256);
  remove_unused(blobs);
  return {};
}

Result<std::uint64_t> OwnStore::prune() const {
  const auto lock = hold_alone();
  if (!lock) return std::unexpected(lock.error());
  std::uint64_t bytes = 0;
  std::error_code error;
  for (fs::directory_iterator entry(store_.root() / "partial", error), end; !error && entry != end;
       entry.increment(error)) {
    const std::uint64_t size = size_of(entry->path());
    if (disk_.remove(entry->path().string()) == 0) bytes += size;
  }
  constexpr std::string_view kPrefix = "sha256-";
  std::vector<std::string> blobs;
  for (fs::directory_iterator entry(store_.root() / "blobs", error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with(kPrefix) && storage::is_sha256(name.substr(kPrefix.size()))) {
      blobs.push_back(name.substr(kPrefix.size()));
    }
  }
  return bytes + remove_unused(blobs);
}

std::uint64_t OwnStore::remove_unused(const std::vector<std::string>& candidates) const {
  std::set<std::string> used;
  for (const Stored& stored : store_.list()) {
    for (const Layer& layer : stored.manifest.blobs()) used.insert(layer.sha256);
  }
  std::uint64_t bytes = 0;
  for (const std::string& sha256 : candidates) {
    if (used.contains(sha256)) continue;
    const fs::path path = store_.blob_path(sha256);
    const std::uint64_t size = size_of(path);
    if (disk_.remove(path.string()) == 0) bytes += size;
  }
  return bytes;
}

Result<fs::path> OwnStore::link_shards(const Stored& stored, const Store& of) const {
  constexpr std::string_view kStem = "model";
  const auto shards = stored.manifest.of_type(kModelType);
  const auto count = static_cast<int>(shards.size());
  if (auto made = make_folders(); !made) return std::unexpected(std::move(made.error()));
  const fs::path folder = store_.root() / "shards" / stored.digest;
  if (auto made = make_folder(folder); !made) return std::unexpected(std::move(made.error()));
  for (int number = 1; number <= count; ++number) {
    const fs::path target = fs::absolute(of.blob_path(shards[static_cast<std::size_t>(number) - 1].sha256));
    const fs::path link = folder / shard_file_name(kStem, number, count);
    std::error_code error;
    if (fs::read_symlink(link, error) == target) continue;
    // By a rename, since the engine may be looking at this moment.
    const fs::path fresh = folder / new_uuid(std::chrono::system_clock::now());
    fs::create_symlink(target, fresh, error);
    if (!error) fs::rename(fresh, link, error);
    if (error) return std::unexpected(storage::disk_error(error.value(), "link a shard"));
  }
  return folder / shard_file_name(kStem, 1, count);
}

Result<void> OwnStore::make_folders() const {
  // The data folder may not be there yet; like everything in it, it is its owner's only.
  const fs::path data = store_.root().parent_path();
  std::error_code error;
  fs::create_directories(data.parent_path(), error);
  if (error) return std::unexpected(storage::disk_error(error.value(), "make the folder of models"));
  if (auto made = make_folder(data); !made) return made;
  for (const char* name : {"", "manifests", "blobs", "partial", "shards"}) {
    if (auto made = make_folder(*name == '\0' ? store_.root() : store_.root() / name); !made) return made;
  }
  return {};
}

Result<void> OwnStore::make_folder(const fs::path& folder) const {
  if (disk_.make_folder(folder.string()) != 0) {
    if (errno == EEXIST) return {};
    return disk_failure("make a folder of models");
  }
  if (disk_.sync_folder(folder.parent_path().string()) != 0) return disk_failure("sync a folder of models");
  return {};
}

Result<void> OwnStore::write_file(const fs::path& path, std::string_view bytes) const {
  const std::string temporary = partial_path(new_uuid(std::chrono::system_clock::now())).string();
  const auto give_up = [&](std::unexpected<Error> error) {
    disk_.remove(temporary);
    return error;
  };
  const storage::OwnedFile file(disk_.create(temporary));
  if (!file.is_open()) return disk_failure("create a file of a model");
  if (auto written = write_all(disk_, file.get(), bytes); !written) {
    return give_up(std::unexpected(std::move(written.error())));
  }
  if (disk_.sync(file.get()) != 0) return give_up(disk_failure("sync a file of a model"));
  if (disk_.rename(temporary, path.string()) != 0) return give_up(disk_failure("rename a file of a model"));
  if (disk_.sync_folder(path.parent_path().string()) != 0) return disk_failure("sync a folder of models");
  return {};
}

}  // namespace gbgreg::models
