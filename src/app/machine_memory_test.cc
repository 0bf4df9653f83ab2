#include "app/machine_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "fleet/memory_plan.h"

namespace gbgreg::app {
namespace {

namespace fs = std::filesystem;

class MachineMemory : public testing::Test {
 protected:
  void TearDown() override { fs::remove_all(root_); }
  void write(const char* path, std::string_view text) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  fs::path root_ = fs::temp_directory_path() / ("gbgreg-memory-" + std::to_string(::getpid()));
};

TEST_F(MachineMemory, IsNineTenthsOfWhatTheMachineHas) {
  write("proc/meminfo", "MemFree:    5 kB\nMemTotal:       1000000 kB\nSwapTotal: 9999999 kB\n");
  EXPECT_EQ(memory_for_models(root_), 921'600'000);
}

TEST_F(MachineMemory, IsTheContainersWhereThatHasLess) {
  write("proc/meminfo", "MemTotal: 1000000 kB\n");
  write("sys/fs/cgroup/memory.max", "100000000\n");
  EXPECT_EQ(memory_for_models(root_), 90'000'000);
  write("sys/fs/cgroup/memory.max", "max\n");
  EXPECT_EQ(memory_for_models(root_), 921'600'000);
}

TEST_F(MachineMemory, IsWithoutABoundWhereNothingSaysIt) {
  EXPECT_EQ(memory_for_models(root_), fleet::Memory::kUnbounded);
}

TEST_F(MachineMemory, OfThisMachineIsThere) {
  EXPECT_GT(memory_for_models("/"), 100'000'000);
  EXPECT_LT(memory_for_models("/"), fleet::Memory::kUnbounded);
}

}  // namespace
}  // namespace gbgreg::app
