// Finds the end of a message's body and strips its framing.
//
// Pure and incremental: bytes may be cut anywhere. Fuzzed (fuzz/body_decoder).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/error.h"
#include "net/http_head.h"

namespace gbgreg::net {

class BodyDecoder {
 public:
  BodyDecoder() = default;
  BodyDecoder(const Head& head, const Options& options);

  struct Step {
    std::size_t consumed = 0;  // Bytes of the input that are done with.
    std::string_view data;     // Part of the input that is body; may be empty when only framing was consumed.
  };

  // Takes a step over `bytes`: call again with what is left until it consumes nothing, then feed more.
  // Errors: malformed. After an error the connection is of no more use.
  Result<Step> decode(std::string_view bytes);

  bool done() const { return state_ == State::done; }
  // The peer closed. True when that is a proper end of this body.
  bool close_ends_body() const { return state_ == State::done || state_ == State::until_close; }

 private:
  enum class State : std::uint8_t {
    length,
    until_close,
    chunk_size,
    chunk_size_blanks,
    chunk_extension,
    chunk_size_lf,
    chunk_data,
    chunk_data_cr,
    chunk_data_lf,
    trailer_start,
    trailer_name,
    trailer_value,
    trailer_lf,
    end_lf,
    done
  };
  Result<Step> decode_chunk_framing(std::string_view bytes);
  Result<void> take_extension_byte(char c);

  State state_ = State::done;
  std::uint64_t remaining_ = 0;
  int size_digits_ = 0;
  std::size_t extension_bytes_ = 0;
  std::size_t trailer_bytes_ = 0;
  std::size_t extension_bytes_max_ = 0;
  std::size_t trailer_bytes_max_ = 0;
};

}  // namespace gbgreg::net
