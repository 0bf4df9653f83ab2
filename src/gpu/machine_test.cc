#include "gpu/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "gpu/kernel_log.h"

namespace gbgreg::gpu {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class MachineTest : public ::testing::Test {
 protected:
  MachineTest() {
    std::string name = (std::filesystem::temp_directory_path() / "gbgreg-machine-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    const auto file = root_ / path.substr(1);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void add_card(const std::string& address, const std::string& device, const std::string& driver) {
    const std::string folder = "/sys/bus/pci/devices/" + address;
    write(folder + "/vendor", "0x10de\n");
    write(folder + "/class", "0x030000\n");
    write(folder + "/device", device + "\n");
    if (!driver.empty()) {
      std::filesystem::create_symlink("../../../bus/pci/drivers/" + driver, root_ / folder.substr(1) / "driver");
    }
  }
  Machine read() { return read_machine(HostFiles(root_)); }

  std::filesystem::path root_;
};

TEST_F(MachineTest, AnEmptyOneHasNothingAndIsNotAccused) {
  const Machine machine = read();
  EXPECT_EQ(machine.container, Container::none);
  EXPECT_THAT(machine.cards, IsEmpty());
  EXPECT_THAT(machine.nodes, IsEmpty());
  EXPECT_FALSE(machine.driver);
  EXPECT_FALSE(machine.modules);
  EXPECT_FALSE(machine.suspends);
  EXPECT_FALSE(machine.kernel_log_readable);
  EXPECT_TRUE(machine.has_avx2);
}

TEST_F(MachineTest, CardsAreNvidiasDisplayDevices) {
  add_card("0000:01:00.0", "0x2c05", "nvidia");
  add_card("0000:02:00.0", "0x2204", "");
  write("/sys/bus/pci/devices/0000:01:00.1/vendor", "0x10de\n");  // Its sound.
  write("/sys/bus/pci/devices/0000:01:00.1/class", "0x040300\n");
  write("/sys/bus/pci/devices/0000:03:00.0/vendor", "0x1002\n");
  write("/sys/bus/pci/devices/0000:03:00.0/class", "0x030000\n");
  const Machine machine = read();
  ASSERT_EQ(machine.cards.size(), 2U);
  EXPECT_EQ(machine.cards[0].device, 0x2c05);
  EXPECT_EQ(machine.cards[0].driver, "nvidia");
  EXPECT_TRUE(machine.cards[0].is_blackwell);
  EXPECT_EQ(machine.cards[1].driver, "");
  EXPECT_FALSE(machine.cards[1].is_blackwell);
}

TEST_F(MachineTest, TheDriverTellsItsVersionAndItsKind) {
  write("/proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (root@host)  Mon Sep 29\n"
        "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n");
  Machine machine = read();
  EXPECT_EQ(machine.driver->version, "580.95.05");
  EXPECT_TRUE(machine.driver->is_open);
  write("/proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n");
  machine = read();
  EXPECT_EQ(machine.driver->version, "535.183.01");
  EXPECT_FALSE(machine.driver->is_open);
}

TEST_F(MachineTest, NodesModulesAndNumbersAreRead) {
  write("/dev/nvidia0", "195\n");
  write("/dev/nvidiactl", "195\n");
  write("/dev/nvidia-uvm", "508\n");
  write("/dev/nvidia-caps/nvidia-cap1", "1\n");
  write("/dev/null", "");
  write("/proc/modules", "nvidia_uvm 1798144 2 - Live 0x0 (POE)\nnvidia 56823808 18 nvidia_uvm, Live 0x0 (POE)\n");
  write("/proc/devices",
        "Character devices:\n  1 mem\n195 nvidia-frontend\n511 nvidia-uvm\n\nBlock devices:\n  8 sd\n");
  write("/sys/module/nvidia_uvm/parameters/uvm_disable_hmm", "N\n");
  write("/sys/power/suspend_stats/success", "3\n");
  const Machine machine = read();
  ASSERT_EQ(machine.nodes.size(), 3U);
  EXPECT_EQ(machine.nodes[0].path, "/dev/nvidia-uvm");
  EXPECT_EQ(machine.nodes[0].major, 508U);
  EXPECT_THAT(*machine.modules, ElementsAre("nvidia_uvm", "nvidia"));
  EXPECT_EQ(machine.nvidia_major, 195U);
  EXPECT_EQ(machine.uvm_major, 511U);
  EXPECT_EQ(machine.hmm_disabled, false);
  EXPECT_EQ(machine.suspends, 3);
}

TEST_F(MachineTest, OfTheKernelsLogOnlyTheGpusLinesAreKept) {
  std::string log = "6,1,100,-;Linux version 6.1\n SUBSYSTEM=pci\n";
  for (int i = 0; i < 100; ++i) log += "4,2,200,-;NVRM: line " + std::to_string(i) + "\n";
  write("/dev/kmsg", log + "3,3,300,-;NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.\n");
  const Machine machine = read();
  EXPECT_TRUE(machine.kernel_log_readable);
  EXPECT_EQ(machine.kernel_log.size(), 64U);
  EXPECT_EQ(machine.kernel_log.back(), "NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.");
}

TEST_F(MachineTest, ContainersAreToldApart) {
  write("/proc/1/environ", std::string("PATH=/bin\0my_container=docker\0", 30));
  EXPECT_EQ(read().container, Container::none);
  write("/proc/1/environ", std::string("PATH=/bin\0container=lxc\0TERM=linux\0", 35));
  EXPECT_EQ(read().container, Container::lxc);
  write("/proc/1/environ", std::string("container=lxc\0", 14));
  EXPECT_EQ(read().container, Container::lxc);
  write("/.dockerenv", "");
  EXPECT_EQ(read().container, Container::docker);
  write("/run/.containerenv", "");
  EXPECT_EQ(read().container, Container::podman);
}

TEST_F(MachineTest, TheProcessorsFlagsAreWords) {
  write("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu sse4_2 avx hypervisor avx2\nbugs\t: none\n");
  EXPECT_TRUE(read().has_avx2);
  EXPECT_TRUE(read().is_virtual);
  write("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu sse4_2 avx2x hypervisor\nbugs\t: avx2 \n");
  EXPECT_FALSE(read().has_avx2);
  write("/proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimd\n");
  EXPECT_TRUE(read().has_avx2);
}

TEST_F(MachineTest, TheDriversLibraryIsFoundWhereverItLies) {
  write("/usr/lib64/libcuda.so.1", "");
  EXPECT_THAT(read().cuda_libraries, ElementsAre("/usr/lib64/libcuda.so.1"));
}

TEST(EnvironmentOfWorkers, AnEmptyVariableIsNotAnAbsentOne) {
  const Environment read = read_environment(
      std::vector<std::string>{"CUDA_VISIBLE_DEVICES=", "CUDA_VISIBLE_DEVICES_X=1", "LD_LIBRARY_PATH=/a:/b"});
  EXPECT_EQ(read.cuda_visible_devices, "");
  EXPECT_FALSE(read.nvidia_visible_devices);
  EXPECT_EQ(read.library_path, "/a:/b");
}

TEST(TellsOfHang, KnowsTheReportsThatOnlyAResetEnds) {
  EXPECT_TRUE(tells_of_hang("4,1,1000,-;NVRM: Xid (PCI:0000:01:00): 119, pid=812, Timeout after 6s"));
  EXPECT_TRUE(tells_of_hang("NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus."));
  for (const char* line : {"NVRM: Xid (PCI:0000:01:00): 13, Graphics Exception", "NVRM: Xid (PCI:0000:01:00):", "Xid",
                           "NVRM: Xid (PCI): 99999999999999999999, x", ""}) {
    EXPECT_FALSE(tells_of_hang(line)) << line;
  }
}

TEST(HasOwnCard, CountsNoneThatAVirtualMachineHas) {
  Machine machine;
  EXPECT_FALSE(has_own_card(machine));
  machine.cards = {{.address = "0000:01:00.0", .driver = "vfio-pci"}};
  EXPECT_FALSE(has_own_card(machine));
  machine.cards.push_back({.address = "0000:02:00.0", .driver = "nvidia"});
  EXPECT_TRUE(has_own_card(machine));
}

}  // namespace
}  // namespace gbgreg::gpu
