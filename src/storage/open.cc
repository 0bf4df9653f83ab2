#include "storage/open.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "storage/disk.h"
#include "storage/migrations.h"

namespace gbgreg::storage {
namespace {

Result<std::unique_ptr<Database>> try_open(const Options& options, const Clock& clock) {
  auto database = Database::open(options);
  if (!database) return database;
  if (auto migrated = migrate(**database, clock); !migrated) return std::unexpected(std::move(migrated.error()));
  return database;
}

}  // namespace

Result<std::unique_ptr<Database>> open_database(const Options& options, const Clock& clock, Reserve& reserve) {
  auto database = try_open(options, clock);
  if (database || !may_lack_room(database.error()) || !reserve.release()) return database;
  spdlog::warn("the database did not open, perhaps for want of room on the disk ({}): trying again without the reserve",
               database.error().detail);
  database = try_open(options, clock);
  if (!database) reserve.hold();
  return database;
}

}  // namespace gbgreg::storage
