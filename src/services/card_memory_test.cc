#include "services/card_memory.h"

#include <gmock/gmock.h>

#include <vector>

namespace gbgreg::services {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kGigabyte = 1'000'000'000;

gpu::NvmlDevice card(std::int64_t used, std::vector<gpu::GpuProcess> processes = {}) {
  return {.uuid = "GPU-1",
          .name = "RTX",
          .memory_bytes = 16'000'000'000,
          .memory_used_bytes = static_cast<std::uint64_t>(used),
          .processes = std::move(processes)};
}

llm::BackendView worker(int process, llm::BackendState state = llm::BackendState::ready) {
  llm::BackendView view{.id = "technical/m", .role = "technical", .model = "m", .state = state, .process_id = process};
  if (state == llm::BackendState::ready) view.placement = {.device = "CUDA0", .devices = {"CUDA0"}};
  view.memory_bytes = 5 * kGigabyte;
  return view;
}

std::optional<CardMemory> look(const std::vector<gpu::NvmlDevice>& cards,
                               const std::vector<llm::BackendView>& views = {}) {
  return card_memory_for_models(cards, views);
}
// In whole hundreds of megabytes, which is coarser than the steps.
std::int64_t hundreds(const std::optional<CardMemory>& memory) { return memory ? memory->bytes / 100'000'000 : -1; }

TEST(CardMemory, IsWhatThereIsWithoutTheReserve) {
  const auto memory = look({card(0)});
  EXPECT_EQ(hundreds(memory), 149) << "16 GB without a sixteenth";
  EXPECT_EQ(memory->bytes % kCardMemoryStep, 0);
  EXPECT_THAT(memory->figures, HasSubstr("16.00 GB in all; other programs hold 0.00 GB, and 1.00 GB are kept back"));
  EXPECT_EQ(look({}), std::nullopt) << "no card";
  EXPECT_EQ(look({gpu::NvmlDevice{.uuid = "GPU-1", .name = "RTX"}}), std::nullopt) << "it does not say how large it is";
}

TEST(CardMemory, OfASmallCardKeepsEnoughBack) {
  gpu::NvmlDevice small = card(0);
  small.memory_bytes = 2 * kGigabyte;
  EXPECT_EQ(hundreds(look({small})), (2 * kGigabyte - kCardReserveMin) / 100'000'000);
}

TEST(CardMemory, IsThatOfAllCardsTogether) { EXPECT_EQ(hundreds(look({card(0), card(3 * kGigabyte)})), 269); }

TEST(CardMemory, IsWithoutWhatOthersHoldAndWithWhatIsOurs) {
  const auto used = card(9 * kGigabyte, {{.pid = 10, .bytes = 6'000'000'000}, {.pid = 77, .bytes = 2'500'000'000}});
  const auto memory = look({used}, {worker(10)});
  EXPECT_EQ(hundreds(memory), 119) << "nine held, six of them by us";
  EXPECT_THAT(memory->figures, HasSubstr("other programs hold 3.00 GB"));
  EXPECT_EQ(hundreds(look({used})), 59) << "a process that nobody here knows is another's";
}

TEST(CardMemory, CountsAWorkerOnceThatIsInBothPictures) {
  const auto used = card(7 * kGigabyte, {{.pid = 10, .bytes = 6'000'000'000}});
  EXPECT_EQ(hundreds(look({used}, {worker(10), worker(10)})), 139);
}

TEST(CardMemory, GoesByTheWorkersWordWhereTheDriverDoesNotKnowTheirProcesses) {
  const auto used = card(9 * kGigabyte, {{.pid = 54'321, .bytes = 6'000'000'000}});
  EXPECT_EQ(hundreds(look({used}, {worker(10)})), 109) << "five are ours";
  EXPECT_EQ(look({used}, {worker(10), worker(11, llm::BackendState::loading)}), std::nullopt)
      << "how much of it is that of the one that loads cannot be told";
  auto on_processor = worker(11);
  on_processor.placement = {.device = "CPU"};
  EXPECT_EQ(hundreds(look({used}, {worker(10), on_processor})), 109);
}

TEST(CardMemory, IsNothingAndNotLessWhereOthersHoldItAll) {
  EXPECT_EQ(look({card(16 * kGigabyte)})->bytes, 0);
  EXPECT_EQ(look({card(3 * kGigabyte)}, {worker(10)})->bytes, look({card(0)})->bytes)
      << "ours is more than all that is used";
}

}  // namespace
}  // namespace gbgreg::services
