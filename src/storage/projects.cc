#include "storage/projects.h"

#include "storage/columns.h"
#include "storage/digests.h"

namespace gbgreg::storage {
namespace {

constexpr std::string_view kProjectColumns =
    "id, name, description, status, file_count, size_bytes, languages, created_at";
constexpr std::string_view kFileColumns = "path, kind, media_type, language, size_bytes, sha256";

std::unexpected<Error> no_such_project() {
  return fail(Kind::not_found, "project_not_found",
              "No project has this id. GET /api/projects lists those that exist.");
}

std::uint64_t count_in(const soci::row& row, const std::string& column) {
  return static_cast<std::uint64_t>(row.get<long long>(column));
}

Project project_from(const soci::row& row) {
  return {.id = row.get<std::string>("id"),
          .name = row.get<std::string>("name"),
          .description = optional_text(row, "description"),
          .status = row.get<std::string>("status"),
          .file_count = count_in(row, "file_count"),
          .size_bytes = count_in(row, "size_bytes"),
          .languages_json = row.get<std::string>("languages"),
          .created_at = row.get<std::string>("created_at")};
}

ProjectFile file_from(const soci::row& row) {
  return {.path = row.get<std::string>("path"),
          .kind = row.get<std::string>("kind"),
          .media_type = row.get<std::string>("media_type"),
          .language = optional_text(row, "language"),
          .size_bytes = count_in(row, "size_bytes"),
          .sha256 = row.get<std::string>("sha256")};
}

bool exists(soci::session& session, const std::string& id) {
  int found = 0;
  session << "SELECT 1 FROM gbgreg_projects WHERE id = :id", soci::into(found), soci::use(id, "id");
  return session.got_data();
}

void insert_project(soci::session& session, const Project& project) {
  Nullable description(project.description);
  const auto file_count = static_cast<long long>(project.file_count);
  const auto size_bytes = static_cast<long long>(project.size_bytes);
  session << "INSERT INTO gbgreg_projects (" << kProjectColumns
          << ") VALUES (:id, :name, :description, :status, :file_count, :size_bytes, :languages, :created_at)",
      soci::use(project.id, "id"), soci::use(project.name, "name"),
      soci::use(description.value, description.indicator, "description"), soci::use(project.status, "status"),
      soci::use(file_count, "file_count"), soci::use(size_bytes, "size_bytes"),
      soci::use(project.languages_json, "languages"), soci::use(project.created_at, "created_at");
}

// One statement for all of them: it is prepared once.
void insert_files(soci::session& session, const std::string& project_id, const std::vector<ProjectFile>& files) {
  // What the statement looks at whenever it is executed.
  struct Bound {
    ProjectFile file;
    Nullable language;
    long long size_bytes = 0;
  } bound;
  soci::statement statement =
      (session.prepare << "INSERT INTO gbgreg_project_files (project_id, " << kFileColumns
                       << ") VALUES (:project_id, :path, :kind, :media_type, :language, :size_bytes, :sha256)",
       soci::use(project_id, "project_id"), soci::use(bound.file.path, "path"), soci::use(bound.file.kind, "kind"),
       soci::use(bound.file.media_type, "media_type"),
       soci::use(bound.language.value, bound.language.indicator, "language"), soci::use(bound.size_bytes, "size_bytes"),
       soci::use(bound.file.sha256, "sha256"));
  for (const ProjectFile& each : files) {
    bound.file = each;
    bound.language.set(each.language);
    bound.size_bytes = static_cast<long long>(each.size_bytes);
    statement.execute(true);
  }
}

void insert_extraction(soci::session& session, const Project& project, const Extraction& extraction) {
  const auto total = static_cast<long long>(extraction.entries_total);
  const auto extracted = static_cast<long long>(extraction.entries_extracted);
  const auto rejected = static_cast<long long>(extraction.entries_rejected);
  const auto bytes = static_cast<long long>(extraction.bytes_extracted);
  const auto duration_ms = static_cast<long long>(extraction.duration_ms);
  session << "INSERT INTO gbgreg_extractions (id, project_id, archive_upload_id, entries_total, entries_extracted, "
             "entries_rejected, bytes_extracted, duration_ms, created_at) VALUES (:id, :project_id, :archive, :total, "
             ":extracted, :rejected, :bytes, :duration_ms, :created_at)",
      soci::use(extraction.id, "id"), soci::use(project.id, "project_id"),
      soci::use(extraction.archive_upload_id, "archive"), soci::use(total, "total"), soci::use(extracted, "extracted"),
      soci::use(rejected, "rejected"), soci::use(bytes, "bytes"), soci::use(duration_ms, "duration_ms"),
      soci::use(project.created_at, "created_at");
}

std::set<std::string> digests_of(soci::session& session, const std::string& project_id) {
  const soci::rowset<std::string> rows =
      (session.prepare << "SELECT DISTINCT sha256 FROM gbgreg_project_files WHERE project_id = :id",
       soci::use(project_id, "id"));
  return {rows.begin(), rows.end()};
}

// Removes the upload that the project came from, if it is still there, and notes its digest.
void remove_archive(soci::session& session, const std::string& project_id, std::set<std::string>& digests) {
  std::string archive;
  session << "SELECT archive_upload_id FROM gbgreg_extractions WHERE project_id = :id", soci::into(archive),
      soci::use(project_id, "id");
  if (!session.got_data()) return;
  if (auto removed = remove_upload(session, archive)) digests.insert(std::move(removed->sha256));
}

}  // namespace

Result<void> ProjectStore::insert(const Project& project, const std::vector<ProjectFile>& files,
                                  StoredArchive* archive) {
  return database_.in_transaction([&](soci::session& session) -> Result<void> {
    insert_project(session, project);
    insert_files(session, project.id, files);
    if (archive != nullptr) {
      archive->upload = insert_upload(session, std::move(archive->upload));
      insert_extraction(session, project, archive->extraction);
    }
    return {};
  });
}

Result<Project> ProjectStore::find(std::string_view id) {
  const std::string wanted(id);
  return database_.with_connection([&](soci::session& session) -> Result<Project> {
    soci::row row;
    session << "SELECT " << kProjectColumns << " FROM gbgreg_projects WHERE id = :id", soci::into(row),
        soci::use(wanted, "id");
    if (!session.got_data()) return no_such_project();
    return project_from(row);
  });
}

Result<ProjectFile> ProjectStore::find_file(std::string_view id, std::string_view path) {
  const std::string wanted(id), name(path);
  return database_.with_connection([&](soci::session& session) -> Result<ProjectFile> {
    soci::row row;
    session << "SELECT " << kFileColumns << " FROM gbgreg_project_files WHERE project_id = :id AND path = :path",
        soci::into(row), soci::use(wanted, "id"), soci::use(name, "path");
    if (session.got_data()) return file_from(row);
    if (!exists(session, wanted)) return no_such_project();
    return fail(Kind::not_found, "project_file_not_found",
                "The project has no file of this path. GET /api/projects/{id}/files lists those that it has.");
  });
}

Result<std::optional<Extraction>> ProjectStore::extraction(std::string_view id) {
  const std::string wanted(id);
  return database_.with_connection([&](soci::session& session) -> Result<std::optional<Extraction>> {
    soci::row row;
    session << "SELECT id, archive_upload_id, entries_total, entries_extracted, entries_rejected, bytes_extracted, "
               "duration_ms FROM gbgreg_extractions WHERE project_id = :id",
        soci::into(row), soci::use(wanted, "id");
    if (!session.got_data()) return std::nullopt;
    return Extraction{.id = row.get<std::string>("id"),
                      .archive_upload_id = row.get<std::string>("archive_upload_id"),
                      .entries_total = count_in(row, "entries_total"),
                      .entries_extracted = count_in(row, "entries_extracted"),
                      .entries_rejected = count_in(row, "entries_rejected"),
                      .bytes_extracted = count_in(row, "bytes_extracted"),
                      .duration_ms = row.get<long long>("duration_ms")};
  });
}

Result<ProjectPage> ProjectStore::list(int limit, std::string_view cursor) {
  if (limit < 1 || limit > list_limit_max_) {
    return fail(Kind::malformed, "limit_out_of_bounds",
                "limit must be between 1 and " + std::to_string(list_limit_max_) + ".");
  }
  const std::optional<std::string> bound = cursor.empty() ? "g" : id_in(cursor);  // Every id sorts below 'g'.
  if (!bound) {
    return fail(Kind::malformed, "cursor_malformed", "cursor must be the next_cursor of a page before this one.");
  }
  const int rows_wanted = limit + 1;  // One more tells whether there is a next page.
  return database_.with_connection([&](soci::session& session) -> Result<ProjectPage> {
    const soci::rowset<soci::row> rows =
        (session.prepare << "SELECT " << kProjectColumns
                         << " FROM gbgreg_projects WHERE id < :bound ORDER BY id DESC LIMIT :rows",
         soci::use(*bound, "bound"), soci::use(rows_wanted, "rows"));
    ProjectPage page;
    for (const soci::row& row : rows) page.projects.push_back(project_from(row));
    if (page.projects.size() == static_cast<std::size_t>(rows_wanted)) {
      page.projects.pop_back();
      page.next_cursor = cursor_after(page.projects.back().id);
    }
    return page;
  });
}

Result<FilePage> ProjectStore::files(std::string_view id, const FileQuery& query) {
  if (query.limit < 1 || query.limit > kFilesMax) {
    return fail(Kind::malformed, "limit_out_of_bounds",
                "limit must be between 1 and " + std::to_string(kFilesMax) + ".");
  }
  const std::string wanted(id);
  // What is below a folder sorts between "folder/" and "folder0", which is the next byte; every path that we take sorts
  // below the last code point.
  const std::string from = query.folder.empty() ? "" : query.folder + "/";
  const std::string below = query.folder.empty() ? "\xF4\x8F\xBF\xBF" : query.folder + "0";
  const std::string& after = query.after > from ? query.after : from;
  const int rows_wanted = query.limit + 1;
  return database_.with_connection([&](soci::session& session) -> Result<FilePage> {
    if (!exists(session, wanted)) return no_such_project();
    const soci::rowset<soci::row> rows =
        (session.prepare << "SELECT " << kFileColumns
                         << " FROM gbgreg_project_files WHERE project_id = :id AND path > :after AND path < :below"
                            " ORDER BY path LIMIT :rows",
         soci::use(wanted, "id"), soci::use(after, "after"), soci::use(below, "below"), soci::use(rows_wanted, "rows"));
    FilePage page;
    for (const soci::row& row : rows) page.files.push_back(file_from(row));
    if (page.files.size() == static_cast<std::size_t>(rows_wanted)) {
      page.files.pop_back();
      page.next_after = page.files.back().path;
    }
    return page;
  });
}

Result<std::set<std::string>> ProjectStore::remove(std::string_view id) {
  const std::string wanted(id);
  return database_.in_transaction([&](soci::session& session) -> Result<std::set<std::string>> {
    if (!exists(session, wanted)) return no_such_project();
    std::set<std::string> digests = digests_of(session, wanted);
    remove_archive(session, wanted, digests);
    for (const std::string_view table : {"gbgreg_project_files", "gbgreg_extractions"}) {
      session << "DELETE FROM " << table << " WHERE project_id = :id", soci::use(wanted, "id");
    }
    session << "DELETE FROM gbgreg_projects WHERE id = :id", soci::use(wanted, "id");
    std::erase_if(digests, [&](const std::string& digest) { return is_digest_in_use(session, digest); });
    return digests;
  });
}

}  // namespace gbgreg::storage
