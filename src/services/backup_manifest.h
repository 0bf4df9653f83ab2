// The last member of a backup. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.h"

namespace gbgreg::services {

inline constexpr int kBackupFormat = 1;
inline constexpr std::string_view kManifestName = "manifest.json";
inline constexpr std::string_view kDatabaseName = "gbgreg.sqlite";

struct BackupManifest {
  int format = kBackupFormat;
  std::string version = {};     // Of the gbgreg that wrote it.
  std::string created_at = {};  // RFC 3339: when its rows were taken.
  int schema_version = 0;
  std::string database_sha256 = {};
  std::uint64_t database_bytes = 0;
  std::uint64_t files = 0;  // Under uploads/ …
  std::uint64_t bytes = 0;  // … and what they have together.

  bool operator==(const BackupManifest&) const = default;
};

std::string write_manifest(const BackupManifest& manifest);
// Unknown fields are passed over. Errors: malformed (backup_damaged); conflict (backup_newer: another format).
Result<BackupManifest> read_manifest(std::string_view json);

}  // namespace gbgreg::services
