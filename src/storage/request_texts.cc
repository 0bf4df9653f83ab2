#include "storage/request_texts.h"

namespace gbgreg::storage {

Result<void> RequestTextStore::write(std::span<const RequestTexts> texts) {
  return database_.in_transaction([&](soci::session& session) -> Result<void> {
    RequestTexts one;
    soci::statement statement =
        (session.prepare << "INSERT INTO gbgreg_request_texts (id, prompt, answer) VALUES "
                            "(:id, :prompt, :answer) ON CONFLICT (id) DO NOTHING",
         soci::use(one.id, "id"), soci::use(one.prompt, "prompt"), soci::use(one.answer, "answer"));
    for (const RequestTexts& each : texts) {
      one = each;
      statement.execute(true);
    }
    return {};
  });
}

Result<std::optional<RequestTexts>> RequestTextStore::find(const std::string& id) {
  return database_.with_connection([&](soci::session& session) -> Result<std::optional<RequestTexts>> {
    RequestTexts found{.id = id};
    session << "SELECT prompt, answer FROM gbgreg_request_texts WHERE id = :id", soci::into(found.prompt),
        soci::into(found.answer), soci::use(id, "id");
    if (!session.got_data()) return std::nullopt;
    return found;
  });
}

Result<std::int64_t> RequestTextStore::forget(const std::string& id_below, int most) {
  return database_.in_transaction([&](soci::session& session) -> Result<std::int64_t> {
    soci::statement statement =
        (session.prepare << "DELETE FROM gbgreg_request_texts WHERE id IN (SELECT id FROM gbgreg_request_texts WHERE "
                            "id < :bound ORDER BY id LIMIT :most)",
         soci::use(id_below, "bound"), soci::use(most, "most"));
    statement.execute(true);
    return statement.get_affected_rows();
  });
}

}  // namespace gbgreg::storage
