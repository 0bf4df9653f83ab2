#include "storage/uploads.h"

#include <algorithm>

#include "storage/columns.h"
#include "storage/digests.h"

namespace gbgreg::storage {
namespace {

constexpr std::string_view kColumns =
    "id, filename, original_filename, kind, media_type, language, size_bytes, sha256, description, duplicate_of, "
    "text_preview, created_at, purpose";

std::unexpected<Error> no_such_upload() {
  return fail(Kind::not_found, "upload_not_found", "No upload has this id. GET /api/uploads lists those that exist.");
}

Upload from_row(const soci::row& row) {
  return {.id = row.get<std::string>("id"),
          .filename = row.get<std::string>("filename"),
          .original_filename = row.get<std::string>("original_filename"),
          .kind = row.get<std::string>("kind"),
          .media_type = row.get<std::string>("media_type"),
          .language = optional_text(row, "language"),
          .size_bytes = static_cast<std::uint64_t>(row.get<long long>("size_bytes")),
          .sha256 = row.get<std::string>("sha256"),
          .description = optional_text(row, "description"),
          .duplicate_of = optional_text(row, "duplicate_of"),
          .text_preview = optional_text(row, "text_preview"),
          .created_at = row.get<std::string>("created_at"),
          .purpose = row.get<std::string>("purpose")};
}

// The oldest upload that has these bytes: the one that all later ones are duplicates of.
std::optional<std::string> first_with(soci::session& session, const std::string& sha256) {
  std::string id;
  soci::indicator indicator = soci::i_null;
  session << "SELECT min(id) FROM gbgreg_uploads WHERE sha256 = :sha256", soci::into(id, indicator),
      soci::use(sha256, "sha256");
  if (indicator == soci::i_null) return std::nullopt;
  return id;
}

// A row that is no duplicate itself, if one has these bytes. Two uploads of one millisecond may sort against the order
// of their commits, so this asks for the mark and not for the smallest id.
std::optional<std::string> original_of(soci::session& session, const std::string& sha256) {
  std::string id;
  session << "SELECT id FROM gbgreg_uploads WHERE sha256 = :sha256 AND duplicate_of IS NULL", soci::into(id),
      soci::use(sha256, "sha256");
  if (!session.got_data()) return std::nullopt;
  return id;
}

void make_original(soci::session& session, const std::string& id, const std::string& sha256) {
  session << "UPDATE gbgreg_uploads SET duplicate_of = :original WHERE sha256 = :sha256", soci::use(id, "original"),
      soci::use(sha256, "sha256");
  session << "UPDATE gbgreg_uploads SET duplicate_of = NULL WHERE id = :id", soci::use(id, "id");
}

}  // namespace

Upload insert_upload(soci::session& session, Upload upload) {
  upload.duplicate_of = original_of(session, upload.sha256);
  Nullable language(upload.language), description(upload.description), duplicate_of(upload.duplicate_of),
      text_preview(upload.text_preview);
  const auto size_bytes = static_cast<long long>(upload.size_bytes);
  session << "INSERT INTO gbgreg_uploads (" << kColumns
          << ") VALUES (:id, :filename, :original_filename, :kind, :media_type, :language, :size_bytes, :sha256, "
             ":description, :duplicate_of, :text_preview, :created_at, :purpose)",
      soci::use(upload.id, "id"), soci::use(upload.filename, "filename"),
      soci::use(upload.original_filename, "original_filename"), soci::use(upload.kind, "kind"),
      soci::use(upload.media_type, "media_type"), soci::use(language.value, language.indicator, "language"),
      soci::use(size_bytes, "size_bytes"), soci::use(upload.sha256, "sha256"),
      soci::use(description.value, description.indicator, "description"),
      soci::use(duplicate_of.value, duplicate_of.indicator, "duplicate_of"),
      soci::use(text_preview.value, text_preview.indicator, "text_preview"), soci::use(upload.created_at, "created_at"),
      soci::use(upload.purpose, "purpose");
  return upload;
}

std::optional<RemovedUpload> remove_upload(soci::session& session, const std::string& id) {
  RemovedUpload removed;
  std::string duplicate_of;
  soci::indicator is_duplicate = soci::i_null;
  session << "SELECT sha256, duplicate_of FROM gbgreg_uploads WHERE id = :id", soci::into(removed.sha256),
      soci::into(duplicate_of, is_duplicate), soci::use(id, "id");
  if (!session.got_data()) return std::nullopt;
  session << "DELETE FROM gbgreg_uploads WHERE id = :id", soci::use(id, "id");
  session << "DELETE FROM gbgreg_screenshot_analysis WHERE upload_id = :id", soci::use(id, "id");

  const auto heir = first_with(session, removed.sha256);
  if (heir && is_duplicate == soci::i_null) make_original(session, *heir, removed.sha256);
  removed.bytes_still_used = is_digest_in_use(session, removed.sha256);
  return removed;
}

Result<Upload> UploadStore::insert(Upload upload) {
  return database_.in_transaction(
      [&](soci::session& session) -> Result<Upload> { return insert_upload(session, upload); });
}

Result<Upload> UploadStore::find(std::string_view id) {
  const std::string wanted(id);
  return database_.with_connection([&](soci::session& session) -> Result<Upload> {
    soci::row row;
    session << "SELECT " << kColumns << " FROM gbgreg_uploads WHERE id = :id", soci::into(row), soci::use(wanted, "id");
    if (!session.got_data()) return no_such_upload();
    return from_row(row);
  });
}

Result<UploadPage> UploadStore::list(const UploadQuery& query) {
  if (query.limit < 1 || query.limit > list_limit_max_) {
    return fail(Kind::malformed, "limit_out_of_bounds",
                "limit must be between 1 and " + std::to_string(list_limit_max_) + ".");
  }
  const bool newest_first = query.order == UploadOrder::newest_first;
  // Every id sorts below 'g' and above nothing, so the first page needs no statement of its own.
  const std::string first_page = newest_first ? "g" : "";
  std::optional<std::string> bound = query.after.empty() ? first_page : query.after;
  if (!query.cursor.empty()) bound = id_in(query.cursor);
  if (!bound) {
    return fail(Kind::malformed, "cursor_malformed", "cursor must be the next_cursor of a page before this one.");
  }
  const std::string pattern = containing(query.q);
  const int rows_wanted = query.limit + 1;  // One more tells whether there is a next page.

  std::string sql = "SELECT " + std::string(kColumns) + " FROM gbgreg_uploads WHERE id ";
  sql += newest_first ? "< :bound" : "> :bound";
  if (!query.purpose.empty()) sql += " AND purpose = :purpose";
  if (!query.kind.empty()) sql += " AND kind = :kind";
  if (!query.q.empty()) {
    sql +=
        " AND (lower(filename) LIKE :q ESCAPE '!' OR lower(original_filename) LIKE :q ESCAPE '!'"
        " OR lower(description) LIKE :q ESCAPE '!')";
  }
  sql += newest_first ? " ORDER BY id DESC LIMIT :rows" : " ORDER BY id LIMIT :rows";

  return database_.with_connection([&](soci::session& session) -> Result<UploadPage> {
    soci::row row;
    soci::statement statement(session);
    statement.exchange(soci::into(row));
    statement.exchange(soci::use(*bound, "bound"));
    if (!query.purpose.empty()) statement.exchange(soci::use(query.purpose, "purpose"));
    if (!query.kind.empty()) statement.exchange(soci::use(query.kind, "kind"));
    if (!query.q.empty()) statement.exchange(soci::use(pattern, "q"));
    statement.exchange(soci::use(rows_wanted, "rows"));
    statement.alloc();
    statement.prepare(sql);
    statement.define_and_bind();

    UploadPage page;
    for (bool more = statement.execute(true); more; more = statement.fetch()) page.uploads.push_back(from_row(row));
    if (page.uploads.size() == static_cast<std::size_t>(rows_wanted)) {
      page.uploads.pop_back();
      page.next_cursor = cursor_after(page.uploads.back().id);
    }
    return page;
  });
}

Result<RemovedUpload> UploadStore::remove(std::string_view id) {
  const std::string wanted(id);
  return database_.in_transaction([&](soci::session& session) -> Result<RemovedUpload> {
    auto removed = remove_upload(session, wanted);
    if (!removed) return no_such_upload();
    return std::move(*removed);
  });
}

Result<std::vector<UploadsOfKind>> UploadStore::totals(const std::string& id_from) {
  return database_.with_connection([&](soci::session& session) -> Result<std::vector<UploadsOfKind>> {
    std::string kind;
    long long count = 0, bytes = 0;
    soci::statement statement =
        (session.prepare << "SELECT kind, count(*), CAST(sum(size_bytes) AS bigint) FROM gbgreg_uploads WHERE id >= "
                            ":id_from GROUP BY kind ORDER BY kind",
         soci::into(kind), soci::into(count), soci::into(bytes), soci::use(id_from, "id_from"));
    std::vector<UploadsOfKind> totals;
    for (bool more = statement.execute(true); more; more = statement.fetch()) {
      totals.push_back({.kind = kind, .count = count, .bytes = bytes});
    }
    return totals;
  });
}

Result<bool> UploadStore::uses(std::string_view sha256) {
  const std::string wanted(sha256);
  return database_.with_connection(
      [&](soci::session& session) -> Result<bool> { return is_digest_in_use(session, wanted); });
}

Result<std::set<std::string>> UploadStore::digests(std::string_view first_two_digits) {
  const std::string wanted(first_two_digits);
  return database_.with_connection(
      [&](soci::session& session) -> Result<std::set<std::string>> { return digests_in_use(session, wanted); });
}

}  // namespace gbgreg::storage
