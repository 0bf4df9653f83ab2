#include "storage/migrations.h"

#include <algorithm>
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

// What was asked, one row a request, and the sums of them (storage/requests.h). A row is written with each request, and
// an index would cost as much as the row: there is none (storage/requests_list.cc), and rows lie in the order of ids.
constexpr std::string_view kRequests[] = {
    "CREATE TABLE gbgreg_requests ("
    " id text NOT NULL PRIMARY KEY,"
    " request_id text NOT NULL,"
    " created_at text NOT NULL,"
    " route text NOT NULL,"
    " role text NOT NULL,"
    " model text NOT NULL,"
    " backend text NOT NULL,"
    " device text NOT NULL,"
    " key_id text NOT NULL,"
    " status bigint NOT NULL,"
    " error_code text NOT NULL,"
    " complexity bigint NOT NULL,"
    " prompt_tokens bigint NOT NULL,"
    " completion_tokens bigint NOT NULL,"
    " queue_ms double precision NOT NULL,"
    " ttft_ms double precision NOT NULL,"
    " total_ms double precision NOT NULL,"
    " objective_ms bigint NOT NULL) WITHOUT ROWID",
    "CREATE TABLE gbgreg_request_rollups ("
    " span bigint NOT NULL,"
    " start bigint NOT NULL,"
    " dimension text NOT NULL,"
    " value text NOT NULL,"
    " writer text NOT NULL,"
    " requests bigint NOT NULL,"
    " errors bigint NOT NULL,"
    " prompt_tokens bigint NOT NULL,"
    " completion_tokens bigint NOT NULL,"
    " generation_ms double precision NOT NULL,"
    " with_objective bigint NOT NULL,"
    " objective_met bigint NOT NULL,"
    " queue text NOT NULL,"
    " ttft text NOT NULL,"
    " total text NOT NULL,"
    " PRIMARY KEY (span, dimension, start, value, writer))",
};

// A key's secret is nowhere: only its hash is, and what lists show of it.
constexpr std::string_view kKeys[] = {
    "CREATE TABLE gbgreg_keys ("
    " id text NOT NULL PRIMARY KEY,"
    " name text NOT NULL,"
    " hash text NOT NULL,"
    " prefix text NOT NULL,"
    " roles text,"
    " requests_per_minute bigint,"
    " tokens_per_minute bigint,"
    " tokens_per_day bigint,"
    " expires_at text,"
    " is_admin integer NOT NULL,"
    " created_at text NOT NULL,"
    " revoked_at text,"
    " last_used_at text)",
    "CREATE UNIQUE INDEX gbgreg_keys_by_hash ON gbgreg_keys (hash)",
    "CREATE TABLE gbgreg_key_usage ("
    " key_id text NOT NULL,"
    " day text NOT NULL,"
    " requests bigint NOT NULL,"
    " tokens bigint NOT NULL,"
    " requests_full_at text NOT NULL,"
    " tokens_full_at text NOT NULL,"
    " PRIMARY KEY (key_id, day))",
};

// What was said, only where the owner wants it kept; apart, since it is large and goes sooner.
constexpr std::string_view kRequestTexts[] = {
    "CREATE TABLE gbgreg_request_texts ("
    " id text NOT NULL PRIMARY KEY,"
    " prompt text NOT NULL,"
    " answer text NOT NULL)",
};

// Uploads are added up by their kinds without a look at the uploads.
constexpr std::string_view kUploadSums[] = {
    "DROP INDEX gbgreg_uploads_by_kind",
    "CREATE INDEX gbgreg_uploads_by_kind ON gbgreg_uploads (kind, id, size_bytes)",
};

// Gateways that use this database at the same time, and what each holds of the limits of keys (storage/key_shares.h).
// Times are microseconds since the epoch, by the database's clock.
constexpr std::string_view kGateways[] = {
    "CREATE TABLE gbgreg_gateways ("
    " id text NOT NULL PRIMARY KEY,"
    " run text NOT NULL,"
    " seen_at bigint NOT NULL,"
    " is_sharing integer NOT NULL)",
    "CREATE TABLE gbgreg_key_shares ("
    " key_id text NOT NULL PRIMARY KEY,"
    " requests_full_at bigint NOT NULL,"
    " tokens_full_at bigint NOT NULL,"
    " wanted_at bigint NOT NULL,"
    " wanted_by text NOT NULL)",
    "CREATE TABLE gbgreg_key_leases ("
    " key_id text NOT NULL,"
    " gateway_id text NOT NULL,"
    " requests bigint NOT NULL,"
    " tokens bigint NOT NULL,"
    " day text NOT NULL,"
    " tokens_today bigint NOT NULL,"
    " PRIMARY KEY (key_id, gateway_id))",
    "CREATE INDEX gbgreg_key_leases_by_gateway ON gbgreg_key_leases (gateway_id)",
    "ALTER TABLE gbgreg_screenshot_analysis ADD COLUMN gateway text NOT NULL DEFAULT ''",
};

