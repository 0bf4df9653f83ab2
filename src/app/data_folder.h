// The folder that holds everything a gateway keeps: database, uploads/, projects/, and the workers' sockets.
#pragma once

#include <filesystem>

#include "core/core.h"

namespace gbgreg::app {

// Made where it is missing, private to its owner, and locked until this object goes, so that two gateways never write
// to one folder.
class DataFolder {
 public:
  // Errors: unavailable (cannot be made or written), conflict (another gateway has it).
  static Result<DataFolder> open(const std::filesystem::path& root);

  DataFolder(DataFolder&& other) noexcept;
  DataFolder& operator=(DataFolder&&) = delete;
  ~DataFolder();

  std::filesystem::path database() const { return root_ / "gbgreg.sqlite"; }
  std::filesystem::path uploads() const { return root_ / "uploads"; }
  std::filesystem::path projects() const { return root_ / "projects"; }
  // Inside the data folder, or in a short temporary folder when the path is too long for a Unix socket.
  const std::filesystem::path& run() const { return run_; }

 private:
  explicit DataFolder(std::filesystem::path root) : root_(std::move(root)) {}

  std::filesystem::path root_;
  std::filesystem::path run_;
  bool run_is_temporary_ = false;
  int lock_ = -1;
};

}  // namespace gbgreg::app
