// All keys, to be found by the hash of their secrets. Made once and never changed: threads read it without a lock
// (core/published.h), and the next one takes its place.
//
// A hash is found by its own bytes, which nobody can choose without knowing a secret, so how long a look takes tells
// nothing about the secrets that there are.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "keys/key.h"

namespace gbgreg::keys {

class Table {
 public:
  Table() = default;
  explicit Table(std::vector<std::shared_ptr<const Key>> keys);

  // Null when there is none. Allocates nothing.
  const std::shared_ptr<const Key>* find(const Hash& hash) const;

  std::size_t size() const { return size_; }

 private:
  std::vector<std::shared_ptr<const Key>> places_;  // Twice as many as keys at least, so that there is always a gap.
  std::size_t size_ = 0;
};

enum class Answer : std::uint8_t {
  good,
  malformed,  // No secret looks like this.
  unknown,
  expired,
  revoked,
};

struct Looked {
  Answer answer = Answer::unknown;
  std::shared_ptr<const Key> key = {};  // Of one that is good.
};

// Whose secret this is, and whether it still counts.
Looked look_up(const Table& table, std::string_view secret, WallTime now);

}  // namespace gbgreg::keys
