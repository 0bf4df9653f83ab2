#include "intake/jail_messages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace gbgreg::intake {
namespace {

std::string message(char type, std::string_view payload) {
  std::string bytes(1, type);
  for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>((payload.size() >> shift) & 0xff));
  return bytes.append(payload);
}

// What comes out when `bytes` come in pieces of so many.
std::vector<std::string> read_in_pieces(std::string_view bytes, std::size_t piece) {
  JailMessages messages;
  std::vector<std::string> seen;
  while (!bytes.empty()) {
    const std::string_view part = bytes.substr(0, piece);
    bytes.remove_prefix(part.size());
    std::ranges::copy(part, messages.room(part.size()));
    messages.got(part.size());
    while (true) {
      const auto next = messages.next();
      if (!next) {
        seen.push_back("!" + next.error().code);
        return seen;
      }
      if (!*next) break;
      seen.push_back((*next)->type + std::string((*next)->payload));
    }
  }
  return seen;
}

TEST(JailMessages, ComeOutHoweverTheyArePieced) {
  const std::string large(kJailMessageBytesMax, 'x');
  const std::string bytes = message('A', "zip") + message('F', "") + message('D', large) + message('Z', "");
  for (const std::size_t piece : {1U, 2U, 5U, 7U, 4096U, 1'000'000U}) {
    EXPECT_EQ(read_in_pieces(bytes, piece), (std::vector<std::string>{"Azip", "F", "D" + large, "Z"})) << piece;
  }
}

TEST(JailMessages, KeepsWhatHasNotAllCome) {
  EXPECT_TRUE(read_in_pieces("D\x05", 1).empty());
  EXPECT_TRUE(read_in_pieces(message('D', "abc").substr(0, 7), 1).empty());
}

TEST(JailMessages, RefusesALengthBeyondTheBound) {
  EXPECT_EQ(read_in_pieces(message('D', std::string(kJailMessageBytesMax + 1, 'x')), 100),
            std::vector<std::string>{"!jail_garbled"});
  EXPECT_EQ(read_in_pieces("D\xff\xff\xff\xff", 5), std::vector<std::string>{"!jail_garbled"});
}

TEST(TakeNumbers, AreLittleEndianAndShortenThePayload) {
  std::string_view payload("\x01\x02\x00\x00\xff\x00\x00\x00\x00\x00\x00\x00x", 13);
  EXPECT_EQ(take_u32(payload), 0x201U);
  EXPECT_EQ(take_u64(payload), 0xffU);
  EXPECT_EQ(payload, "x");
  EXPECT_EQ(take_u32(payload), std::nullopt);
  EXPECT_EQ(payload, "x");
}

}  // namespace
}  // namespace gbgreg::intake
