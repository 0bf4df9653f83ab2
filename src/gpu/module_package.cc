#include "gpu/module_package.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>

namespace gbgreg::gpu {
namespace {

// Debian 12 has neither; NVIDIA's own package repository has both.
constexpr std::array<NeededLibrary, 3> kNeededByCuda = {{
    {.file = "libcuda.so.1",
     .fix = "install NVIDIA's driver: apt install libcuda1 (Debian) or libnvidia-compute-580 (Ubuntu); in a "
            "container, start it with --gpus all"},
    {.file = "libcudart.so.13", .fix = "apt install cuda-cudart-13-0, from NVIDIA's own package repository for CUDA"},
    {.file = "libcublas.so.13", .fix = "apt install libcublas-13-0, from NVIDIA's own package repository for CUDA"},
}};

constexpr std::array<NeededLibrary, 3> kNeededByCuda12 = {{
    kNeededByCuda[0],
    {.file = "libcudart.so.12", .fix = "apt install libcudart12 (Debian 13), or cuda-cudart-12-9 from NVIDIA"},
    {.file = "libcublas.so.12", .fix = "apt install libcublas12 (Debian 13), or libcublas-12-9 from NVIDIA"},
}};

constexpr std::array<NeededLibrary, 1> kNeededByVulkan = {{
    {.file = "libvulkan.so.1", .fix = "apt install libvulkan1"},
}};

constexpr std::array<ModulePackage, 3> kPackages = {{
    {.name = "cuda",
     .package = "@node-llama-cpp/linux-x64-cuda@3.22.1",
     .integrity = "sha512-8rQCjyNNLZJUFit+YpjwlC4hwkKgOMIkB2wuycKBf8NU2O3ySKbiWZQ8aw9ku2nUTXjSnUIrE6KB88itduTBuA==",
     .member = "package/bins/linux-x64-cuda/libggml-cuda.so",
     .file = "libggml-cuda.so",
     .device = "CUDA",
     .needs = kNeededByCuda},
    {.name = "cuda12",
     .package = "@node-llama-cpp/linux-x64-cuda-ext@3.22.1",
     .integrity = "sha512-4e5ajkiM2aR2WAdB/N/ACk4weEhHvOAIrzxZPsIX0xDFW5+6hhShuy1/vs88SK9NGdgAco9IyE28eYS0H1efpA==",
     .member = "package/bins/linux-x64-cuda/fallback/libggml-cuda.so",
     .file = "libggml-cuda.so",
     .device = "CUDA",
     .needs = kNeededByCuda12},
    {.name = "vulkan",
     .package = "@node-llama-cpp/linux-x64-vulkan@3.22.1",
     .integrity = "sha512-bBxqU+JOcBu1nb5Qj2zcMci+JByT1E8EajHvYodyNfVIPkEhXh+/HMwR1/BT7xP08YK0hks+kM8fglER0P8JEg==",
     .member = "package/bins/linux-x64-vulkan/libggml-vulkan.so",
     .file = "libggml-vulkan.so",
     .device = "Vulkan",
     .needs = kNeededByVulkan},
}};

constexpr std::array<std::string_view, 2> kFiles = {"libggml-cuda.so", "libggml-vulkan.so"};

}  // namespace

std::span<const ModulePackage> module_packages() { return kPackages; }

const ModulePackage* module_package(std::string_view name) {
  const auto* found = std::ranges::find(kPackages, name, &ModulePackage::name);
  return found == kPackages.end() ? nullptr : found;
}

std::span<const std::string_view> module_files() { return kFiles; }

std::vector<NeededLibrary> missing_libraries_of(const ModulePackage& package) {
  std::vector<NeededLibrary> missing;
  for (const NeededLibrary& library : package.needs) {
    // Kept loaded: a driver's library does not always like to be let go of.
    if (::dlopen(std::string(library.file).c_str(), RTLD_LAZY | RTLD_LOCAL) == nullptr) missing.push_back(library);
  }
  return missing;
}

}  // namespace gbgreg::gpu