// Who did what (storage/audit.h). What was done and what was refused are kept and counted apart, hence the column.
constexpr std::string_view kAudit[] = {
    "CREATE TABLE gbgreg_audit ("
    " id text NOT NULL PRIMARY KEY,"
    " created_at text NOT NULL,"
    " actor text NOT NULL,"
    " actor_name text NOT NULL,"
    " peer text NOT NULL,"
    " action text NOT NULL,"
    " target_kind text NOT NULL,"
    " target_id text NOT NULL,"
    " target_name text NOT NULL,"
    " status bigint NOT NULL,"
    " error_code text NOT NULL,"
    " request_id text NOT NULL,"
    " left_out bigint NOT NULL,"
    " is_refused integer NOT NULL)",
    "CREATE INDEX gbgreg_audit_by_action ON gbgreg_audit (action, id)",
    "CREATE INDEX gbgreg_audit_by_actor ON gbgreg_audit (actor, id)",
    "CREATE INDEX gbgreg_audit_by_refusal ON gbgreg_audit (is_refused, id)",
};

constexpr Migration kMigrations[] = {
    {.version = 1, .name = "uploads", .statements = kUploads},
    {.version = 2, .name = "purposes of uploads", .statements = kPurposes},
    {.version = 3, .name = "projects", .statements = kProjects},
    {.version = 4, .name = "screenshots", .statements = kScreenshots},
    {.version = 5, .name = "requests", .statements = kRequests},
    {.version = 6, .name = "keys", .statements = kKeys},
    {.version = 7, .name = "texts of requests", .statements = kRequestTexts},
    {.version = 8, .name = "sums of uploads", .statements = kUploadSums},
    {.version = 9, .name = "gateways", .statements = kGateways},
    {.version = 10, .name = "audit", .statements = kAudit},
};

int applied_version(soci::session& session) {
  int version = 0;
  session << "SELECT coalesce(max(version), 0) FROM gbgreg_schema_migrations", soci::into(version);
  return version;
}

void apply(soci::session& session, const Dialect& dialect, const Migration& migration, const std::string& applied_at) {
  for (const std::string_view statement : migration.statements) session << dialect.definition(statement);
  const std::string name(migration.name);
  session << "INSERT INTO gbgreg_schema_migrations (version, name, applied_at) VALUES (:version, :name, :applied_at)",
      soci::use(migration.version, "version"), soci::use(name, "name"), soci::use(applied_at, "applied_at");
}

}  // namespace

std::span<const Migration> known_migrations() { return kMigrations; }

Result<SchemaChange> migrate(Database& database, const Clock& clock, std::span<const Migration> migrations) {
  const std::string applied_at = rfc3339(clock.wall());
  const Dialect& dialect = database.dialect();
  const int newest = migrations.empty() ? 0 : migrations.back().version;
  const auto work = [&](soci::session& session) -> Result<SchemaChange> {
    session << dialect.definition(
        "CREATE TABLE IF NOT EXISTS gbgreg_schema_migrations ("
        " version integer NOT NULL PRIMARY KEY, name text NOT NULL, applied_at text NOT NULL)");
    const int version = applied_version(session);
    if (version > newest) {
      return fail(Kind::conflict, "schema_newer",
                  "The database has schema version " + std::to_string(version) +
                      ", and this gbgreg knows versions up to " + std::to_string(newest) +
                      ". Start the newer gbgreg that made it, or restore an older backup.");
    }
    for (const Migration& migration : migrations) {
      if (migration.version > version) apply(session, dialect, migration, applied_at);
    }
    return SchemaChange{.from = version, .to = newest};
  };
  return database.in_transaction(work, TransactionKind::migration);
}

Result<int> schema_version(Database& database) {
  return database.with_connection([&](soci::session& session) -> Result<int> {
    const auto tables = database.dialect().tables(session);
    if (std::ranges::find(tables, "gbgreg_schema_migrations") == tables.end()) return 0;
    return applied_version(session);
  });
}

int newest_schema_version() { return known_migrations().back().version; }

}  // namespace gbgreg::storage
