#include "storage/digests.h"

#include <string_view>

namespace gbgreg::storage {
namespace {

// All have a column sha256 with an index that begins with it.
constexpr std::string_view kTables[] = {"gbgreg_uploads", "gbgreg_project_files"};

}  // namespace

bool is_digest_in_use(soci::session& session, const std::string& sha256) {
  for (const std::string_view table : kTables) {
    int found = 0;
    session << "SELECT 1 FROM " << table << " WHERE sha256 = :sha256 LIMIT 1", soci::into(found),
        soci::use(sha256, "sha256");
    if (session.got_data()) return true;
  }
  return false;
}

std::set<std::string> digests_in_use(soci::session& session, const std::string& first_two_digits) {
  const std::string below = first_two_digits + "g";  // Sorts behind every digest that begins so.
  std::set<std::string> digests;
  for (const std::string_view table : kTables) {
    const soci::rowset<std::string> rows =
        (session.prepare << "SELECT DISTINCT sha256 FROM " << table << " WHERE sha256 >= :from AND sha256 < :below",
         soci::use(first_two_digits, "from"), soci::use(below, "below"));
    digests.insert(rows.begin(), rows.end());
  }
  return digests;
}

}  // namespace gbgreg::storage
