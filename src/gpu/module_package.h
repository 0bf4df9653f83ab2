// The engine's modules for GPUs, each in an npm package of the version that the engine was built from. Pure.
//
// What a package holds is pinned by its digest, so what its module needs is known before it is fetched.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gbgreg::gpu {

// A library that a module needs of the machine, and how its owner gets it.
struct NeededLibrary {
  std::string_view file;  // "libvulkan.so.1"
  std::string_view fix;   // "apt install libvulkan1"
};

struct ModulePackage {
  std::string_view name;       // As the owner calls it: "cuda12".
  std::string_view package;    // As npm does, with its version.
  std::string_view integrity;  // "sha512-…" of the package's tarball.
  std::string_view member;     // Where the module is in it.
  std::string_view file;       // What the module is called beside the engine: "libggml-cuda.so".
  std::string_view device;     // How the engine's names of its devices begin: "CUDA".
  std::span<const NeededLibrary> needs;
};

// In the order in which they are tried when the owner names none: the fastest first.
std::span<const ModulePackage> module_packages();

// Null when there is none of this name.
const ModulePackage* module_package(std::string_view name);

// Every file that a module may have beside the engine, each once.
std::span<const std::string_view> module_files();

// Of those that the package needs, the ones that this machine's loader does not find. Loads them into this process.
std::vector<NeededLibrary> missing_libraries_of(const ModulePackage& package);

}  // namespace gbgreg::gpu
