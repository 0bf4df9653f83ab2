#include "records/lane_rows.h"

#include <algorithm>
#include <cstddef>

namespace gbgreg::records {
namespace {

constexpr std::size_t kTexts = 8;

// What stands before the texts of a row.
struct Numbers {
  WallTime ended;
  std::int64_t status = 0, complexity = 0, prompt_tokens = 0, completion_tokens = 0, objective_ms = 0;
  double queue_ms = 0, ttft_ms = 0, total_ms = 0;
  std::array<std::uint32_t, kTexts> lengths = {};
};

}  // namespace

RowView view_of(const storage::RequestRow& row) {
  return {.request_id = row.request_id,
          .route = row.route,
          .role = row.role,
          .model = row.model,
          .backend = row.backend,
          .device = row.device,
          .key_id = row.key_id,
          .status = row.status,
          .error_code = row.error_code,
          .complexity = row.complexity,
          .prompt_tokens = row.prompt_tokens,
          .completion_tokens = row.completion_tokens,
          .queue_ms = row.queue_ms,
          .ttft_ms = row.ttft_ms,
          .total_ms = row.total_ms,
          .objective_ms = row.objective_ms};
}

void LaneRows::add(WallTime at, const RowView& row) {
  const std::array<std::string_view, kTexts> texts{row.request_id, row.route,  row.role,   row.model,
                                                   row.backend,    row.device, row.key_id, row.error_code};
  Numbers numbers{.ended = at,
                  .status = row.status,
                  .complexity = row.complexity,
                  .prompt_tokens = row.prompt_tokens,
                  .completion_tokens = row.completion_tokens,
                  .objective_ms = row.objective_ms,
                  .queue_ms = row.queue_ms,
                  .ttft_ms = row.ttft_ms,
                  .total_ms = row.total_ms};
  std::size_t size = sizeof numbers;
  for (std::size_t i = 0; i < kTexts; ++i) {
    numbers.lengths[i] = static_cast<std::uint32_t>(texts[i].size());
    size += texts[i].size();
  }
  // So that there are all of its bytes or none when there is no memory.
  if (bytes_.capacity() - bytes_.size() < size) bytes_.reserve(std::max(2 * bytes_.capacity(), bytes_.size() + size));
  bytes_.append(reinterpret_cast<const char*>(&numbers), sizeof numbers);
  for (const std::string_view text : texts) bytes_.append(text);
  ++count_;
}

WallTime LaneRows::Reader::ended() const {
  WallTime ended;
  static_assert(offsetof(Numbers, ended) == 0);
  std::memcpy(&ended, rest_.data(), sizeof ended);
  return ended;
}

RowView LaneRows::Reader::next() {
  Numbers numbers;
  std::memcpy(&numbers, rest_.data(), sizeof numbers);
  rest_.remove_prefix(sizeof numbers);
  std::array<std::string_view, kTexts> texts;
  for (std::size_t i = 0; i < kTexts; ++i) {
    texts[i] = rest_.substr(0, numbers.lengths[i]);
    rest_.remove_prefix(texts[i].size());
  }
  return {.request_id = texts[0],
          .route = texts[1],
          .role = texts[2],
          .model = texts[3],
          .backend = texts[4],
          .device = texts[5],
          .key_id = texts[6],
          .status = numbers.status,
          .error_code = texts[7],
          .complexity = numbers.complexity,
          .prompt_tokens = numbers.prompt_tokens,
          .completion_tokens = numbers.completion_tokens,
          .queue_ms = numbers.queue_ms,
          .ttft_ms = numbers.ttft_ms,
          .total_ms = numbers.total_ms,
          .objective_ms = numbers.objective_ms};
}

void LaneRows::clear() {
  if (bytes_.capacity() > kKeptBytes) {
    bytes_ = {};
  } else {
    bytes_.clear();
  }
  count_ = 0;
}

storage::RequestRow& ReusedRows::add() {
  if (size_ == rows_.size()) rows_.emplace_back();
  return rows_[size_++];
}

void ReusedRows::drop_front(std::size_t count) {
  const auto begin = rows_.begin();
  if (count < size_) {
    std::rotate(begin, begin + static_cast<std::ptrdiff_t>(count), begin + static_cast<std::ptrdiff_t>(size_));
  }
  size_ -= count;
  if (rows_.size() > kKept && size_ <= kKept) {
    rows_.resize(kKept);
    rows_.shrink_to_fit();
  }
}

}  // namespace gbgreg::records
