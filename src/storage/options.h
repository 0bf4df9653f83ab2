// Bounds and settings of the storage, filled by config/.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

namespace gbgreg::storage {

struct Options {
  std::string database_url;              // "sqlite:///var/lib/gbgreg/gbgreg.db": an absolute path behind sqlite://.
  std::filesystem::path uploads_folder;  // Holds only blobs; the database lives outside of it.

  // At least one for each thread of the storage pool, so that none waits for a connection.
  int database_connections = 4;
  std::chrono::milliseconds database_busy_timeout{5'000};

  int list_limit_max = 200;  // Rows of one page.
};

}  // namespace gbgreg::storage
