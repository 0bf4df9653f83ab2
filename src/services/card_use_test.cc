#include "services/card_use.h"

#include <gmock/gmock.h>

#include "gpu/bandwidth.h"

namespace gbgreg::services {
namespace {

constexpr std::int64_t kGigabyte = 1'000'000'000;

llm::BackendView on_card(int pid, std::int64_t model_bytes) {
  return {.id = "technical/m",
          .role = "technical",
          .model = "m",
          .model_bytes = model_bytes,
          .placement = {.device = "CUDA0", .devices = {"CUDA0"}, .gpu_layers = 33, .total_layers = 33},
          .process_id = pid};
}

gpu::NvmlDevice card_of(int clock_mhz, std::optional<int> bus_bits) {
  return {.uuid = "GPU-1", .name = "RTX", .memory_clock_mhz = clock_mhz, .memory_bus_bits = bus_bits};
}

gpu::NvmlDevice card() {
  return {.uuid = "GPU-1",
          .name = "RTX",
          .memory_clock_mhz = 14'001,
          .memory_bus_bits = 256,
          .processes = {{.pid = 10, .bytes = 5'000'000'000}, {.pid = 77, .bytes = 300'000'000}}};
}

TEST(BandwidthOf, IsWhatTheCardIsSoldWith) {
  struct Case {
    const char* name;
    int clock_mhz, bus_bits;
    std::int64_t gigabytes;
  };
  const Case cases[] = {
      {"RTX 5070 Ti", 14'001, 256, 896}, {"RTX 3080", 9'501, 320, 760}, {"H100 SXM", 2'619, 5'120, 3'352}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(gpu::bandwidth_of(card_of(c.clock_mhz, c.bus_bits)).value() / kGigabyte, c.gigabytes);
  }
  EXPECT_EQ(gpu::bandwidth_of(card_of(9'501, {})), std::nullopt) << "half of it is not known";
}

TEST(CardUseOf, KnowsAWorkersMemoryByItsProcessAndItsBoundByTheModelsSize) {
  const std::vector<llm::BackendView> backends = {on_card(10, 4 * kGigabyte), on_card(11, 2 * kGigabyte)};
  const auto uses = card_use_of(backends, std::vector{card()});
  ASSERT_EQ(uses.size(), 2U);
  EXPECT_EQ(uses[0].memory_bytes, 5 * kGigabyte);
  EXPECT_NEAR(uses[0].tokens_per_second_bound.value(), 224, 0.1);
  EXPECT_EQ(uses[1].memory_bytes, std::nullopt) << "the driver knows no such process";
  EXPECT_NEAR(uses[1].tokens_per_second_bound.value(), 448, 0.1);
}

TEST(CardUseOf, HasNoBoundForWhatIsNotWhollyOnTheOnlyCard) {
  auto mixed = on_card(10, kGigabyte);
  mixed.placement.device = "mixed";
  mixed.placement.gpu_layers = 20;
  auto on_processor = on_card(10, kGigabyte);
  on_processor.placement = {.device = "CPU", .gpu_layers = 0, .total_layers = 33};
  const std::vector<llm::BackendView> backends = {mixed, on_processor};
  for (const auto& use : card_use_of(backends, std::vector{card()}))
    EXPECT_EQ(use.tokens_per_second_bound, std::nullopt);
  const std::vector<llm::BackendView> whole = {on_card(10, kGigabyte)};
  EXPECT_EQ(card_use_of(whole, std::vector{card(), card()})[0].tokens_per_second_bound, std::nullopt)
      << "which of the two cards it is on is not known";
}

TEST(AddUse, TellsWhoseTheMemoryIs) {
  protocols::native::GpuDevice device;
  Diagnosis diagnosis{.utilisation_decoding = {{"GPU-1", 97}}};
  const std::vector<llm::BackendView> backends = {on_card(10, kGigabyte)};
  add_use(device, card(), diagnosis, backends);
  ASSERT_EQ(device.processes.size(), 2U);
  EXPECT_EQ(device.processes[0].role, "technical");
  EXPECT_EQ(device.processes[0].bytes, 5 * kGigabyte);
  EXPECT_EQ(device.processes[1].role, "") << "another program";
  EXPECT_EQ(device.utilisation_decoding_percent, 97);
}

}  // namespace
}  // namespace gbgreg::services
