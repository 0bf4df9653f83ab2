#include "storage/loose_rows.h"

namespace gbgreg::storage {
namespace {

struct Question {
  const char* what;
  const char* sql;
};

constexpr Question kQuestions[] = {
    {.what = "files of projects that are not there",
     .sql = "SELECT count(*) FROM gbgreg_project_files f WHERE NOT EXISTS"
            " (SELECT 1 FROM gbgreg_projects p WHERE p.id = f.project_id)"},
    {.what = "archives of projects that are not there",
     .sql = "SELECT count(*) FROM gbgreg_extractions e WHERE NOT EXISTS"
            " (SELECT 1 FROM gbgreg_projects p WHERE p.id = e.project_id)"},
    {.what = "analyses of uploads that are not there",
     .sql = "SELECT count(*) FROM gbgreg_screenshot_analysis a WHERE NOT EXISTS"
            " (SELECT 1 FROM gbgreg_uploads u WHERE u.id = a.upload_id)"},
    {.what = "duplicates of uploads that are not there",
     .sql = "SELECT count(*) FROM gbgreg_uploads d WHERE d.duplicate_of IS NOT NULL AND NOT EXISTS"
            " (SELECT 1 FROM gbgreg_uploads u WHERE u.id = d.duplicate_of)"},
};

}  // namespace

Result<std::vector<LooseRows>> find_loose_rows(Database& database) {
  const auto work = [](soci::session& session) -> Result<std::vector<LooseRows>> {
    std::vector<LooseRows> found;
    for (const Question& question : kQuestions) {
      long long rows = 0;
      session << question.sql, soci::into(rows);
      if (rows > 0) found.push_back({.what = question.what, .rows = static_cast<std::uint64_t>(rows)});
    }
    return found;
  };
  return database.in_transaction(work, TransactionKind::snapshot);
}

}  // namespace gbgreg::storage
