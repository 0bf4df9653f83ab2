// For tests that hold on every database: each of them gets an empty one of its own.
//
//   class UploadStoreTest : public EachDatabase { … };
//   TEST_P(UploadStoreTest, AnUnknownIdIsNotFound) { … }
//   GBGREG_ON_EACH_DATABASE(UploadStoreTest);
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "storage/private_postgres.h"

namespace gbgreg::storage {

enum class TestedDatabase { sqlite, postgresql };

inline std::string new_database(TestedDatabase kind, const std::filesystem::path& folder) {
  if (kind == TestedDatabase::sqlite) return "sqlite://" + (folder / "x.db").string();
  return PrivatePostgres::instance().new_place();
}

class EachDatabase : public testing::TestWithParam<TestedDatabase> {
 protected:
  static bool is_sqlite() { return GetParam() == TestedDatabase::sqlite; }
};

// The names of tests end in /sqlite and /postgresql.
#define GBGREG_ON_EACH_DATABASE(suite)                                                                       \
  INSTANTIATE_TEST_SUITE_P(Each, suite, testing::Values(TestedDatabase::sqlite, TestedDatabase::postgresql), \
                           [](const testing::TestParamInfo<TestedDatabase>& info) {                          \
                             return info.param == TestedDatabase::sqlite ? "sqlite" : "postgresql";          \
                           })

}  // namespace gbgreg::storage
