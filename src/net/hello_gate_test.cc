#include "net/hello_gate.h"

#include <gtest/gtest.h>

#include <string>

namespace gbgreg::net {
namespace {

using Verdict = HelloGate::Verdict;

constexpr std::size_t kBytesMax = 1000;

std::string record(char type, const std::string& payload) {
  std::string bytes{type, 3, 1, static_cast<char>(payload.size() >> 8), static_cast<char>(payload.size() & 0xff)};
  return bytes + payload;
}

// A handshake message that says it is `announced` bytes long, and has `present` of them.
std::string message(std::size_t announced, std::size_t present) {
  const std::string header{1, static_cast<char>(announced >> 16), static_cast<char>(announced >> 8 & 0xff),
                           static_cast<char>(announced & 0xff)};
  return header + std::string(present, 'x');
}

Verdict take(const std::string& bytes, std::size_t piece) {
  HelloGate gate(kBytesMax);
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    const Verdict verdict = gate.take(std::string_view(bytes).substr(at, piece));
    if (verdict != Verdict::pass) return verdict;
  }
  return Verdict::pass;
}

TEST(HelloGate, JudgesAHandshakeWhereverItIsCut) {
  // The second message lies in two records, and its header too.
  const std::string second = message(600, 600);
  struct Case {
    const char* name;
    std::string bytes;
    Verdict want;
  };
  const Case cases[] = {
      {"one message", record(22, message(kBytesMax, kBytesMax)), Verdict::pass},
      {"only its announcement", record(22, message(kBytesMax, 0)), Verdict::pass},
      {"announced over the bound", record(22, message(kBytesMax + 1, 0)), Verdict::too_large},
      {"announced with the most there is", record(22, message(0xffffff, 3)), Verdict::too_large},
      {"an empty message and another", record(22, message(0, 0) + message(5, 5)), Verdict::pass},
      {"an empty message and a large one", record(22, message(0, 0) + message(5000, 5)), Verdict::too_large},
      {"a message in two records", record(22, second.substr(0, 2)) + record(22, second.substr(2)), Verdict::pass},
      {"a large message whose header is in two records",
       record(22, message(5000, 9).substr(0, 3)) + record(22, message(5000, 9).substr(3)), Verdict::too_large},
      {"records of other kinds between",
       record(22, message(4, 4)) + record(20, "\x01") + record(23, message(5000, 9)) + record(22, message(7, 7)),
       Verdict::pass},
      {"a large second message", record(22, message(4, 4)) + record(20, "\x01") + record(22, message(5000, 9)),
       Verdict::too_large},
      {"an empty record", record(22, "") + record(22, message(5000, 9)), Verdict::too_large},
      {"plain HTTP", "GET / HTTP/1.1\r\n\r\n", Verdict::plain_http},
      {"another record first", record(21, "\x01"), Verdict::not_tls},
      {"the hello of SSL 2", "\x80\x2e\x01\x03\x01", Verdict::not_tls},
      {"SSH", "ssh-2.0", Verdict::not_tls},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    for (const std::size_t piece : {1UL, 2UL, 3UL, 5UL, 7UL, 100'000UL})
      EXPECT_EQ(take(c.bytes, piece), c.want) << piece;
  }
}

}  // namespace
}  // namespace gbgreg::net
