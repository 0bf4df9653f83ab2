#include "app/gateway_id.h"

#include <gtest/gtest.h>

#include <fstream>

#include "storage/failing_disk.h"

namespace gbgreg::app {
namespace {

TEST(GatewayId, IsTheSameAgainAndAnotherForAnotherFolder) {
  const SystemClock clock;
  const storage::TestFolder one, other;
  const std::string id = gateway_id(one.path(), clock);
  EXPECT_EQ(id.size(), 36U);
  EXPECT_EQ(gateway_id(one.path(), clock), id);
  EXPECT_NE(gateway_id(other.path(), clock), id);
}

TEST(GatewayId, IsMadeAnewWhereTheFileHasNone) {
  const SystemClock clock;
  const storage::TestFolder folder;
  std::ofstream(folder.path() / "gateway-id") << "../../etc/passwd";
  const std::string id = gateway_id(folder.path(), clock);
  EXPECT_EQ(id.size(), 36U);
  EXPECT_EQ(gateway_id(folder.path(), clock), id);
}

TEST(GatewayId, IsOneForThisRunWhereNothingCanBeWritten) {
  const SystemClock clock;
  const std::filesystem::path nowhere = "/nonexistent/folder";
  EXPECT_NE(gateway_id(nowhere, clock), gateway_id(nowhere, clock));
}

}  // namespace
}  // namespace gbgreg::app
