// Requests added up: of a minute, an hour, a day, by what they have in common.
//
// Pure; a value each, one thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/error.h"
#include "metrics/latency_sketch.h"
#include "storage/requests.h"

namespace gbgreg::records {

// What requests are told apart by. "all" has but one value, the empty one.
inline constexpr std::array<std::string_view, 7> kDimensions{"all",   "role",   "model", "key",
                                                             "route", "status", "device"};

struct Sum {
  std::int64_t requests = 0;
  std::int64_t errors = 0;
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  double generation_ms = 0;
  std::int64_t with_objective = 0;
  std::int64_t objective_met = 0;
  // Of answers that a model gave; what was refused in a millisecond would flatter them.
  metrics::LatencySketch queue, ttft, total;

  void add(const storage::RequestRow& row);
  // Errors: internal (rollup_unreadable), and then nothing has been added.
  Result<void> add(const storage::RollupRow& row);
  void add(const Sum& other);
  storage::RollupRow row() const;

  bool operator==(const Sum&) const = default;
};

// A dimension and a value.
using Of = std::pair<std::string, std::string>;
using Sums = std::map<Of, Sum>;

// The values by which a request counts; none of a dimension that does not apply to it.
std::vector<Of> counts_for(const storage::RequestRow& row);

// The sums of one process, minute by minute. As long as something is added to those of a minute they are written to
// the database again and again, whole.
class MinuteSums {
 public:
  // `writer` is no other process's.
  explicit MinuteSums(std::string writer) : writer_(std::move(writer)) {}

  // `ended` in seconds since 1970.
  void add(const storage::RequestRow& row, std::int64_t ended);
  // What has changed since the last written().
  std::vector<storage::RollupRow> changed();
  void written();
  // Lets go of minutes that begin before, but for those that are still to be written. What comes for one of them after
  // all begins sums of their own.
  void forget_before(std::int64_t start);

 private:
  struct Minute {
    std::string writer;  // Of these sums alone, so that later ones of the same minute do not take their place.
    Sums sums = {};
    std::set<Of> changed = {};
  };

  // Requests of one minute that are alike count as one sum, which is then added to those of each dimension: of a
  // thousand, few differ.
  struct Alike {
    std::int64_t start = 0;
    std::vector<Of> of;
    Sum sum = {};
  };
  void begin(std::int64_t start);
  void hand_out();

  std::string writer_;
  std::unordered_map<std::string, Alike> alike_;  // By what they have in common. Empty but between add() and changed().
  std::string common_;                            // Of the row at hand; kept for its memory.
  std::uint64_t begun_ = 0;                       // Minutes.
  std::map<std::int64_t, Minute> minutes_;
};

}  // namespace gbgreg::records
