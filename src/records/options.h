// What the recorder may take, filled by config/.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace gbgreg::records {

struct RecorderOptions {
  std::size_t queue_max = 32'768;  // Rows of one lane between two rounds; each takes some 500 bytes.
  std::size_t batch_max = 4'096;   // Rows of one transaction.
  std::chrono::milliseconds pause{250};
  std::chrono::milliseconds retry{1'000};                  // Between two tries of a database that does not answer.
  std::uint64_t spool_bytes_max = std::uint64_t{1} << 30;  // `records.spool_bytes_max`
  std::chrono::days kept{30};       // `records.keep_days`: rows; sums stay longer. 0 is no record.
  std::chrono::days texts_kept{0};  // `records.keep_texts_days`: 0 is not at all.
  std::size_t recent_max = 1'000;   // Rows that recent() has.

  bool operator==(const RecorderOptions&) const = default;
};

}  // namespace gbgreg::records
