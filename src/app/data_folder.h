// The folder that holds everything a gateway keeps: the database unless that is elsewhere, uploads/, projects/, and the
// workers' sockets.
#pragma once

#include <filesystem>
#include <string>

#include "config/config.h"
#include "core/core.h"
#include "storage/disk.h"

namespace gbgreg::app {

// Made where it is missing, and locked until this object goes, so that two gateways never write to one folder. A new
// one is its owner's only. The mode of one that was there is not ours to change, for it may be /tmp: where others may
// write it is refused, because they could plant files among ours; where they may look into it the log says so, and what
// is inside is private by its own modes.
class DataFolder {
 public:
  // What is made is there after a loss of power too. Errors: unavailable (cannot be made or written, or others may
  // write), conflict (another gateway has it).
  static Result<DataFolder> open(const std::filesystem::path& root, storage::Disk& disk);

  // Whether a gateway has the folder, without making anything in it.
  static bool is_in_use(const std::filesystem::path& root);
  static std::filesystem::path database_in(const std::filesystem::path& root) { return root / "gbgreg.sqlite"; }
  static std::filesystem::path uploads_in(const std::filesystem::path& root) { return root / "uploads"; }

  DataFolder(DataFolder&& other) noexcept;
  DataFolder& operator=(DataFolder&&) = delete;
  ~DataFolder();

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path database() const { return database_in(root_); }
  std::filesystem::path uploads() const { return uploads_in(root_); }
  std::filesystem::path reserve() const { return root_ / "reserve"; }
  std::filesystem::path records_spool() const { return root_ / "records.spool"; }
  // For the workers' sockets: inside the data folder, or in /tmp when that path is too long for a Unix socket. The one
  // in /tmp has the same name at every start, so that a gateway that was killed leaves nothing for good.
  const std::filesystem::path& run() const { return run_; }

 private:
  explicit DataFolder(std::filesystem::path root) : root_(std::move(root)) {}

  // The parts of open().
  Result<void> make(storage::Disk& disk) const;
  Result<void> lock();
  void make_database_private() const;
  Result<void> make_run_folder();

  std::filesystem::path root_;
  std::filesystem::path run_;
  bool run_is_temporary_ = false;
  int lock_ = -1;
};

// The URL of the database that a configuration means. It may have a password in it.
std::string database_url(const config::Config& config);

}  // namespace gbgreg::app
