// multipart/form-data (RFC 7578) as it comes: fed any pieces, it says what they mean. Pure and incremental, one pass,
// nothing held back but the head of a part; the bytes of a part come out as views into the piece that was fed.
//
// Strict where leniency would let two readers see two different forms: the boundary, line ends, part heads, a closing
// boundary that must come. Linear whatever the bytes are. Fuzzed (fuzz/multipart_fuzz.cc).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"

namespace gbgreg::http {

inline constexpr std::size_t kBoundaryCharactersMax = 70;
inline constexpr std::size_t kPartsMax = 12'000;
inline constexpr std::size_t kPartHeadBytesMax = 16 * 1024;

// What a part says about itself. All of it is a client's bytes: not checked to be UTF-8, never a path.
struct PartHead {
  std::string name;
  std::optional<std::string> filename = {};  // Absent for a plain field.
  std::string content_type = {};             // As sent, or empty.
};

// Reads the boundary out of a Content-Type field. Errors: unsupported_type (not multipart/form-data), malformed (no
// boundary, or one that RFC 2046 does not allow).
Result<std::string> multipart_boundary(std::string_view content_type);

class MultipartParser {
 public:
  enum class Event : std::uint8_t {
    need_more,   // The piece is used up.
    part_begin,  // part() says which.
    data,        // data() has bytes of the part.
    part_end,
    body_end,  // The closing boundary has come. What follows it is ignored.
  };

  // `boundary` as multipart_boundary() gave it.
  explicit MultipartParser(std::string_view boundary);

  // The next piece of the body; it must stay where it is until next() has said need_more. Only call it then.
  void feed(std::string_view piece) { rest_ = piece; }

  // What comes next. Errors: malformed, too_large (too many parts). After one the parser is only good for destruction.
  Result<Event> next();

  // To be called when the body has ended. Errors: malformed when the closing boundary has not come.
  Result<void> finish() const;

  const PartHead& part() const { return part_; }
  std::string_view data() const { return data_; }

 private:
  enum class State : std::uint8_t { preamble, after_boundary, head, body, part_end, epilogue };

  // One for each state; absent means: go on with the state that is set now.
  using Step = Result<std::optional<Event>>;
  Step skip_preamble();
  Step read_after_boundary();
  Step begin_head();
  Step read_head();
  Step read_body();
  Step end_part();

  // Scans for the delimiter. Takes what lies before it off rest_ and gives it back; `found` says whether the delimiter
  // follows. A delimiter that may go on in the next piece is kept in matched_.
  struct Scan {
    std::string_view before;
    bool found = false;
  };
  Scan scan();
  Scan scan_matched();

  std::string delimiter_;  // CR LF "--" boundary.
  std::string_view rest_;
  std::size_t matched_;  // So many bytes of the delimiter were the last ones seen.
  State state_ = State::preamble;
  std::string text_;  // What follows a boundary, or a part's head, as far as it has come.
  std::size_t parts_ = 0;
  PartHead part_;
  std::string_view data_;
};

}  // namespace gbgreg::http
