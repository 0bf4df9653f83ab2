// What was said in a request and its answer, where the owner wants it kept (`records.keep_texts_days`).
//
// Blocking: for the thread that writes records and for the storage pool. Any thread may use it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "core/error.h"
#include "storage/database.h"

namespace gbgreg::storage {

// Valid UTF-8 without NUL.
struct RequestTexts {
  std::string id = {};  // Of the row in gbgreg_requests.
  std::string prompt = {};
  std::string answer = {};

  bool operator==(const RequestTexts&) const = default;
};

class RequestTextStore {
 public:
  explicit RequestTextStore(Database& database) : database_(database) {}

  // All or none; those that are there already are left as they are.
  Result<void> write(std::span<const RequestTexts> texts);
  // Nothing where none were kept.
  Result<std::optional<RequestTexts>> find(const std::string& id);
  // Removes those with ids below, the oldest first, at most `most` of them; how many those were.
  Result<std::int64_t> forget(const std::string& id_below, int most);

 private:
  Database& database_;
};

}  // namespace gbgreg::storage
