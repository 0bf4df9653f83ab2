#include "gpu/probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace gbgreg::gpu {
namespace {

using ::testing::ElementsAre;

TEST(ReadProbe, TellsWhatWasTold) {
  Machine machine{.nodes = {{.path = "/dev/nvidia0"}}};
  const Probe probe = read_probe(
      R"({"module":{"file":"libggml-cuda.so","is_loadable":false,"load_error":"x","missing":["libcudart.so.13"]}})"
      "\n"
      R"({"modules_seen":{}})"
      "\n"
      R"({"node":{"path":"/dev/nvidia0","open_error":13}})"
      "\n"
      R"({"nvml":{"driver_version":"580.95.05","devices":[{"uuid":"GPU-1","name":"RTX","memory_bytes":17179869184,"processes":[{"pid":7,"bytes":5}]}]}})"
      "\n"
      R"({"cuda":{"path":"/lib/libcuda.so.1","status":0,"version":13000,"devices":[{"name":"RTX","capability":120}]}})"
      "\n"
      R"({"end":{}})"
      "\n",
      false, machine);
  EXPECT_FALSE(probe.has_hung);
  EXPECT_FALSE(probe.has_died);
  EXPECT_EQ(machine.nodes[0].open_error, 13);
  ASSERT_EQ(probe.modules->size(), 1U);
  EXPECT_THAT(probe.modules->at(0).missing, ElementsAre("libcudart.so.13"));
  ASSERT_TRUE(probe.nvml->works());
  EXPECT_EQ(probe.nvml->devices.at(0).memory_bytes, 17179869184U);
  EXPECT_EQ(probe.nvml->devices.at(0).processes.at(0).pid, 7);
  EXPECT_FALSE(probe.nvml->devices.at(0).utilisation_percent);
  EXPECT_TRUE(probe.cuda->works());
  EXPECT_EQ(probe.cuda->devices.at(0).capability, 120);
}

TEST(ReadProbe, KnowsWhatHadBeenToldBeforeItHung) {
  Machine machine;
  const Probe probe = read_probe("{\"modules_seen\":{}}\n{\"nvml\":{\"status\":18}}\n{\"cu", true, machine);
  EXPECT_TRUE(probe.has_hung);
  EXPECT_FALSE(probe.has_died);
  EXPECT_TRUE(probe.modules->empty());
  EXPECT_EQ(probe.nvml->status, 18);
  EXPECT_FALSE(probe.cuda);
}

TEST(ReadProbe, TakesAnyBytes) {
  for (const std::string_view told :
       {"", "\n\n", "[1]\n", "{\"nvml\":3}\n", "{\"nvml\":{\"devices\":[1,{\"memory_bytes\":-5}]}}\n",
        "{\"cuda\":{\"status\":1e300,\"version\":\"x\"}}\n", "\xff\xfe\n{\"module\":{\"missing\":{}}}"}) {
    Machine machine;
    EXPECT_TRUE(read_probe(told, false, machine).has_died) << told;
  }
}

TEST(AskDriver, AProgramThatIsNotThereTellsNothing) {
  Machine machine;
  const Probe probe = ask_driver({.program = "/no/such/program"}, machine);
  EXPECT_FALSE(probe.nvml);
  EXPECT_FALSE(probe.has_hung);
}

TEST(AskDriver, OneThatHangsIsGivenUpAndWhatItHadToldIsKept) {
  std::string name = (std::filesystem::temp_directory_path() / "gbgreg-probe-XXXXXX").string();
  const std::filesystem::path folder = ::mkdtemp(name.data());
  std::ofstream(folder / "program") << "#!/bin/sh\necho '{\"modules_seen\":{}}'\nexec sleep 600\n";
  std::filesystem::permissions(folder / "program", std::filesystem::perms::owner_all);
  Machine machine;
  Probe probe;
  // A busy machine may need longer to start it at all.
  for (std::chrono::milliseconds timeout{500}; !probe.modules && timeout < std::chrono::seconds{60}; timeout *= 2) {
    probe = ask_driver({.program = folder / "program", .timeout = timeout}, machine);
  }
  std::filesystem::remove_all(folder);
  EXPECT_TRUE(probe.has_hung);
  EXPECT_TRUE(probe.modules);
}

}  // namespace
}  // namespace gbgreg::gpu
