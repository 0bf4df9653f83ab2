#include "app/keys_command.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <memory>
#include <system_error>
#include <utility>

#include "app/command_audit.h"
#include "app/data_folder.h"
#include "http/key_json.h"
#include "services/key_rows.h"
#include "storage/storage.h"

namespace gbgreg::app {
namespace {

using services::ListedKey;

int complain(const Error& error) {
  std::cerr << "gbgreg: " << error.message << (error.detail.empty() ? "" : " (" + error.detail + ")") << std::endl;
  return 1;
}

// The database that is configured. One in a data folder is made where there is none, with the folder: the first key may
// come before the first start.
class Rows {
 public:
  static Result<std::unique_ptr<Rows>> open(const config::Config& config, const Clock& clock) {
    std::unique_ptr<Rows> rows(new Rows);
    std::error_code unknown;
    const auto root = std::filesystem::absolute(config.data, unknown).lexically_normal();
    if (!DataFolder::is_in_use(root)) {
      auto folder = DataFolder::open(root, rows->disk_);
      if (!folder) return std::unexpected(std::move(folder.error()));
      rows->folder_.emplace(std::move(*folder));
    }
    const storage::Options options{.database_url = database_url(config),
                                   .uploads_folder = DataFolder::uploads_in(root)};
    auto database = storage::Database::open(options);
    if (!database) return std::unexpected(std::move(database.error()));
    rows->database_ = std::move(*database);
    if (auto migrated = storage::migrate(*rows->database_, clock); !migrated) {
      return std::unexpected(std::move(migrated.error()));
    }
    rows->keys_.emplace(*rows->database_);
    return rows;
  }
  storage::Database& database() { return *database_; }
  storage::KeyStore& keys() { return *keys_; }

