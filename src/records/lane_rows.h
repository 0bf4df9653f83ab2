// Requests that are over, on their way from the threads that answered them to the one that writes rows.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "storage/requests.h"

namespace gbgreg::records {

// As storage::RequestRow, before it has an id. The texts are somebody else's.
struct RowView {
  std::string_view request_id = {};
  std::string_view route = {};
  std::string_view role = {};
  std::string_view model = {};
  std::string_view backend = {};
  std::string_view device = {};
  std::string_view key_id = {};
  std::int64_t status = 0;
  std::string_view error_code = {};
  std::int64_t complexity = 0;
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  double queue_ms = 0;
  double ttft_ms = 0;
  double total_ms = 0;
  std::int64_t objective_ms = 0;

  bool operator==(const RowView&) const = default;
};

// Of a row, without its id and when it ended. Its texts are the row's.
RowView view_of(const storage::RequestRow& row);

// Those of one lane, one behind the other in one piece of memory: to put one there is a copy, and what is allocated on
// one thread is not given back on another. One thread at a time.
class LaneRows {
 public:
  // What a burst has taken beyond it is given back by clear().
  static constexpr std::size_t kKeptBytes = 2 * 1024 * 1024;

  void add(WallTime at, const RowView& row);
  std::size_t count() const { return count_; }

  void clear();

  // From the first to the last. What it reads is good until the rows are changed.
  class Reader {
   public:
    explicit Reader(const LaneRows& rows) : rest_(rows.bytes_) {}
    bool is_done() const { return rest_.empty(); }
    // Of the next one.
    WallTime ended() const;
    RowView next();

   private:
    std::string_view rest_;
  };

 private:
  std::string bytes_;
  std::size_t count_ = 0;
};

// Rows whose memory is used again for those that come after them. One thread at a time.
class ReusedRows {
 public:
  static constexpr std::size_t kKept = 16'384;

  // One more; what is in it is of an earlier one.
  storage::RequestRow& add();
  std::span<const storage::RequestRow> all() const { return {rows_.data(), size_}; }
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  void drop_front(std::size_t count);

 private:
  std::vector<storage::RequestRow> rows_;
  std::size_t size_ = 0;
};

}  // namespace gbgreg::records
