// Rows that the database did not take, in a file until it does: one line each, so that a crash in the middle of one
// costs no other.
//
// Blocking; for the thread that writes records. A process that was killed leaves its file to the next one, which may
// then read rows that were written already: whoever writes them asks the database which are missing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "storage/disk.h"
#include "storage/requests.h"

namespace gbgreg::records {

class Spool {
 public:
  // Beyond `bytes_max` nothing is taken.
  Spool(std::filesystem::path path, storage::Disk& disk, std::uint64_t bytes_max);
  ~Spool();
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  // Takes over what is there. Errors: unavailable.
  Result<void> open();

  bool is_empty() const { return size_bytes_ == read_bytes_; }
  std::uint64_t size_bytes() const { return size_bytes_ - read_bytes_; }

  // All of them, synced, or none. Errors: unavailable (storage_full, storage_failed, spool_full).
  Result<void> append(std::span<const storage::RequestRow> rows);

  // The next rows, about `bytes_max` of them. Lines that are no rows are passed over. Errors: unavailable.
  struct Read {
    std::vector<storage::RequestRow> rows;
    std::uint64_t damaged = 0;  // Lines.
  };
  Result<Read> read(std::uint64_t bytes_max = 1024 * 1024);
  // What read() gave last has been written: the next one goes on behind it. The file is emptied when nothing is left.
  Result<void> advance();

 private:
  const std::filesystem::path path_;
  storage::Disk& disk_;
  const std::uint64_t bytes_max_;
  int file_ = -1;
  std::uint64_t size_bytes_ = 0;
  std::uint64_t read_bytes_ = 0;  // Of them, those that need not be read again.
  std::uint64_t next_bytes_ = 0;  // Where the last read() ended.
};

// A row as a line, and back; nothing for what is none. Pure.
std::string line_of(const storage::RequestRow& row);
std::optional<storage::RequestRow> row_in(std::string_view line);

}  // namespace gbgreg::records
