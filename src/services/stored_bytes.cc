#include "services/stored_bytes.h"

#include <spdlog/spdlog.h>

namespace gbgreg::services {

StoredBytes::Lock StoredBytes::lock(std::string_view sha256) {
  const char digit = sha256.front();
  const int index = digit <= '9' ? digit - '0' : digit - 'a' + 10;
  return Lock(mutexes_[static_cast<std::size_t>(index)]);
}

// Always in the same order, so that two who want all of them do not wait for each other.
StoredBytes::AllLocks StoredBytes::lock_all() {
  AllLocks locks;
  for (std::size_t i = 0; i < locks.size(); ++i) locks[i] = Lock(mutexes_[i]);
  return locks;
}

void StoredBytes::remove_if_unused(const std::string& sha256) {
  const auto used = uploads_.uses(sha256);
  if (used && !*used) remove(sha256);
}

void StoredBytes::remove(const std::string& sha256) {
  const auto removed = blobs_.remove(sha256);
  if (!removed) spdlog::warn("unused bytes stay until the next start: {}", removed.error().detail);
}

}  // namespace gbgreg::services
