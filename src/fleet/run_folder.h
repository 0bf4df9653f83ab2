// The folder of the workers' sockets: ours alone, and without what an earlier gateway left behind.
#pragma once

#include <filesystem>

#include "core/core.h"

namespace gbgreg::fleet {

// Makes it, or makes an existing one private (0700). Errors: unavailable, with a sentence that says what to do.
Result<void> make_run_folder(const std::filesystem::path& folder);

// Removes the sockets there that nobody listens on.
void remove_stale_sockets(const std::filesystem::path& folder);

}  // namespace gbgreg::fleet
