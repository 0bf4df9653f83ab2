#include "say.h"

#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "intake/jail_messages.h"

namespace gbgreg::jail {
namespace {

template <class Number>
void append(std::string& payload, Number number) {
  for (std::size_t i = 0; i < sizeof number; ++i) payload.push_back(static_cast<char>((number >> (8 * i)) & 0xff));
}

void write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) ::_exit(EXIT_FAILURE);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

void say(char type, std::string_view payload) {
  std::string head(1, type);
  append(head, static_cast<std::uint32_t>(payload.size()));
  iovec parts[] = {{.iov_base = head.data(), .iov_len = head.size()},
                   {.iov_base = const_cast<char*>(payload.data()), .iov_len = payload.size()}};
  ssize_t written = 0;
  do {
    written = ::writev(STDOUT_FILENO, parts, 2);
  } while (written < 0 && errno == EINTR);
  if (written < 0) ::_exit(EXIT_FAILURE);
  const auto done = static_cast<std::size_t>(written);
  if (done < head.size()) write_all(std::string_view(head).substr(done));
  write_all(payload.substr(done < head.size() ? 0 : done - head.size()));
}

void say_all(char type, std::string_view bytes) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, intake::kJailMessageBytesMax);
    say(type, piece);
    bytes.remove_prefix(piece.size());
  }
}

void append_u32(std::string& payload, std::uint32_t number) { append(payload, number); }
void append_u64(std::string& payload, std::uint64_t number) { append(payload, number); }

}  // namespace gbgreg::jail
