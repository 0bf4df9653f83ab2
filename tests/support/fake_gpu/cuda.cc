// A libcuda.so.1 without a driver behind it. What it answers is told by the environment (settings.h):
//   CUDA_FAKE_STATUS    what cuInit returns [0]
//   CUDA_FAKE_VERSION   of the driver's interface [13000]
//   CUDA_FAKE_HANG=1    cuInit never comes back
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "settings.h"

using fake_gpu::number;

extern "C" {

int cuInit(unsigned) {
  while (number("CUDA_FAKE_HANG", 0) != 0) ::sleep(1000);
  return number("CUDA_FAKE_STATUS", 0);
}

int cuDriverGetVersion(int* version) {
  *version = number("CUDA_FAKE_VERSION", 13000);
  return 0;
}

int cuDeviceGetCount(int* count) {
  *count = 1;
  return 0;
}

int cuDeviceGet(int* device, int index) {
  *device = index;
  return 0;
}

int cuDeviceGetName(char* text, int size, int) {
  std::snprintf(text, static_cast<std::size_t>(size), "NVIDIA GeForce RTX 5070 Ti");
  return 0;
}

int cuDeviceGetAttribute(int* value, int attribute, int) {
  *value = attribute == 75 ? 12 : 0;
  return 0;
}

}  // extern "C"
