// A database of either kind that is filled and asked here, in a folder that the caller removes.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "storage/options.h"
#include "storage/private_postgres.h"

namespace gbgreg::bench {

class House {
 public:
  // `kind` is "sqlite" or "postgresql". Throws std::runtime_error.
  House(const std::string& kind, std::filesystem::path folder);

  storage::Options options() const;
  const std::filesystem::path& folder() const { return folder_; }
  // The kernel forgets what it holds of the files, and PostgreSQL, which is started again, what it held itself.
  void forget_caches();
  double gigabytes() const;
  // Of the process, or of PostgreSQL's, the most that it has had in memory.
  static double megabytes_at_most();

 private:
  std::filesystem::path folder_;
  std::unique_ptr<storage::PrivatePostgres> postgres_;
  std::string url_;
};

}  // namespace gbgreg::bench
