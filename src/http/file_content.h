// The bytes of a stored file as an answer: with Range, If-Range and If-None-Match, and so that nothing that was
// uploaded runs as a page of ours.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/core.h"
#include "net/exchange.h"
#include "services/intake.h"

namespace gbgreg::http {

// Answers GET or HEAD. Errors: unsatisfiable (a range behind the end); those of reading and writing.
Task<Result<void>> send_file(net::Exchange& exchange, services::Outgoing& file);

// The parts of such an answer that are worth a table of their own in the tests. Pure.

// Bytes from `first` on, `size` of them.
struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t size = 0;
  bool operator==(const ByteRange&) const = default;
};

enum class RangeAnswer : std::uint8_t { whole, part, unsatisfiable };

struct ChosenRange {
  RangeAnswer answer = RangeAnswer::whole;
  ByteRange range = {};
  bool operator==(const ChosenRange&) const = default;
};

// What a Range field asks of so many bytes (RFC 9110, 14.2). One range is honoured; several, another unit, or what
// cannot be read is answered by the whole.
ChosenRange choose_range(std::optional<std::string_view> field, std::uint64_t size_bytes);

// How a browser may be given the bytes: text of any kind as plain text and the four common images as they are, to be
// shown; all else to be saved. So nothing that was uploaded runs as a page of ours.
struct SafeType {
  std::string content_type;
  bool may_be_shown = false;
};
SafeType safe_type(std::string_view kind, std::string_view media_type);

// `attachment; filename="na_ve.txt"; filename*=UTF-8''na%C3%AFve.txt`
std::string content_disposition(std::string_view filename, bool may_be_shown);

}  // namespace gbgreg::http
