#include "house.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <stdexcept>
#include <utility>

namespace gbgreg::bench {

namespace fs = std::filesystem;

House::House(const std::string& kind, fs::path folder) : folder_(std::move(folder)) {
  if (kind == "sqlite") {
    url_ = "sqlite://" + (folder_ / "x.db").string();
    return;
  }
  if (kind != "postgresql") throw std::runtime_error("The database is sqlite or postgresql.");
  postgres_ = std::make_unique<storage::PrivatePostgres>(storage::PrivatePostgres::Settings::as_installed);
  url_ = postgres_->new_place();
}

storage::Options House::options() const { return {.database_url = url_, .uploads_folder = folder_ / "uploads"}; }

void House::forget_caches() {
  if (postgres_) postgres_->stop();
  ::sync();
  std::error_code ignored;
  for (fs::recursive_directory_iterator file(folder_, ignored), end; file != end; file.increment(ignored)) {
    if (!file->is_regular_file(ignored)) continue;
    const int opened = ::open(file->path().c_str(), O_RDONLY | O_CLOEXEC);
    if (opened < 0) continue;
    ::posix_fadvise(opened, 0, 0, POSIX_FADV_DONTNEED);
    ::close(opened);
  }
  if (postgres_) postgres_->start();
}

double House::gigabytes() const {
  double bytes = 0;
  std::error_code ignored;
  for (fs::recursive_directory_iterator file(folder_, ignored), end; file != end; file.increment(ignored)) {
    if (file->is_regular_file(ignored)) bytes += static_cast<double>(file->file_size(ignored));
  }
  return bytes / 1e9;
}

double House::megabytes_at_most() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_maxrss) / 1024;
}

}  // namespace gbgreg::bench
