// A libnvidia-ml.so.1 without a driver behind it. What it answers is told by the environment:
//   NVIDIA_FAKE_NVML_STATUS   what nvmlInit_v2 returns [0]
//   NVIDIA_FAKE_DEVICES       how many devices there are [1]
//   NVIDIA_FAKE_DRIVER        the driver's version [580.95.05]
//   NVIDIA_FAKE_HANG=nvml     it never comes back
//   NVIDIA_FAKE_CRASH=nvml    it ends its caller
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

int number(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::atoi(text) : otherwise;
}

bool is(const char* name, const char* value) {
  const char* text = std::getenv(name);
  return text != nullptr && std::strcmp(text, value) == 0;
}

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
  const char* version = std::getenv("NVIDIA_FAKE_DRIVER");
  std::snprintf(text, size, "%s", version != nullptr ? version : "580.95.05");
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
  *memory = {.total = 17'094'934'528, .free = 16'000'000'000, .used = 1'094'934'528};
  return 0;
}

int nvmlDeviceGetUtilizationRates(void*, Utilisation* utilisation) {
  *utilisation = {.gpu = 7, .memory = 3};
  return 0;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void*, unsigned* count, Process* processes) {
  if (*count > 0) processes[0] = {.pid = 1, .memory = 262'144'000, .gpu_instance = 0, .compute_instance = 0};
  *count = 1;
  return 0;
}

}  // extern "C"
