// Gets an engine's module out of its npm package: fetched by the ordinary npm client, once, and compared with the
// digest that is pinned. Blocks.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "gpu/module_package.h"

namespace gbgreg::services {

// A line for the person who waits.
using TellStep = std::function<void(std::string_view line)>;

struct PackageFetch {
  std::filesystem::path cache;           // Tarballs are kept in its folder npm/.
  std::vector<std::string> environment;  // Whole, "NAME=value": npm's own settings come by it, too.
};

// Writes the module to `target`, whole and synced or not at all.
// Errors: unavailable (npm did not fetch it), refused (it is not the pinned one, or holds no module for this machine),
// internal (it could not be written).
Result<void> fetch_module(const gpu::ModulePackage& package, const PackageFetch& options,
                          const std::filesystem::path& target, const TellStep& tell);

// "sha512-" and the digest of a file in base64; empty when it cannot be read.
std::string integrity_of(const std::filesystem::path& file);

}  // namespace gbgreg::services
