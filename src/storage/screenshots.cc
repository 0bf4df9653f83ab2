#include "storage/screenshots.h"

#include "storage/columns.h"

namespace gbgreg::storage {
namespace {

constexpr std::string_view kColumns =
    "id, upload_id, image_sha256, status, prompt, model, role, description, extracted_text, width, height, "
    "duration_ms, "
    "error_code, error_message, created_at, finished_at";

// Rows of nobody in particular were made before there could be several gateways, or on SQLite.
constexpr std::string_view kIsOurs = "(:gateway = '' OR gateway = '' OR gateway = :gateway)";

std::unexpected<Error> no_such_analysis() {
  return fail(Kind::not_found, "screenshot_not_found",
              "No analysis has this id. GET /api/screenshots lists those that exist.");
}

Analysis from_row(const soci::row& row) {
  return {.id = row.get<std::string>("id"),
          .upload_id = row.get<std::string>("upload_id"),
          .image_sha256 = row.get<std::string>("image_sha256"),
          .status = row.get<std::string>("status"),
          .prompt = row.get<std::string>("prompt"),
          .model = optional_text(row, "model"),
          .role = optional_text(row, "role"),
          .description = optional_text(row, "description"),
          .extracted_text = optional_text(row, "extracted_text"),
          .width = row.get<long long>("width"),
          .height = row.get<long long>("height"),
          .duration_ms = row.get<long long>("duration_ms"),
          .error_code = optional_text(row, "error_code"),
          .error_message = optional_text(row, "error_message"),
          .created_at = row.get<std::string>("created_at"),
          .finished_at = optional_text(row, "finished_at")};
}

// What of an analysis changes while it is made, bound by name.
struct Findings {
  explicit Findings(const Analysis& analysis)
      : model(analysis.model),
        role(analysis.role),
        description(analysis.description),
        extracted_text(analysis.extracted_text),
        error_code(analysis.error_code),
        error_message(analysis.error_message),
        finished_at(analysis.finished_at),
        width(analysis.width),
        height(analysis.height),
        duration_ms(analysis.duration_ms) {}

  void bind(soci::statement& statement, const Analysis& analysis) {
    statement.exchange(soci::use(analysis.id, "id"));
    statement.exchange(soci::use(analysis.status, "status"));
    const std::pair<Nullable*, const char*> texts[] = {{&model, "model"},
                                                       {&role, "role"},
                                                       {&description, "description"},
                                                       {&extracted_text, "extracted_text"},
                                                       {&error_code, "error_code"},
                                                       {&error_message, "error_message"},
                                                       {&finished_at, "finished_at"}};
    for (const auto& [text, name] : texts) statement.exchange(soci::use(text->value, text->indicator, name));
    statement.exchange(soci::use(width, "width"));
    statement.exchange(soci::use(height, "height"));
    statement.exchange(soci::use(duration_ms, "duration_ms"));
  }

