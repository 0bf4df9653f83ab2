// A file of nothing in the data folder. On a full disk SQLite needs some room to forget a row, so without this nobody
// could make space by deleting an upload, and the gateway could not even start: the reserve is given up for that, and
// taken again when there is room.
//
// Any thread may call it. It is a help and not a promise: when the disk cannot hold it, there is none. Nor is there one
// for a database that is elsewhere, which room here would not help.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>

#include "storage/disk.h"

namespace gbgreg::storage {

inline constexpr std::uint64_t kReserveBytes = 1024 * 1024;

class Reserve {
 public:
  enum class Wanted : std::uint8_t { yes, no };
  Reserve(const std::filesystem::path& path, Disk& disk, Wanted wanted = Wanted::yes)
      : path_(path.string()), disk_(disk), is_wanted_(wanted == Wanted::yes) {}

  // Writes the file unless it is there. Half a reserve is none: it would take the space that somebody waits for.
  void hold();
  // True when there was a reserve, so that there is some room now.
  bool release();

 private:
  friend class ReserveKeeper;
  void keeper_came();
  void keeper_left();
  void hold_locked();
  bool fill(int file);

  std::string path_;
  Disk& disk_;
  bool is_wanted_;
  std::mutex mutex_;
  bool held_ = false;
  int keepers_ = 0;
};

// Takes the reserve again when a job that may have given it up ends, however it ends. Of several jobs it is the last,
// for the room that one of them was given must not be taken from it by another.
class ReserveKeeper {
 public:
  explicit ReserveKeeper(Reserve& reserve) : reserve_(reserve) { reserve_.keeper_came(); }
  ~ReserveKeeper() { reserve_.keeper_left(); }
  ReserveKeeper(const ReserveKeeper&) = delete;
  ReserveKeeper& operator=(const ReserveKeeper&) = delete;

 private:
  Reserve& reserve_;
};

}  // namespace gbgreg::storage
