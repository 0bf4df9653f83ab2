#include "services/health.h"

#include <gmock/gmock.h>

namespace gbgreg::services {
namespace {

TEST(DevicesInUse, NamesEachDeviceOnceWhetherAModelIsWhollyOnItOrNot) {
  std::vector<llm::BackendView> backends(4);
  backends[0].placement = {.device = "mixed", .devices = {"CUDA0", "CUDA1"}};
  backends[1].placement = {.device = "CPU"};
  backends[2].placement = {.device = "CUDA0", .devices = {"CUDA0"}};
  std::vector<std::string> names;
  for (const auto& device : devices_in_use(backends)) names.push_back(device.name);
  EXPECT_THAT(names, testing::ElementsAre("CUDA0", "CUDA1"));
}

}  // namespace
}  // namespace gbgreg::services
