#include "storage/audit.h"

#include "storage/columns.h"

namespace gbgreg::storage {
namespace {

constexpr std::string_view kColumns =
    "id, created_at, actor, actor_name, peer, action, target_kind, target_id, target_name, status, error_code, "
    "request_id, left_out";

// SOCI's name for a number of 64 bits.
using Number = long long;

AuditRow row_from(const soci::row& row) {
  return {.id = row.get<std::string>("id"),
          .created_at = row.get<std::string>("created_at"),
          .actor = row.get<std::string>("actor"),
          .actor_name = row.get<std::string>("actor_name"),
          .peer = row.get<std::string>("peer"),
          .action = row.get<std::string>("action"),
          .target_kind = row.get<std::string>("target_kind"),
          .target_id = row.get<std::string>("target_id"),
          .target_name = row.get<std::string>("target_name"),
          .status = row.get<Number>("status"),
          .error_code = row.get<std::string>("error_code"),
          .request_id = row.get<std::string>("request_id"),
          .left_out = row.get<Number>("left_out")};
}

void insert_one(soci::session& session, const AuditRow& row) {
  const int is_refused = row.is_refused() ? 1 : 0;
  const Number status = row.status, left_out = row.left_out;
  session << "INSERT INTO gbgreg_audit (" << kColumns
          << ", is_refused) VALUES (:id, :created_at, :actor, :actor_name, :peer, :action, :target_kind, :target_id, "
             ":target_name, :status, :error_code, :request_id, :left_out, :is_refused) ON CONFLICT (id) DO NOTHING",
      soci::use(row.id, "id"), soci::use(row.created_at, "created_at"), soci::use(row.actor, "actor"),
      soci::use(row.actor_name, "actor_name"), soci::use(row.peer, "peer"), soci::use(row.action, "action"),
      soci::use(row.target_kind, "target_kind"), soci::use(row.target_id, "target_id"),
      soci::use(row.target_name, "target_name"), soci::use(status, "status"), soci::use(row.error_code, "error_code"),
      soci::use(row.request_id, "request_id"), soci::use(left_out, "left_out"), soci::use(is_refused, "is_refused");
}

// Of one sort: all up to the newest that is one too many, and all that are too old.
std::int64_t forget_sort(soci::session& session, int is_refused, int kept, const std::string& id_from, int most) {
  std::string bound;
  session << "SELECT id FROM gbgreg_audit WHERE is_refused = :is_refused ORDER BY id DESC LIMIT 1 OFFSET :kept",
      soci::into(bound), soci::use(is_refused, "is_refused"), soci::use(kept, "kept");
  if (!session.got_data()) bound.clear();
  soci::statement statement =
      (session.prepare << "DELETE FROM gbgreg_audit WHERE id IN (SELECT id FROM gbgreg_audit WHERE is_refused = "
                          ":is_refused AND (id <= :bound OR id < :id_from) ORDER BY id LIMIT :most)",
       soci::use(is_refused, "is_refused"), soci::use(bound, "bound"), soci::use(id_from, "id_from"),
       soci::use(most, "most"));
  statement.execute(true);
  return statement.get_affected_rows();
}

}  // namespace

Result<void> AuditStore::insert(std::span<const AuditRow> rows) {
  return database_.in_transaction([&](soci::session& session) -> Result<void> {
    for (const AuditRow& row : rows) insert_one(session, row);
    return {};
  });
}

Result<AuditPage> AuditStore::list(const AuditQuery& query) {
  if (query.limit < 1 || query.limit > kListLimitMax) {
    return fail(Kind::malformed, "limit_out_of_bounds",
                "limit must be between 1 and " + std::to_string(kListLimitMax) + ".");
  }
  std::optional<std::string> bound = "g";  // Above every id.
  if (!query.cursor.empty()) bound = id_in(query.cursor);
  if (!bound) {
    return fail(Kind::malformed, "cursor_malformed", "cursor must be the next_cursor of a page before this one.");
  }
  const int rows_wanted = query.limit + 1;  // One more tells whether there is a next page.
  std::string sql = "SELECT " + std::string(kColumns) + " FROM gbgreg_audit WHERE id < :bound";
  if (!query.action.empty()) sql += " AND action = :action";
  if (query.actor) sql += " AND actor = :actor";
  sql += " ORDER BY id DESC LIMIT :rows";

  return database_.with_connection([&](soci::session& session) -> Result<AuditPage> {
    soci::row row;
    soci::statement statement(session);
    statement.exchange(soci::into(row));
    statement.exchange(soci::use(*bound, "bound"));
    if (!query.action.empty()) statement.exchange(soci::use(query.action, "action"));
    if (query.actor) statement.exchange(soci::use(*query.actor, "actor"));
    statement.exchange(soci::use(rows_wanted, "rows"));
    statement.alloc();
    statement.prepare(sql);
    statement.define_and_bind();
    AuditPage page;
    for (bool more = statement.execute(true); more; more = statement.fetch()) page.rows.push_back(row_from(row));
    if (page.rows.size() == static_cast<std::size_t>(rows_wanted)) {
      page.rows.pop_back();
      page.next_cursor = cursor_after(page.rows.back().id);
    }
    return page;
  });
}

Result<std::int64_t> AuditStore::forget(const AuditKept& kept, int most) {
  return database_.in_transaction([&](soci::session& session) -> Result<std::int64_t> {
    return forget_sort(session, 0, kept.done, kept.id_from, most) +
           forget_sort(session, 1, kept.refused, kept.id_from, most);
  });
}

}  // namespace gbgreg::storage
