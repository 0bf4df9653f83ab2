// A libnvidia-ml.so.1 without a driver behind it. What it answers is told by the environment (settings.h):
//   NVIDIA_FAKE_NVML_STATUS   what nvmlInit_v2 returns [0]
//   NVIDIA_FAKE_DEVICES       how many devices there are [1]
//   NVIDIA_FAKE_DRIVER        the driver's version [580.95.05]
//   NVIDIA_FAKE_PROCESSES     who holds memory, as "pid:bytes pid:bytes" [1:262144000]
//   NVIDIA_FAKE_MEMORY        how much of it there is, in bytes [17094934528]
//   NVIDIA_FAKE_USED          how much of that is used [1094934528]
//   NVIDIA_FAKE_GRAPHICS      who holds memory and draws, likewise [nobody]
//   NVIDIA_FAKE_UTILISATION   in percent [7]
//   NVIDIA_FAKE_CLOCK         of the memory, in MHz [0: not told]
//   NVIDIA_FAKE_BUS           its width in bits [0: not told]
//   NVIDIA_FAKE_HANG=nvml     it never comes back
//   NVIDIA_FAKE_CRASH=nvml    it ends its caller
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>

#include "settings.h"

namespace {

using fake_gpu::large_number;
using fake_gpu::number;
using fake_gpu::setting;

bool is(const char* name, const char* value) { return setting(name) == value; }

struct Memory {
  unsigned long long total, free, used;
};
struct Utilisation {
  unsigned gpu, memory;
};
struct Process {
  unsigned pid;
  unsigned long long memory;
  unsigned gpu_instance, compute_instance;
};

int list(const std::string& text, unsigned* count, Process* processes) {
  std::istringstream told(text);
  unsigned found = 0;
  for (std::string one; told >> one && found < *count; ++found) {
    const std::size_t colon = one.find(':');
    processes[found] = {.pid = static_cast<unsigned>(std::stoul(one)),
                        .memory = std::stoull(one.substr(colon + 1)),
                        .gpu_instance = 0,
                        .compute_instance = 0};
  }
  *count = found;
  return 0;
}

}  // namespace

extern "C" {

int nvmlInit_v2() {
  while (is("NVIDIA_FAKE_HANG", "nvml")) ::sleep(1000);
  if (is("NVIDIA_FAKE_CRASH", "nvml")) std::abort();
  return number("NVIDIA_FAKE_NVML_STATUS", 0);
}

const char* nvmlErrorString(int status) {
  switch (status) {
    case 4:
      return "Insufficient Permissions";
    case 9:
      return "Driver Not Loaded";
    case 18:
      return "Driver/library version mismatch";
    default:
      return "Unknown Error";
  }
}

int nvmlSystemGetDriverVersion(char* text, unsigned size) {
  std::snprintf(text, size, "%s", setting("NVIDIA_FAKE_DRIVER", "580.95.05").c_str());
  return 0;
}

int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = static_cast<unsigned>(number("NVIDIA_FAKE_DEVICES", 1));
  return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned, void** handle) {
  static int device;
  *handle = &device;
  return 0;
}

int nvmlDeviceGetUUID(void*, char* text, unsigned size) {
  std::snprintf(text, size, "GPU-1a2b3c4d-0000-1111-2222-333344445555");
  return 0;
}

int nvmlDeviceGetName(void*, char* text, unsigned size) {
  std::snprintf(text, size, "NVIDIA GeForce RTX 5070 Ti");
  return 0;
}

int nvmlDeviceGetMemoryInfo(void*, Memory* memory) {
  const unsigned long long total = large_number("NVIDIA_FAKE_MEMORY", 17'094'934'528);
  const unsigned long long used = large_number("NVIDIA_FAKE_USED", 1'094'934'528);
  *memory = {.total = total, .free = total - used, .used = used};
  return 0;
}

int nvmlDeviceGetUtilizationRates(void*, Utilisation* utilisation) {
  *utilisation = {.gpu = static_cast<unsigned>(number("NVIDIA_FAKE_UTILISATION", 7)), .memory = 3};
  return 0;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void*, unsigned* count, Process* processes) {
  return list(setting("NVIDIA_FAKE_PROCESSES", "1:262144000"), count, processes);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(void*, unsigned* count, Process* processes) {
  return list(setting("NVIDIA_FAKE_GRAPHICS"), count, processes);
}

int nvmlDeviceGetMaxClockInfo(void*, int, unsigned* clock) {
  *clock = static_cast<unsigned>(number("NVIDIA_FAKE_CLOCK", 0));
  return *clock == 0 ? 3 : 0;
}

int nvmlDeviceGetMemoryBusWidth(void*, unsigned* bits) {
  *bits = static_cast<unsigned>(number("NVIDIA_FAKE_BUS", 0));
  return *bits == 0 ? 3 : 0;
}

}  // extern "C"
