// Bounds and settings of the storage, filled by config/.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

namespace gbgreg::storage {

struct Options {
  // "sqlite:///var/lib/gbgreg/gbgreg.db", an absolute path behind sqlite://, or "postgresql://user:password@host/db",
  // as libpq reads it. It may have a password in it: nobody shows it but by Database::place().
  std::string database_url;
  std::filesystem::path uploads_folder;  // Holds only blobs; the database lives outside of it.

  // At least one for each thread of the storage pool, so that none waits for a connection.
  int database_connections = 4;
  std::chrono::milliseconds database_busy_timeout{5'000};

  int list_limit_max = 200;  // Rows of one page.

  // Of PostgreSQL: to connect; for a statement; without a sign of life from the other side.
  std::chrono::milliseconds database_connect_timeout{3'000};
  std::chrono::milliseconds database_statement_timeout{15'000};
  // Beyond a statement's own time, for its answer: the server would have ended it, so it does not answer at all.
  std::chrono::milliseconds database_answer_grace{3'000};
  std::chrono::milliseconds database_silence_max{10'000};
};

}  // namespace gbgreg::storage
