#include "intake/jail_messages.h"

#include <cstring>

namespace gbgreg::intake {
namespace {

template <class Number>
std::optional<Number> take(std::string_view& payload) {
  if (payload.size() < sizeof(Number)) return std::nullopt;
  Number number = 0;
  for (std::size_t i = sizeof(Number); i-- > 0;) number = (number << 8) | static_cast<unsigned char>(payload[i]);
  payload.remove_prefix(sizeof(Number));
  return number;
}

}  // namespace

char* JailMessages::room(std::size_t size) {
  // What was taken out makes room first, so that the buffer stays as small as one message and one read.
  if (begin_ > 0) {
    std::memmove(bytes_.data(), bytes_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (bytes_.size() < end_ + size) bytes_.resize(end_ + size);
  return bytes_.data() + end_;
}

void JailMessages::got(std::size_t size) { end_ += size; }

Result<std::optional<JailMessage>> JailMessages::next() {
  std::string_view rest = std::string_view(bytes_).substr(begin_, end_ - begin_);
  if (rest.size() < kJailMessageHeadBytes) return std::nullopt;
  const char type = rest.front();
  rest.remove_prefix(1);
  const std::uint32_t size = take_u32(rest).value_or(0);
  if (size > kJailMessageBytesMax) {
    return fail(Kind::backend_failed, "jail_garbled", "The file could not be read.", "a message beyond its bound");
  }
  if (rest.size() < size) return std::nullopt;
  begin_ += kJailMessageHeadBytes + size;
  return JailMessage{.type = type, .payload = rest.substr(0, size)};
}

std::optional<std::uint32_t> take_u32(std::string_view& payload) { return take<std::uint32_t>(payload); }
std::optional<std::uint64_t> take_u64(std::string_view& payload) { return take<std::uint64_t>(payload); }

}  // namespace gbgreg::intake
