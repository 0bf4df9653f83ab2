#include "net/body_decoder.h"

#include <algorithm>

#include "net/grammar.h"

namespace gbgreg::net {
namespace {

// 2^60 is far beyond any limit of ours and far from overflow.
constexpr int kChunkSizeDigitsMax = 15;

bool is_extension_byte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}

std::unexpected<Error> malformed(std::string message) {
  return fail(Kind::malformed, "malformed_chunks", std::move(message));
}

}  // namespace

BodyDecoder::BodyDecoder(const Head& head, const Options& options)
    : extension_bytes_max_(options.chunk_extension_bytes_max), trailer_bytes_max_(options.trailer_bytes_max) {
  switch (head.framing) {
    case Framing::none:
      state_ = State::done;
      break;
    case Framing::length:
      state_ = State::length;
      remaining_ = head.content_length;
      break;
    case Framing::chunked:
      state_ = State::chunk_size;
      break;
    case Framing::until_close:
      state_ = State::until_close;
      break;
  }
}

Result<BodyDecoder::Step> BodyDecoder::decode(std::string_view bytes) {
  switch (state_) {
    case State::done:
      return Step{};
    case State::until_close:
      return Step{.consumed = bytes.size(), .data = bytes};
    case State::length:
    case State::chunk_data: {
      const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, bytes.size()));
      remaining_ -= size;
      if (remaining_ == 0) state_ = state_ == State::length ? State::done : State::chunk_data_cr;
      return Step{.consumed = size, .data = bytes.substr(0, size)};
    }
    default:
      return decode_chunk_framing(bytes);
  }
}

// A byte behind a chunk's size. Blanks may stand there only before the ';' of an extension (RFC 9112, 7.1.1); whatever
// is not known to be framing could be read differently by somebody else.
Result<void> BodyDecoder::take_extension_byte(char c) {
  if (state_ == State::chunk_size_blanks) {
    if (c == ';') {
      state_ = State::chunk_extension;
    } else if (c != ' ' && c != '\t') {
      return malformed(
          "A chunk size must be hexadecimal digits, and behind them only an extension, which begins with ';'.");
    }
  } else if (!is_extension_byte(c)) {
    return malformed("A chunk extension has control characters.");
  }
  if (++extension_bytes_ > extension_bytes_max_) return malformed("The chunk extensions of a body are too long.");
  return {};
}

// Walks over framing bytes up to the next chunk's first data byte, or the end of the body.
Result<BodyDecoder::Step> BodyDecoder::decode_chunk_framing(std::string_view bytes) {
  std::size_t at = 0;
  for (; at < bytes.size(); ++at) {
    const char c = bytes[at];
    switch (state_) {
      case State::chunk_size: {
        const int digit = hex_digit(c);
        if (digit >= 0) {
          if (++size_digits_ > kChunkSizeDigitsMax) return malformed("A chunk size has too many digits.");
          remaining_ = remaining_ * 16 + static_cast<std::uint64_t>(digit);
        } else if (size_digits_ == 0) {
          return malformed("A chunk must begin with its size in hexadecimal digits.");
        } else if (c == '\r') {
          state_ = State::chunk_size_lf;
        } else {
          state_ = State::chunk_size_blanks;
          if (auto taken = take_extension_byte(c); !taken) return std::unexpected(std::move(taken.error()));
        }
        break;
      }
      case State::chunk_size_blanks:
        if (auto taken = take_extension_byte(c); !taken) return std::unexpected(std::move(taken.error()));
        break;
      case State::chunk_extension:
        if (c == '\r') {
          state_ = State::chunk_size_lf;
        } else if (auto taken = take_extension_byte(c); !taken) {
          return std::unexpected(std::move(taken.error()));
        }
        break;
      case State::chunk_size_lf:
        if (c != '\n') return malformed("A chunk size line must end with CR LF.");
        size_digits_ = 0;
        if (remaining_ == 0) {
          state_ = State::trailer_start;
          break;
        }
        state_ = State::chunk_data;
        return Step{.consumed = at + 1, .data = {}};
      case State::chunk_data_cr:
        if (c != '\r') return malformed("A chunk must end with CR LF.");
        state_ = State::chunk_data_lf;
        break;
      case State::chunk_data_lf:
        if (c != '\n') return malformed("A chunk must end with CR LF.");
        state_ = State::chunk_size;
        break;
      case State::trailer_start:
        if (c == '\r') {
          state_ = State::end_lf;
          break;
        }
        state_ = State::trailer_name;
        if (c == ':') return malformed("A trailer line must be `name: value`.");
        [[fallthrough]];
      case State::trailer_name:
        // Trailers carry nothing that we use: they are bounded, checked like the fields of a head and dropped.
        if (++trailer_bytes_ > trailer_bytes_max_) return malformed("The trailer is too long.");
        if (c == ':') {
          state_ = State::trailer_value;
        } else if (!is_token({&c, 1})) {
          return malformed("A trailer line must be `name: value`.");
        }
        break;
      case State::trailer_value:
        if (++trailer_bytes_ > trailer_bytes_max_) return malformed("The trailer is too long.");
        if (c == '\r') {
          state_ = State::trailer_lf;
        } else if (!is_extension_byte(c)) {
          return malformed("The trailer has control characters.");
        }
        break;
      case State::trailer_lf:
        if (c != '\n') return malformed("A trailer line must end with CR LF.");
        state_ = State::trailer_start;
        break;
      case State::end_lf:
        if (c != '\n') return malformed("The last chunk must end with CR LF.");
        state_ = State::done;
        return Step{.consumed = at + 1, .data = {}};
      case State::length:
      case State::until_close:
      case State::chunk_data:
      case State::done:
        return Step{.consumed = at, .data = {}};
    }
  }
  return Step{.consumed = at, .data = {}};
}

}  // namespace gbgreg::net