  Nullable model, role, description, extracted_text, error_code, error_message, finished_at;
  long long width, height, duration_ms;
};

int count_queued(soci::session& session) {
  int queued = 0;
  session << "SELECT count(*) FROM gbgreg_screenshot_analysis WHERE status = 'queued'", soci::into(queued);
  return queued;
}

bool has_upload(soci::session& session, const std::string& upload_id) {
  int found = 0;
  session << "SELECT 1 FROM gbgreg_uploads WHERE id = :id", soci::into(found), soci::use(upload_id, "id");
  return session.got_data();
}

Result<void> insert_analysis(soci::session& session, const Analysis& analysis, const std::string& gateway) {
  if (!has_upload(session, analysis.upload_id)) {
    return fail(Kind::not_found, "upload_not_found", "The image was removed meanwhile. Upload it again.");
  }
  Findings findings(analysis);
  soci::statement statement(session);
  findings.bind(statement, analysis);
  statement.exchange(soci::use(analysis.upload_id, "upload_id"));
  statement.exchange(soci::use(analysis.image_sha256, "image_sha256"));
  statement.exchange(soci::use(analysis.prompt, "prompt"));
  statement.exchange(soci::use(analysis.created_at, "created_at"));
  statement.exchange(soci::use(gateway, "gateway"));
  statement.alloc();
  statement.prepare("INSERT INTO gbgreg_screenshot_analysis (" + std::string(kColumns) +
                    ", gateway) VALUES (:id, :upload_id, :image_sha256, :status, :prompt, :model, :role, :description, "
                    ":extracted_text, :width, :height, :duration_ms, :error_code, :error_message, :created_at, "
                    ":finished_at, :gateway)");
  statement.define_and_bind();
  statement.execute(true);
  return {};
}

std::unexpected<Error> queue_full(int queued_max) {
  return std::unexpected(Error{.kind = Kind::busy,
                               .code = "screenshot_queue_full",
                               .message = "There are " + std::to_string(queued_max) +
                                          " screenshots waiting already. Send this one again in a while.",
                               .retry_after_seconds = 10});
}

}  // namespace

Result<void> ScreenshotStore::insert(const Analysis& analysis) {
  return database_.in_transaction([&](soci::session& session) { return insert_analysis(session, analysis, gateway_); });
}

Result<void> ScreenshotStore::enqueue(const Analysis& analysis, int queued_max) {
  return database_.in_transaction([&](soci::session& session) -> Result<void> {
    if (count_queued(session) >= queued_max) return queue_full(queued_max);
    return insert_analysis(session, analysis, gateway_);
  });
}

Result<std::optional<Analysis>> ScreenshotStore::take_next() {
  return database_.in_transaction([&](soci::session& session) -> Result<std::optional<Analysis>> {
    soci::row row;
    session << "SELECT " << kColumns << " FROM gbgreg_screenshot_analysis WHERE status = 'queued' AND " << kIsOurs
            << " ORDER BY id LIMIT 1",
        soci::into(row), soci::use(gateway_, "gateway");
    if (!session.got_data()) return std::nullopt;
    Analysis next = from_row(row);
    next.status = "running";
    session << "UPDATE gbgreg_screenshot_analysis SET status = :status WHERE id = :id",
        soci::use(next.status, "status"), soci::use(next.id, "id");
    return next;
  });
}

Result<int> ScreenshotStore::requeue() {
  return database_.in_transaction([&](soci::session& session) -> Result<int> {
    session << "UPDATE gbgreg_screenshot_analysis SET status = 'queued' WHERE status = 'running' AND " << kIsOurs,
        soci::use(gateway_, "gateway");
    return count_queued(session);
  });
}

Result<void> ScreenshotStore::update(const Analysis& analysis) {
  return database_.in_transaction([&](soci::session& session) -> Result<void> {
    Findings findings(analysis);
    soci::statement statement(session);
    findings.bind(statement, analysis);
    statement.alloc();
    statement.prepare(
        "UPDATE gbgreg_screenshot_analysis SET status = :status, model = :model, role = :role, "
        "description = :description, extracted_text = :extracted_text, width = :width, height = :height, "
        "duration_ms = :duration_ms, error_code = :error_code, error_message = :error_message, "
        "finished_at = :finished_at WHERE id = :id");
    statement.define_and_bind();
    statement.execute(true);
    if (statement.get_affected_rows() == 0) return no_such_analysis();
    return {};
  });
}

Result<Analysis> ScreenshotStore::find(std::string_view id) {
  const std::string wanted(id);
  return database_.with_connection([&](soci::session& session) -> Result<Analysis> {
    soci::row row;
    session << "SELECT " << kColumns << " FROM gbgreg_screenshot_analysis WHERE id = :id", soci::into(row),
        soci::use(wanted, "id");
    if (!session.got_data()) return no_such_analysis();
    return from_row(row);
  });
}

Result<AnalysisPage> ScreenshotStore::list(const AnalysisQuery& query) {
  if (query.limit < 1 || query.limit > kListLimitMax) {
    return fail(Kind::malformed, "limit_out_of_bounds",
                "limit must be between 1 and " + std::to_string(kListLimitMax) + ".");
  }
  std::optional<std::string> bound = "g";  // Above every id.
  if (!query.cursor.empty()) bound = id_in(query.cursor);
  if (!bound) {
    return fail(Kind::malformed, "cursor_malformed", "cursor must be the next_cursor of a page before this one.");
  }
  const std::string pattern = containing(query.q);
  const int rows_wanted = query.limit + 1;  // One more tells whether there is a next page.
  std::string sql = "SELECT " + std::string(kColumns) + " FROM gbgreg_screenshot_analysis WHERE id < :bound";
  if (!query.q.empty()) {
    sql +=
        " AND (lower(description) LIKE :q ESCAPE '!' OR lower(extracted_text) LIKE :q ESCAPE '!'"
        " OR lower(prompt) LIKE :q ESCAPE '!')";
  }
  sql += " ORDER BY id DESC LIMIT :rows";

  return database_.with_connection([&](soci::session& session) -> Result<AnalysisPage> {
    soci::row row;
    soci::statement statement(session);
    statement.exchange(soci::into(row));
    statement.exchange(soci::use(*bound, "bound"));
    if (!query.q.empty()) statement.exchange(soci::use(pattern, "q"));
    statement.exchange(soci::use(rows_wanted, "rows"));
    statement.alloc();
    statement.prepare(sql);
    statement.define_and_bind();

    AnalysisPage page;
    for (bool more = statement.execute(true); more; more = statement.fetch()) page.analyses.push_back(from_row(row));
    if (page.analyses.size() == static_cast<std::size_t>(rows_wanted)) {
      page.analyses.pop_back();
      page.next_cursor = cursor_after(page.analyses.back().id);
    }
    return page;
  });
}

Result<std::optional<Analysis>> ScreenshotStore::find_done(const Same& same) {
  return database_.with_connection([&](soci::session& session) -> Result<std::optional<Analysis>> {
    soci::row row;
    session << "SELECT " << kColumns
            << " FROM gbgreg_screenshot_analysis WHERE image_sha256 = :image AND status = 'done' AND prompt = :prompt "
               "AND model = :model ORDER BY id DESC LIMIT 1",
        soci::into(row), soci::use(same.image_sha256, "image"), soci::use(same.prompt, "prompt"),
        soci::use(same.model, "model");
    if (!session.got_data()) return std::nullopt;
    return from_row(row);
  });
}

}  // namespace gbgreg::storage
