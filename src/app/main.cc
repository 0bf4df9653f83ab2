#include <exception>
#include <iostream>

#include "app/app.h"
#include "app/database_command.h"
#include "app/doctor.h"
#include "app/gpu_command.h"
#include "app/keys_command.h"
#include "app/models.h"
#include "app/storage_command.h"
#include "cli/cli.h"
#include "config/config.h"
#include "core/log.h"
#include "gpu/driver_probe.h"

int main(int argc, char** argv) {
  try {
    const auto parsed = gbgreg::cli::parse(argc, argv, GBGREG_VERSION);
    using gbgreg::cli::Command;
    if (parsed.command == Command::none) {
      (parsed.exit_status == 0 ? std::cout : std::cerr) << parsed.text;
      return parsed.exit_status;
    }
    if (parsed.command == Command::probe_driver) {
      const gbgreg::gpu::DriverProbeOptions options{
          .root = parsed.doctor.root, .engine_folder = parsed.engine_folder, .memory_only = parsed.memory_only};
      gbgreg::gpu::probe_driver(options, [](std::string_view line) { std::cout << line << std::endl; });
      return 0;
    }
    const gbgreg::config::Source source{.flags = parsed.flags, .environment = gbgreg::config::process_environment()};
    const auto config = gbgreg::config::load(source);
    if (!config) {
      std::cerr << "gbgreg: " << config.error().message << std::endl;
      return 2;
    }
    if (parsed.command == Command::gpu) {
      gbgreg::set_up_log("off");  // What it has to say goes to standard output.
      using Verb = gbgreg::app::GpuCommand::Verb;
      const auto& [verb, module] = parsed.gpu;
      return gbgreg::app::run_gpu_command(*config, {.verb = verb == "install"  ? Verb::install
                                                            : verb == "remove" ? Verb::remove
                                                                               : Verb::status,
                                                    .module = module,
                                                    .root = parsed.doctor.root});
    }
    if (parsed.command == Command::doctor) {
      gbgreg::set_up_log("off");  // What it has to say goes to standard output.
      const auto& doctor = parsed.doctor;
      return gbgreg::app::examine(
          *config,
          {.as_json = doctor.as_json, .report = doctor.report, .root = doctor.root, .version = GBGREG_VERSION});
    }
    if (parsed.command == Command::database) {
      gbgreg::set_up_log("off");
      using What = gbgreg::app::DatabaseCommand::What;
      const auto& asked = parsed.database;
      return gbgreg::app::run_database_command(*config, {.what = asked.what == "copy"      ? What::copy
                                                                 : asked.what == "migrate" ? What::migrate
                                                                                           : What::check,
                                                         .from = asked.from,
                                                         .to = asked.to,
                                                         .as_json = asked.as_json});
    }
    if (parsed.command == Command::storage) {
      gbgreg::set_up_log("off");
      using What = gbgreg::app::StorageCommand::What;
      const auto& asked = parsed.storage;
      return gbgreg::app::run_storage_command(*config, {.what = asked.what == "backup"    ? What::backup
                                                                : asked.what == "restore" ? What::restore
                                                                                          : What::verify,
                                                        .file = asked.file,
                                                        .as_json = asked.as_json,
                                                        .replaces = asked.replaces,
                                                        .version = GBGREG_VERSION});
    }
    if (parsed.command == Command::keys) {
      gbgreg::set_up_log("off");
      using What = gbgreg::app::KeysCommand::What;
      const auto& asked = parsed.keys;
      return gbgreg::app::run_keys_command(*config, {.what = asked.what == "create"   ? What::create
                                                             : asked.what == "revoke" ? What::revoke
                                                                                      : What::list,
                                                     .subject = asked.subject,
                                                     .roles = asked.roles,
                                                     .requests_per_minute = asked.requests_per_minute,
                                                     .tokens_per_minute = asked.tokens_per_minute,
                                                     .tokens_per_day = asked.tokens_per_day,
                                                     .expires_at = asked.expires_at,
                                                     .is_admin = asked.is_admin,
                                                     .as_json = asked.as_json});
    }
    if (parsed.command == Command::models) {
      gbgreg::set_up_log("off");
      using What = gbgreg::app::ModelsCommand::What;
      const auto& asked = parsed.models;
      const What what = asked.what == "show"     ? What::show
                        : asked.what == "pull"   ? What::pull
                        : asked.what == "import" ? What::import
                        : asked.what == "rm"     ? What::remove
                        : asked.what == "prune"  ? What::prune
                                                 : What::list;
      return gbgreg::app::run_models(
          *config, {.what = what, .subject = asked.subject, .name = asked.name, .projector = asked.projector});
    }
    gbgreg::set_up_log(config->log_level);
    return gbgreg::app::serve(*config, source, GBGREG_VERSION, parsed.doctor.root);
  } catch (const std::exception& error) {
    std::cerr << "gbgreg: " << error.what() << std::endl;
    return 1;
  }
}
