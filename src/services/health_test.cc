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

TEST(AddGpu, SaysNothingWhereNobodyKnowsOfAGpu) {
  protocols::native::HealthReport report;
  add_gpu(report, nullptr);
  EXPECT_EQ(report.gpu.status, "absent");
  const Diagnosis nothing;
  add_gpu(report, &nothing);
  EXPECT_EQ(report.gpu.status, "absent");
}

TEST(AddGpu, ACardThatNobodyUsesIsThereAllTheSame) {
  protocols::native::HealthReport report;
  const Diagnosis diagnosis{.devices = {{.uuid = "GPU-1", .name = "RTX", .memory_bytes = 16, .memory_used_bytes = 6}}};
  add_gpu(report, &diagnosis);
  EXPECT_EQ(report.gpu.status, "ok");
  ASSERT_EQ(report.gpu.devices.size(), 1U);
  EXPECT_EQ(report.gpu.devices[0].name, "RTX");
  EXPECT_EQ(report.gpu.devices[0].memory_free_bytes, 10);
}

TEST(AddGpu, OnlyAnErrorIsAFault) {
  protocols::native::HealthReport report;
  Diagnosis diagnosis{.gpu_findings = {{.code = "projector_on_cpu", .severity = gpu::Severity::warning}}};
  add_gpu(report, &diagnosis);
  EXPECT_EQ(report.gpu.status, "absent");
  EXPECT_EQ(report.gpu.findings.size(), 1U);
  diagnosis.gpu_findings[0].severity = gpu::Severity::error;
  add_gpu(report, &diagnosis);
  EXPECT_EQ(report.gpu.status, "fault");
}

}  // namespace
}  // namespace gbgreg::services