 private:
  Rows() = default;
  storage::Disk disk_;
  std::optional<DataFolder> folder_;  // Locked, when no gateway has it.
  std::unique_ptr<storage::Database> database_;
  std::optional<storage::KeyStore> keys_;
};

Result<std::vector<ListedKey>> list_keys(storage::KeyStore& rows, WallTime now) {
  const auto stored = rows.list();
  if (!stored) return std::unexpected(stored.error());
  const auto usages = rows.newest_usage();
  if (!usages) return std::unexpected(usages.error());
  const std::string today = services::day_text(keys::day_of(now));
  std::vector<ListedKey> all;
  all.reserve(stored->size());
  for (const storage::StoredKey& row : *stored) {
    auto key = services::listed(row);
    if (!key) return std::unexpected(std::move(key.error()));
    const auto usage = std::ranges::find(*usages, row.id, &storage::StoredUsage::key_id);
    if (usage != usages->end() && usage->day == today) {
      key->requests_today = usage->requests;
      key->tokens_today = usage->tokens;
    }
    all.push_back(std::move(*key));
  }
  return all;
}

// "60 requests/min, 100000 tokens/day", or "none".
std::string limits_text(const keys::Limits& limits) {
  std::string text;
  const auto add = [&](const std::optional<std::int64_t>& limit, const char* unit) {
    if (limit) text.append(text.empty() ? "" : ", ").append(std::to_string(*limit)).append(unit);
  };
  add(limits.requests_per_minute, " requests/min");
  add(limits.tokens_per_minute, " tokens/min");
  add(limits.tokens_per_day, " tokens/day");
  return text.empty() ? "none" : text;
}

std::string roles_text(const keys::Rights& rights) {
  if (!rights.roles) return "all";
  std::string text;
  for (const std::string& role : *rights.roles) text.append(text.empty() ? "" : ", ").append(role);
  return text;
}

void print(const std::vector<ListedKey>& keys, WallTime now) {
  if (keys.empty()) {
    std::cout << "There are no keys. `gbgreg keys create NAME` makes one.\n";
    return;
  }
  for (const ListedKey& key : keys) {
    const auto time = [](const std::optional<WallTime>& at) { return at ? rfc3339(*at) : std::string("never"); };
    std::cout << fmt::format("{}  {}…  {}{}, {}\n", key.id, key.prefix, key.name, key.rights.is_admin ? " (admin)" : "",
                             key.status(now))
              << fmt::format("  roles: {}; limits: {}; expires: {}\n", roles_text(key.rights),
                             limits_text(key.rights.limits), time(key.rights.expires_at))
              << fmt::format("  today: {} requests, {} tokens; last used: {}\n", key.requests_today, key.tokens_today,
                             time(key.last_used_at));
  }
}

int create(Rows& rows, const KeysCommand& command, WallTime now) {
  services::WantedKey wanted{.name = command.subject,
                             .rights = {.limits = {.requests_per_minute = command.requests_per_minute,
                                                   .tokens_per_minute = command.tokens_per_minute,
                                                   .tokens_per_day = command.tokens_per_day},
                                        .is_admin = command.is_admin}};
  if (!command.roles.empty()) wanted.rights.roles = command.roles;
  if (!command.expires_at.empty()) {
    const auto expires_at = services::read_expiry(command.expires_at);
    if (!expires_at) return complain(expires_at.error());
    wanted.rights.expires_at = *expires_at;
  }
  const auto made = services::make_key(wanted, now);
  if (!made) return complain(made.error());
  if (auto inserted = rows.keys().insert(made->row); !inserted) return complain(inserted.error());
  note_command(rows.database(), {.action = "key.create", .target_id = made->row.id, .target_name = made->row.name});
  const auto key = services::listed(made->row);
  if (!key) return complain(key.error());
  if (command.as_json) {
    std::cout << http::made_key_json({.key = *key, .secret = made->secret}, now) << std::endl;
    return 0;
  }
  std::cout << made->secret << std::endl;
  std::cerr << "That is the key of " << key->name << ", shown now and never again: only its hash is kept.\n"
            << "Clients send it as `Authorization: Bearer …` or `x-api-key: …`. A gateway that runs knows it within a "
               "few seconds.\n"
            << std::flush;
  return 0;
}

int revoke(Rows& rows, const KeysCommand& command, WallTime now) {
  const auto all = list_keys(rows.keys(), now);
  if (!all) return complain(all.error());
  std::vector<ListedKey> meant;
  for (const ListedKey& key : *all) {
    if (key.id == command.subject || (key.name == command.subject && !key.revoked_at)) meant.push_back(key);
  }
  if (meant.size() > 1) {
    return complain({.kind = Kind::conflict,
                     .code = "key_ambiguous",
                     .message = "Several keys have this name: say which by its id (gbgreg keys list)."});
  }
  if (meant.empty()) {
    return complain({.kind = Kind::not_found,
                     .code = "key_not_found",
                     .message = "No key that counts has this id or name. `gbgreg keys list` shows them."});
  }
  const auto row = rows.keys().revoke(meant.front().id, rfc3339(now));
  if (!row) return complain(row.error());
  note_command(rows.database(), {.action = "key.revoke", .target_id = row->id, .target_name = row->name});
  const auto key = services::listed(*row);
  if (!key) return complain(key.error());
  if (command.as_json) {
    std::cout << http::key_json(*key, now) << std::endl;
  } else {
    std::cerr << "The key of " << key->name << " is revoked. A gateway that runs refuses it within a few seconds.\n"
              << std::flush;
  }
  return 0;
}

}  // namespace

int run_keys_command(const config::Config& config, const KeysCommand& command) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  const SystemClock clock;
  const WallTime now = clock.wall();
  auto rows = Rows::open(config, clock);
  if (!rows) return complain(rows.error());
  switch (command.what) {
    case KeysCommand::What::create:
      return create(**rows, command, now);
    case KeysCommand::What::revoke:
      return revoke(**rows, command, now);
    case KeysCommand::What::list:
      break;
  }
  const auto all = list_keys((*rows)->keys(), now);
  if (!all) return complain(all.error());
  if (command.as_json) {
    std::cout << http::keys_json(*all, now) << std::endl;
  } else {
    print(*all, now);
    std::cout << std::flush;
  }
  return 0;
}

}  // namespace gbgreg::app
