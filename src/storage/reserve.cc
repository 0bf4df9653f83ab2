#include "storage/reserve.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "storage/blob_store.h"

namespace gbgreg::storage {

void Reserve::hold() {
  const std::scoped_lock lock(mutex_);
  hold_locked();
}

void Reserve::keeper_came() {
  const std::scoped_lock lock(mutex_);
  ++keepers_;
}

void Reserve::keeper_left() {
  const std::scoped_lock lock(mutex_);
  if (--keepers_ == 0) hold_locked();
}

void Reserve::hold_locked() {
  if (held_) return;
  disk_.remove(path_);  // A former run's.
  if (!is_wanted_) return;
  const OwnedFile file(disk_.create(path_));
  held_ = file.is_open() && fill(file.get());
  if (held_) return;
  disk_.remove(path_);
  spdlog::warn("the disk has no room for the reserve of {} bytes that lets uploads be deleted when it is full",
               kReserveBytes);
}

bool Reserve::release() {
  const std::scoped_lock lock(mutex_);
  held_ = false;
  if (!is_wanted_) return false;
  return disk_.remove(path_) == 0;
}

bool Reserve::fill(int file) {
  // Not allocated: the reserve is also taken where nothing may be thrown.
  static constexpr std::array<char, 64UL * 1024> block{};
  for (std::uint64_t written = 0; written < kReserveBytes;) {
    const ssize_t got = disk_.write(file, block.data(), std::min<std::uint64_t>(block.size(), kReserveBytes - written));
    if (got <= 0) return false;
    written += static_cast<std::uint64_t>(got);
  }
  return disk_.sync(file) == 0;
}

}  // namespace gbgreg::storage
