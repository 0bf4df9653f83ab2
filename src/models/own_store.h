// Our own folder of models, which Ollama could read: the layout of store.h, and beside it
//
//   <root>/lock               held by those who write: shared by pulls and imports, alone by those who remove
//   <root>/partial/KEY        a download that is under way or was broken off; whoever writes it holds a lock on it
//   <root>/shards/DIGEST/     of a sharded model, its shards side by side under the names that the engine wants: links
//
// A blob appears by rename, when its bytes are on the disk and their digest is right; a manifest likewise, when all of
// its blobs are there. So after a loss of power a model is there whole, or not at all. Two processes, such as a gateway
// and `gbgreg models pull`, may use the folder at once.
//
// Blocking: for a thread that may wait. Any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "models/store.h"
#include "storage/blob_store.h"
#include "storage/disk.h"

namespace gbgreg::models {

// What is left free for everything else on the disk, the database above all.
inline constexpr std::uint64_t kFreeBytesKept = 64 * 1024 * 1024;

class OwnStore {
 public:
  // The disk must outlive this. Nothing is made before somebody writes.
  OwnStore(std::filesystem::path root, storage::Disk& disk) : store_(std::move(root)), disk_(disk) {}

  const Store& store() const { return store_; }
  storage::Disk& disk() const { return disk_; }

  // Makes the folders, and holds the store for writing until the lock goes. Errors: unavailable.
  Result<storage::OwnedFile> hold_for_writing() const;

  // Whether so many more bytes fit, and still leave kFreeBytesKept. Errors: unavailable storage_full, which says how
  // much is missing.
  Result<void> check_room(std::uint64_t bytes) const;

  std::filesystem::path partial_path(std::string_view key) const { return store_.root() / "partial" / key; }
  // Gives a partial file, whose bytes are on the disk, its place among the blobs. Errors: unavailable.
  Result<void> keep(const std::filesystem::path& partial, const std::string& sha256) const;
  // A small blob. Errors: unavailable.
  Result<Layer> put(std::string_view bytes, std::string_view media_type) const;
  // From now on the model is there. All of its blobs are. Errors: unavailable.
  Result<void> put_manifest(const Name& name, std::string_view bytes) const;

  // Takes the name away, and those of its blobs that no other model has. Errors: not_found, conflict pull_under_way,
  // unavailable.
  Result<void> remove(const Name& name) const;
  // Removes what no model has: broken downloads, and blobs that their manifests never followed. Gives back how many
  // bytes that were. Errors: conflict pull_under_way, unavailable.
  Result<std::uint64_t> prune() const;

  // The first of a sharded model's files, in a folder of links to the blobs, which may be those of another store.
  // Errors: unavailable.
  Result<std::filesystem::path> link_shards(const Stored& stored, const Store& of) const;

 private:
  Result<void> make_folders() const;
  Result<storage::OwnedFile> hold_alone() const;
  Result<void> make_folder(const std::filesystem::path& folder) const;
  Result<void> write_file(const std::filesystem::path& path, std::string_view bytes) const;
  std::uint64_t remove_unused(const std::vector<std::string>& candidates) const;

  Store store_;
  storage::Disk& disk_;
};

}  // namespace gbgreg::models
