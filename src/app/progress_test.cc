#include "app/progress.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

namespace gbgreg::app {
namespace {

using models::PullProgress;
using models::PullStage;
using std::chrono::milliseconds;

const std::string kDigest(64, 'a');

PullProgress blob(std::uint64_t completed, std::optional<std::uint64_t> total = 1000) {
  return {.stage = PullStage::blob, .sha256 = kDigest, .completed_bytes = completed, .total_bytes = total};
}

TEST(ProgressDisplay, SaysATenthAtATimeWhereThereIsNoTerminal) {
  std::ostringstream out;
  ProgressDisplay display(out, Screen::plain);
  for (std::uint64_t bytes = 0; bytes <= 1000; ++bytes) display.show(blob(bytes), {});
  display.show(blob(1000), {});
  std::string want;
  for (int percent = 10; percent <= 90; percent += 10) {
    want += "fetching aaaaaaaaaaaa  " + std::to_string(percent) + "% of 1.0 KB\n";
  }
  EXPECT_EQ(out.str(), want + "fetching aaaaaaaaaaaa 100% of 1.0 KB\n");
}

TEST(ProgressDisplay, DrawsOneLineOverAndOverInATerminal) {
  std::ostringstream out;
  ProgressDisplay display(out, Screen::terminal);
  const std::chrono::steady_clock::time_point begin{milliseconds{1000}};
  display.show(blob(0), begin);
  display.show(blob(100), begin + milliseconds{1});  // Too soon to be drawn.
  display.show(blob(500), begin + milliseconds{1000});
  display.show(blob(1000), begin + milliseconds{1001});
  display.show({.stage = PullStage::done}, begin);
  const std::string text = out.str();
  EXPECT_EQ(std::ranges::count(text, '\r'), 3);
  EXPECT_EQ(std::ranges::count(text, '\n'), 1);
  EXPECT_NE(text.find(" 50%  500 B of 1.0 KB  400 B/s  1 s left"), std::string::npos) << text;
}

TEST(ProgressDisplay, LetsNoNameOfAServersDriveTheTerminal) {
  std::ostringstream out;
  ProgressDisplay display(out, Screen::plain);
  display.show({.stage = PullStage::blob, .sha256 = "x\x1b[2J.gguf", .completed_bytes = 1, .total_bytes = 1}, {});
  EXPECT_EQ(out.str(), "fetching x?[2J.gguf 100% of 1 B\n");
}

TEST(HumanBytes, AreShort) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(4'920'000'000), "4.9 GB");
  EXPECT_EQ(human_bytes(999'999), "1.0 MB");
}

}  // namespace
}  // namespace gbgreg::app
