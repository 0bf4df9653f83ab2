#include "services/backup_manifest.h"

#include <limits>
#include <optional>
#include <utility>

#include "protocols/json_reader.h"
#include "protocols/json_writer.h"
#include "storage/blob_store.h"

namespace gbgreg::services {
namespace {

using protocols::JsonValue;

constexpr std::int64_t kNumberMax = std::numeric_limits<std::int64_t>::max();

std::int64_t number(std::uint64_t value) { return static_cast<std::int64_t>(value); }

Result<void> read_count(JsonValue& value, std::uint64_t& out) {
  std::optional<std::int64_t> count;
  if (auto read = value.read_integer(count, 0, kNumberMax); !read) return read;
  out = static_cast<std::uint64_t>(count.value_or(0));
  return {};
}

Result<void> read_small(JsonValue& value, int& out) {
  std::optional<int> small;
  if (auto read = value.read_integer(small, 0, std::numeric_limits<int>::max()); !read) return read;
  out = small.value_or(0);
  return {};
}

}  // namespace

std::string write_manifest(const BackupManifest& manifest) {
  std::string out;
  protocols::JsonWriter json(out);
  json.open_object();
  json.key("format").number(manifest.format);
  json.key("gbgreg").text(manifest.version);
  json.key("created_at").text(manifest.created_at);
  json.key("schema_version").number(manifest.schema_version);
  json.key("database").open_object();
  json.key("name").text(kDatabaseName);
  json.key("sha256").text(manifest.database_sha256);
  json.key("size_bytes").number(number(manifest.database_bytes));
  json.close_object();
  json.key("uploads").open_object();
  json.key("files").number(number(manifest.files));
  json.key("size_bytes").number(number(manifest.bytes));
  json.close_object();
  json.close_object();
  out += '\n';
  return out;
}

Result<BackupManifest> read_manifest(std::string_view json) {
  BackupManifest manifest{.format = 0};
  auto read_database = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "sha256") return value.read_text(manifest.database_sha256);
    if (name == "size_bytes") return read_count(value, manifest.database_bytes);
    return {};
  };
  auto read_uploads = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "files") return read_count(value, manifest.files);
    if (name == "size_bytes") return read_count(value, manifest.bytes);
    return {};
  };
  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "format") return read_small(value, manifest.format);
    if (name == "gbgreg") return value.read_text(manifest.version);
    if (name == "created_at") return value.read_text(manifest.created_at);
    if (name == "schema_version") return read_small(value, manifest.schema_version);
    if (name == "database") return value.each_field(read_database);
    if (name == "uploads") return value.each_field(read_uploads);
    return {};
  };
  const protocols::JsonBounds bounds{.bytes_max = json.size(), .what = "The manifest"};
  auto read = protocols::read_json_object(json, bounds, read_field);
  if (!read || manifest.format == 0 || !storage::is_sha256(manifest.database_sha256)) {
    return fail(Kind::malformed, "backup_damaged", "The backup's manifest is damaged.",
                read ? "a field is missing" : read.error().message);
  }
  if (manifest.format != kBackupFormat) {
    return fail(Kind::conflict, "backup_newer",
                "The backup was made by gbgreg " + manifest.version +
                    ", in a form that this one does not know. Restore it by that one.");
  }
  return manifest;
}

}  // namespace gbgreg::services
