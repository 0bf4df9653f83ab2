#include "storage/migrations.h"

#include <string>

namespace gbgreg::storage {
namespace {

// Ids are UUIDv7 and sort by the time they were made, so the primary key is also the order of pages.
constexpr std::string_view kUploads[] = {
    "CREATE TABLE gbgreg_uploads ("
    " id text NOT NULL PRIMARY KEY,"
    " filename text NOT NULL,"
    " original_filename text NOT NULL,"
    " kind text NOT NULL,"
    " media_type text NOT NULL,"
    " language text,"
    " size_bytes bigint NOT NULL,"
    " sha256 text NOT NULL,"
    " description text,"
    " duplicate_of text,"
    " text_preview text,"
    " created_at text NOT NULL)",
    "CREATE INDEX gbgreg_uploads_by_sha256 ON gbgreg_uploads (sha256, id)",
    "CREATE INDEX gbgreg_uploads_by_kind ON gbgreg_uploads (kind, id)",
};

// What OpenAI's clients say that a file is for. Uploads from elsewhere are of no special purpose.
constexpr std::string_view kPurposes[] = {
    "ALTER TABLE gbgreg_uploads ADD COLUMN purpose text NOT NULL DEFAULT 'user_data'",
    "CREATE INDEX gbgreg_uploads_by_purpose ON gbgreg_uploads (purpose, id)",
};

// The files of a project have rows of their own and not those of uploads: there may be fifty thousand of them, and they
// come and go with their project.
constexpr std::string_view kProjects[] = {
    "CREATE TABLE gbgreg_projects ("
    " id text NOT NULL PRIMARY KEY,"
    " name text NOT NULL,"
    " description text,"
    " status text NOT NULL,"
    " file_count bigint NOT NULL,"
    " size_bytes bigint NOT NULL,"
    " languages text NOT NULL,"
    " created_at text NOT NULL)",
    "CREATE TABLE gbgreg_project_files ("
    " project_id text NOT NULL,"
    " path text NOT NULL,"
    " kind text NOT NULL,"
    " media_type text NOT NULL,"
    " language text,"
    " size_bytes bigint NOT NULL,"
    " sha256 text NOT NULL,"
    " PRIMARY KEY (project_id, path))",
    "CREATE INDEX gbgreg_project_files_by_sha256 ON gbgreg_project_files (sha256)",
    "CREATE TABLE gbgreg_extractions ("
    " id text NOT NULL PRIMARY KEY,"
    " project_id text NOT NULL,"
    " archive_upload_id text NOT NULL,"
    " entries_total bigint NOT NULL,"
    " entries_extracted bigint NOT NULL,"
    " entries_rejected bigint NOT NULL,"
    " bytes_extracted bigint NOT NULL,"
    " duration_ms bigint NOT NULL,"
    " created_at text NOT NULL)",
    "CREATE INDEX gbgreg_extractions_by_project ON gbgreg_extractions (project_id)",
};

// What a model saw on an uploaded image. Rows that are queued or running are also the queue itself.
constexpr std::string_view kScreenshots[] = {
    "CREATE TABLE gbgreg_screenshot_analysis ("
    " id text NOT NULL PRIMARY KEY,"
    " upload_id text NOT NULL,"
    " image_sha256 text NOT NULL,"
    " status text NOT NULL,"
    " prompt text NOT NULL,"
    " model text,"
    " role text,"
    " description text,"
    " extracted_text text,"
    " width bigint NOT NULL,"
    " height bigint NOT NULL,"
    " duration_ms bigint NOT NULL,"
    " error_code text,"
    " error_message text,"
    " created_at text NOT NULL,"
    " finished_at text)",
    "CREATE INDEX gbgreg_screenshot_analysis_by_upload ON gbgreg_screenshot_analysis (upload_id)",
    "CREATE INDEX gbgreg_screenshot_analysis_by_image ON gbgreg_screenshot_analysis (image_sha256, id)",
    "CREATE INDEX gbgreg_screenshot_analysis_by_status ON gbgreg_screenshot_analysis (status, id)",
};

constexpr Migration kMigrations[] = {
    {.version = 1, .name = "uploads", .statements = kUploads},
    {.version = 2, .name = "purposes of uploads", .statements = kPurposes},
    {.version = 3, .name = "projects", .statements = kProjects},
    {.version = 4, .name = "screenshots", .statements = kScreenshots},
};

int applied_version(soci::session& session) {
  int version = 0;
  session << "SELECT coalesce(max(version), 0) FROM gbgreg_schema_migrations", soci::into(version);
  return version;
}

void apply(soci::session& session, const Migration& migration, const std::string& applied_at) {
  for (const std::string_view statement : migration.statements) session << statement;
  const std::string name(migration.name);
  session << "INSERT INTO gbgreg_schema_migrations (version, name, applied_at) VALUES (:version, :name, :applied_at)",
      soci::use(migration.version, "version"), soci::use(name, "name"), soci::use(applied_at, "applied_at");
}

}  // namespace

std::span<const Migration> known_migrations() { return kMigrations; }

Result<void> migrate(Database& database, const Clock& clock, std::span<const Migration> migrations) {
  const std::string applied_at = rfc3339(clock.wall());
  const int newest = migrations.empty() ? 0 : migrations.back().version;
  return database.in_transaction([&](soci::session& session) -> Result<void> {
    session << "CREATE TABLE IF NOT EXISTS gbgreg_schema_migrations ("
               " version integer NOT NULL PRIMARY KEY, name text NOT NULL, applied_at text NOT NULL)";
    const int version = applied_version(session);
    if (version > newest) {
      return fail(Kind::conflict, "schema_newer",
                  "The database has schema version " + std::to_string(version) +
                      ", and this gbgreg knows versions up to " + std::to_string(newest) +
                      ". Start the newer gbgreg that made it, or restore an older backup.");
    }
    for (const Migration& migration : migrations) {
      if (migration.version > version) apply(session, migration, applied_at);
    }
    return {};
  });
}

}  // namespace gbgreg::storage
