#include "fleet/worker_port.h"

#include <gtest/gtest.h>

#include "fleet/test_port.h"

namespace gbgreg::fleet {
namespace {

TEST(IsPortTaken, SaysWhetherSomebodyListensThere) {
  const FreePort port;
  EXPECT_FALSE(is_port_taken(port.number()));
  port.listen(16);
  EXPECT_TRUE(is_port_taken(port.number()));
  EXPECT_TRUE(is_port_taken(port.number()));
}

TEST(IsPortTaken, OneThatIsTooBusyToTakeAConnectionListensAllTheSame) {
  const FreePort port;
  port.listen(0);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(is_port_taken(port.number())) << i;
}

}  // namespace
}  // namespace gbgreg::fleet
