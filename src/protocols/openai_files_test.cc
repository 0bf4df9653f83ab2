#include "protocols/openai_files.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>
#include <vector>

namespace gbgreg::protocols::openai_files {
namespace {

namespace json = boost::json;

const std::string kUpload = "0193e2a4-7c1b-7d3e-9f00-1a2b3c4d5e6f";

TEST(FileId, LeadsToItsUploadAndBack) {
  EXPECT_EQ(file_id(kUpload), "file-" + kUpload);
  EXPECT_EQ(upload_id(file_id(kUpload)), kUpload);
  for (const std::string& other :
       {std::string(), std::string("file-"), kUpload, "file-" + kUpload + "x", std::string("file-abc123"),
        "file_" + kUpload, std::string("file-../../etc/passwd")}) {
    SCOPED_TRACE(other);
    EXPECT_EQ(upload_id(other), std::nullopt);
  }
}

TEST(Purposes, AreThoseThatOpenAiDocuments) {
  for (const char* purpose : {"assistants", "batch", "evals", "fine-tune", "user_data", "vision"}) {
    EXPECT_TRUE(is_purpose(purpose) && is_listed_purpose(purpose)) << purpose;
  }
  for (const char* purpose : {"assistants_output", "batch_output", "fine-tune-results"}) {
    EXPECT_TRUE(!is_purpose(purpose) && is_listed_purpose(purpose)) << purpose;
  }
  for (const char* purpose : {"", "Vision", "fine_tune", "batch "}) {
    EXPECT_TRUE(!is_purpose(purpose) && !is_listed_purpose(purpose)) << purpose;
  }
  EXPECT_TRUE(is_purpose(kPurposeOfUploads));
}

TEST(WriteFile, HasTheShapeThatClientsKnow) {
  const File file{.upload_id = kUpload,
                  .filename = "a \"b\".txt",
                  .purpose = "user_data",
                  .size_bytes = 5'000'000'000,
                  .created = WallTime{std::chrono::seconds{1'700'000'000}}};
  const std::string object =
      R"({"id":"file-)" + kUpload +
      R"(","object":"file","bytes":5000000000,"created_at":1700000000,"expires_at":null,)"
      R"("filename":"a \"b\".txt","purpose":"user_data","status":"processed","status_details":null})";
  EXPECT_EQ(write_file(file), object);
  const std::vector files{file};
  const auto list = json::parse(write_files(files, true));
  EXPECT_EQ(list.at("data").at(0), json::parse(object));
  EXPECT_EQ(list.at("first_id").as_string(), "file-" + kUpload);
  EXPECT_EQ(list.at("last_id").as_string(), "file-" + kUpload);
  EXPECT_EQ(list.at("has_more"), true);
  const auto none = json::parse(write_files({}, false));
  EXPECT_TRUE(none.at("data").as_array().empty() && none.at("first_id").is_null());
  EXPECT_EQ(write_deleted(kUpload), R"({"id":"file-)" + kUpload + R"(","object":"file","deleted":true})");
}

}  // namespace
}  // namespace gbgreg::protocols::openai_files
