#include "net/rounds.h"

#include <gtest/gtest.h>

#include <new>

namespace gbgreg::net {
namespace {

TEST(RunRounds, GoesOnAfterAnExceptionAndAfterAPauseUntilARoundSaysNever) {
  IoContext context;
  int rounds = 0;
  auto round = [&rounds]() -> Task<NextRound> {
    ++rounds;
    if (rounds <= 2) throw std::bad_alloc();
    if (rounds == 3) co_return NextRound::after_pause;
    co_return rounds == 10 ? NextRound::never : NextRound::at_once;
  };
  spawn(context.get_executor(), "test",
        run_rounds(context.get_executor(), "test", std::chrono::milliseconds{1}, round));
  context.run();
  EXPECT_EQ(rounds, 10);
}

TEST(RunRounds, GoesOnWhenARoundCannotEvenBegin) {
  IoContext context;
  int rounds = 0;
  auto say_never = []() -> Task<NextRound> { co_return NextRound::never; };
  auto round = [&]() -> Task<NextRound> {
    if (++rounds == 1) throw std::bad_alloc();
    return say_never();
  };
  spawn(context.get_executor(), "test",
        run_rounds(context.get_executor(), "test", std::chrono::milliseconds{1}, round));
  context.run();
  EXPECT_EQ(rounds, 2);
}

}  // namespace
}  // namespace gbgreg::net
