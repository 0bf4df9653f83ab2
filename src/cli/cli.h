// The command line: words to a command. It runs nothing itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"

namespace gbgreg::cli {

enum class Command : std::uint8_t {
  none,          // There is nothing to run.
  serve,         // Run the gateway with `flags`.
  doctor,        // Say what is wrong, with `flags` and `doctor`.
  gpu,           // Install, remove or list the engine's modules for GPUs, with `flags` and `gpu`.
  database,      // Migrate, check or copy a database, with `flags` and `database`.
  storage,       // Verify what is kept, back it up or restore it, with `flags` and `storage`.
  keys,          // Make, list and revoke keys, with `flags` and `keys`.
  models,        // Fetch, list and remove models, with `flags` and `models`.
  probe_driver,  // Ask the GPU's driver for another process of ours: gpu/driver_probe.h.
};

struct Parsed {
  Command command = Command::none;
  config::Flags flags = {};
  struct {
    bool as_json = false;
    std::filesystem::path report = {};  // Where to write one; empty for none.
    std::filesystem::path root = "/";   // Of the machine's files; for serve, gpu and probe_driver, too.
  } doctor = {};
  struct {
    std::string verb = {};    // "install", "remove" or "status".
    std::string module = {};  // Of install; empty for the best that works here.
  } gpu = {};
  struct {
    std::string what = {};  // "list", "show", "pull", "import", "rm" or "prune".
    std::string subject = {};
    std::string name = {};
    std::string projector = {};
  } models = {};
  struct {
    std::string what = {};  // "verify", "backup" or "restore".
    std::filesystem::path file = {};
    bool as_json = false;
    bool replaces = false;
  } storage = {};
  struct {
    std::string what = {};  // "migrate", "check" or "copy".
    std::string from = {};
    std::string to = {};
    bool as_json = false;
  } database = {};
  struct {
    std::string what = {};     // "create", "list" or "revoke".
    std::string subject = {};  // A name, or an id.
    std::vector<std::string> roles = {};
    std::optional<std::int64_t> requests_per_minute = {}, tokens_per_minute = {}, tokens_per_day = {};
    std::string expires_at = {};
    bool is_admin = false;
    bool as_json = false;
  } keys = {};
  std::filesystem::path engine_folder = {};  // Of probe_driver.
  bool memory_only = false;                  // Likewise.
  int exit_status = 0;                       // When there is nothing to run: after --help, --version or a mistake, …
  std::string text = {};                     // … what to print, on standard error when exit_status is not 0.
};

Parsed parse(int argc, const char* const* argv, const std::string& version);

}  // namespace gbgreg::cli
