#include "cli/cli.h"

#include <CLI/CLI.hpp>
#include <sstream>
#include <vector>

namespace gbgreg::cli {
namespace {

constexpr const char* kDatabaseHelp = "Its URL: postgresql://…, or sqlite:///… [a file in the data folder]";

CLI::App* add_gpu(CLI::App& app, Parsed& parsed) {
  CLI::App* gpu = app.add_subcommand("gpu", "Give the engine a module for the GPU, and prove that it works.");
  gpu->require_subcommand(1);
  CLI::App* install =
      gpu->add_subcommand("install", "Fetch a module by npm, load a model by it, keep it if that works.");
  install->add_option("module", parsed.gpu.module,
                      "cuda (NVIDIA, with the libraries of CUDA 13), cuda12, or vulkan (any card); the best that "
                      "works here when none is named");
  install->footer("Ends with 0 when it is installed and proven, else with 1, and the engine is as it was.");
  CLI::App* remove = gpu->add_subcommand("remove", "Take the module away: the models run on the processor.");
  CLI::App* status = gpu->add_subcommand("status", "Say which module there is, and what the engine finds by it.");
  for (CLI::App* verb : {install, remove, status}) {
    verb->add_option("--config", parsed.flags.config, "YAML file with settings, as for serve");
    verb->add_option("--engine", parsed.flags.engine, "The llama-server program");
    verb->add_option("--models", parsed.flags.models, "Folder in which the demo models are");
    verb->add_option("--root", parsed.doctor.root, "Read the machine's files under this folder, as tests do")
        ->group("");
  }
  return gpu;
}

// What is kept: gbgreg storage verify, backup and restore.
std::vector<CLI::App*> add_storage(CLI::App& app, Parsed& parsed) {
  CLI::App* storage = app.add_subcommand("storage", "Look after what uploads have left on the disk.");
  storage->require_subcommand(1);
  CLI::App* verify =
      storage->add_subcommand("verify", "Read every file of uploads again, and compare it with its digest.");
  verify->footer(
      "Only reads, beside a running gateway, too. Ends with 0 when every file is as it came, and with 1 when one is\n"
      "missing or damaged. Files that no upload uses are named, and are no fault.");
  verify->add_flag("--json", parsed.storage.as_json, "The report as one JSON object");
  CLI::App* backup = app.add_subcommand("backup", "Write database and uploads into one tar, while the gateway runs.");
  backup->add_option("FILE", parsed.storage.file, "The backup, FILE.tar; one that is there is replaced")->required();
  backup->footer("Models and the configuration are not in it: they can be fetched, or written, again.");
  CLI::App* restore = app.add_subcommand("restore", "Put a backup into an empty data folder.");
  restore->add_option("FILE", parsed.storage.file, "What gbgreg backup wrote")->required();
  restore->add_flag("--replace", parsed.storage.replaces, "Move what is in the data folder aside, into a folder in it");
  restore->footer("All of it is checked before anything is put in its place. The gateway must not run.");
  verify->callback([&parsed] { parsed.storage.what = "verify"; });
  backup->callback([&parsed] { parsed.storage.what = "backup"; });
  restore->callback([&parsed] { parsed.storage.what = "restore"; });
  for (CLI::App* command : {verify, backup, restore}) {
    command->add_option("--config", parsed.flags.config, "YAML file with settings, as for serve");
    command->add_option("--data", parsed.flags.data, "Folder for database and uploads");
    command->add_option("--database", parsed.flags.database, kDatabaseHelp);
  }
  return {storage, backup, restore};
}

// The database itself: gbgreg db migrate, check and copy.
CLI::App* add_database(CLI::App& app, Parsed& parsed) {
  CLI::App* database = app.add_subcommand("db", "Look after the database, and move from one to another.");
  database->require_subcommand(1);
  CLI::App* migrate = database->add_subcommand("migrate", "Make the tables that this gbgreg needs, as its start does.");
  CLI::App* check = database->add_subcommand("check", "Say how the database is, and how many rows it has.");
  check->add_flag("--json", parsed.database.as_json, "The report as one JSON object");
  check->footer("Only reads. Ends with 0 when all is well, else with 1.");
  CLI::App* copy = database->add_subcommand("copy", "Copy all rows from one database into a new one.");
  copy->add_option("--from", parsed.database.from, "Its URL: sqlite:///… or postgresql://…")->required();
  copy->add_option("--to", parsed.database.to, "The URL of one that has nothing yet")->required();
  copy->footer(
      "All of it or nothing. A password in a URL can be seen by whoever lists the processes of this machine: libpq\n"
      "takes it from ~/.pgpass or PGPASSWORD, too.");
  migrate->callback([&parsed] { parsed.database.what = "migrate"; });
  check->callback([&parsed] { parsed.database.what = "check"; });
  copy->callback([&parsed] { parsed.database.what = "copy"; });
  for (CLI::App* command : {migrate, check}) {
    command->add_option("--config", parsed.flags.config, "YAML file with settings, as for serve");
    command->add_option("--data", parsed.flags.data, "Folder for database and uploads");
    command->add_option("--database", parsed.flags.database, kDatabaseHelp);
  }
  return database;
}

// Who may ask: gbgreg keys create, list and revoke.
CLI::App* add_keys(CLI::App& app, Parsed& parsed) {
  CLI::App* keys = app.add_subcommand("keys", "Make keys for those who may ask, list them, revoke them.");
  keys->require_subcommand(1);
  keys->footer(
      "As soon as there is a key, every request needs one (auth.required in the configuration). A gateway that runs\n"
      "notices within a few seconds. Tokens are those of prompts and answers together; a day ends at midnight UTC.");
  CLI::App* create = keys->add_subcommand("create", "Make a key and show its secret, this once.");
  create->add_option("NAME", parsed.keys.subject, "Whose it is, or what for")->required();
  create->add_option("--role", parsed.keys.roles, "A role that it may use; may be said several times [all]")
      ->allow_extra_args(false);
  create->add_option("--requests-per-minute", parsed.keys.requests_per_minute, "At most so many requests [no limit]");
  create->add_option("--tokens-per-minute", parsed.keys.tokens_per_minute, "At most so many tokens [no limit]");
  create->add_option("--tokens-per-day", parsed.keys.tokens_per_day, "At most so many tokens a day [no limit]");
  create->add_option("--expires-at", parsed.keys.expires_at, "A time in UTC, like 2026-12-31T00:00:00Z [never]");
  create->add_flag("--admin", parsed.keys.is_admin,
                   "It may also make and revoke keys, move and fetch models, and reload the configuration");
  CLI::App* list = keys->add_subcommand("list", "The keys that there are, and what they used today.");
  CLI::App* revoke = keys->add_subcommand("revoke", "Refuse a key from now on.");
  revoke->add_option("KEY", parsed.keys.subject, "Its id, or its name where only one has it")->required();
  for (CLI::App* verb : {create, list, revoke}) {
    verb->add_flag("--json", parsed.keys.as_json, "As /api/keys answers");
    verb->add_option("--config", parsed.flags.config, "YAML file with settings, as for serve");
    verb->add_option("--data", parsed.flags.data, "Folder for database and uploads");
    verb->add_option("--database", parsed.flags.database, kDatabaseHelp);
  }
  return keys;
}

}  // namespace

Parsed parse(int argc, const char* const* argv, const std::string& version) {
  CLI::App app{"gbgreg: a private AI platform on one box.", "gbgreg"};
  app.set_version_flag("--version", "gbgreg " + version);
  app.require_subcommand(1);

  Parsed parsed;
  CLI::App* serve = app.add_subcommand("serve", "Run the gateway and its models.");
  serve->footer(
      "Each flag can be set in the environment too: GBGREG_CONFIG, GBGREG_LISTEN, GBGREG_TLS_CERTIFICATE, "
      "GBGREG_TLS_KEY,\n"
      "GBGREG_DATA, GBGREG_DATABASE, GBGREG_ENGINE, GBGREG_MODELS, GBGREG_LOG_LEVEL, GBGREG_INSECURE=1. Flags go over\n"
      "the environment, and that over the file.");
  serve->add_option("--config", parsed.flags.config, "YAML file with settings; none is needed");
  serve->add_option("--listen", parsed.flags.listen,
                    "Address, or several with commas; https://… for TLS [127.0.0.1:3333]");
  serve->add_option("--tls-certificate", parsed.flags.tls_certificate,
                    "Certificate chain, PEM, for https://… addresses");
  serve->add_option("--tls-key", parsed.flags.tls_key, "Its private key, PEM");
  serve->add_option("--data", parsed.flags.data, "Folder for database and uploads [~/.local/share/gbgreg]");
  serve->add_option("--database", parsed.flags.database, kDatabaseHelp);
  serve->add_option("--engine", parsed.flags.engine, "The llama-server program");
  serve->add_option("--models", parsed.flags.models, "Folder in which model files are looked for");
  serve->add_option("--log-level", parsed.flags.log_level, "trace, debug, info, warn, error or off [info]");

  serve->add_option("--root", parsed.doctor.root, "Read the machine's files under this folder, as tests do")->group("");
  serve->add_flag(
      "--insecure", parsed.flags.insecure,
      "Listen on addresses that other machines reach, even without keys: whoever reaches them may do everything");

  CLI::App* doctor = app.add_subcommand("doctor", "Say what keeps the models from running well, and how to mend it.");
  doctor->footer(
      "Asks the gateway that runs here, and looks at the machine itself where none runs. Ends with 0 when all is "
      "well,\n"
      "1 with warnings, 2 with errors.");
  doctor->add_flag("--json", parsed.doctor.as_json, "As GET /api/doctor answers");
  doctor->add_option("--report", parsed.doctor.report, "Write all that was read to this file, to attach to a question");
  doctor->add_option("--config", parsed.flags.config, "YAML file with settings, as for serve");
  doctor->add_option("--listen", parsed.flags.listen, "Where the gateway would listen [127.0.0.1:3333]");
  doctor->add_option("--data", parsed.flags.data, "Folder for database and uploads");
  doctor->add_option("--database", parsed.flags.database, kDatabaseHelp);
  doctor->add_option("--engine", parsed.flags.engine, "The llama-server program");
  doctor->add_option("--models", parsed.flags.models, "Folder in which model files are looked for");
  doctor->add_option("--root", parsed.doctor.root, "Read the machine's files under this folder, as tests do")
      ->group("");

  CLI::App* gpu = add_gpu(app, parsed);
  const auto storage = add_storage(app, parsed);
  CLI::App* database = add_database(app, parsed);
  CLI::App* keys = add_keys(app, parsed);
  CLI::App* models = app.add_subcommand("models", "Fetch models by their names, list them, remove them.");
  models->require_subcommand(1);
  models->footer(
      "A model is named as Ollama names it: llama3.1:8b, someone/model:tag, hf.co/org/repo:Q4_K_M; or by the address "
      "of\n"
      "its file: https://HOST/org/repo/resolve/main/FILE.gguf, hf.co/org/repo:FILE.gguf. Models of Ollama's on this\n"
      "machine are used where they are.");
  const auto add_models = [&](const char* what, const char* help, const char* subject, const char* subject_help) {
    CLI::App* command = models->add_subcommand(what, help);
    if (subject != nullptr) command->add_option(subject, parsed.models.subject, subject_help)->required();
    command->add_option("--config", parsed.flags.config, "YAML file with settings, as for serve");
    command->add_option("--data", parsed.flags.data, "Folder for database, uploads and models");
    command->callback([&parsed, what] { parsed.models.what = what; });
    return command;
  };
  add_models("list", "The models that are here.", nullptr, nullptr);
  add_models("show", "What is known of one.", "NAME", "A model's name");
  CLI::App* pull = add_models("pull", "Fetch one; what an earlier attempt brought is not fetched again.", "NAME",
                              "A model's name, or an address");
  pull->add_option("--name", parsed.models.name, "What to call a model that is fetched from an address");
  pull->add_option("--mmproj", parsed.models.projector, "The address of its vision projector");
  CLI::App* import =
      add_models("import", "Take a GGUF file into the store; of a sharded one name any shard.", "FILE", "A GGUF file");
  import->add_option("--name", parsed.models.name, "What to call it [the file's name]");
  import->add_option("--mmproj", parsed.models.projector, "The file of its vision projector");
  add_models("rm", "Remove one.", "NAME", "A model's name");
  add_models("prune", "Remove unfinished downloads and what no model needs.", nullptr, nullptr);

  CLI::App* probe = app.add_subcommand("probe-driver", "Ask the GPU's driver (for gbgreg's own use).")->group("");
  probe->add_option("--root", parsed.doctor.root);
  probe->add_option("--engine-folder", parsed.engine_folder);
  probe->add_flag("--memory-only", parsed.memory_only);

  try {
    app.parse(argc, argv);
    if (serve->parsed()) parsed.command = Command::serve;
    if (doctor->parsed()) parsed.command = Command::doctor;
    if (database->parsed()) parsed.command = Command::database;
    if (gpu->parsed()) {
      parsed.command = Command::gpu;
      parsed.gpu.verb = gpu->get_subcommands().front()->get_name();
    }
    for (const CLI::App* command : storage) {
      if (command->parsed()) parsed.command = Command::storage;
    }
    if (keys->parsed()) {
      parsed.command = Command::keys;
      parsed.keys.what = keys->get_subcommands().front()->get_name();
    }
    if (models->parsed()) parsed.command = Command::models;
    if (probe->parsed()) parsed.command = Command::probe_driver;
  } catch (const CLI::ParseError& stopped) {
    std::ostringstream out, err;
    parsed.exit_status = app.exit(stopped, out, err) == 0 ? 0 : 2;
    parsed.text = out.str() + err.str();
  }
  return parsed;
}

}  // namespace gbgreg::cli
