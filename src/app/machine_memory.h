// How much memory this machine, or the container that the gateway runs in, has for models.
#pragma once

#include <cstdint>
#include <filesystem>

namespace gbgreg::app {

// Bytes: nine tenths of what there is, which leaves the rest to the system and to the gateway. Of a machine that does
// not say how much it has, fleet::Memory::kUnbounded. `root` is where the machine's files are.
std::int64_t memory_for_models(const std::filesystem::path& root);

}  // namespace gbgreg::app
