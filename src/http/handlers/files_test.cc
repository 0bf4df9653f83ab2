#include "http/handlers/files.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/json.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "http/fake_exchange.h"
#include "protocols/openai.h"
#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::http {
namespace {

namespace json = boost::json;

std::string part(std::string_view parameters, std::string_view bytes) {
  return "--b\r\nContent-Disposition: form-data; " + std::string(parameters) + "\r\n\r\n" + std::string(bytes) + "\r\n";
}
const std::string kFile = part("name=file; filename=a.txt", "hello");
const std::string kPurpose = part("name=purpose", "batch");
const std::string kEnd = "--b--\r\n";

// A millisecond later each time it is asked, so that the order of ids is known.
class SteppingClock final : public Clock {
 public:
  SteadyTime steady() const override { return {}; }
  WallTime wall() const override { return WallTime{std::chrono::milliseconds{1'700'000'000'000 + ++asked_}}; }

 private:
  mutable std::atomic<int> asked_ = 0;
};

class FileHandlersTest : public testing::Test {
 protected:
  void TearDown() override { pool_.join(); }

  Result<void> wait_for(Task<Result<void>> task) {
    IoContext& io = *loops_.emplace_back(std::make_unique<IoContext>());
    std::optional<Result<void>> result;
    auto store_result = [](Task<Result<void>> inner, std::optional<Result<void>>& out) -> Task<void> {
      out.emplace(co_await std::move(inner));
    };
    spawn(io.get_executor(), "test", store_result(std::move(task), result));
    auto guard = asio::make_work_guard(io);
    while (!result) io.run_one();
    return std::move(*result);
  }

  using Handler = Task<Result<void>> (FileHandlers::*)(Call&);
  Result<json::value> call(Handler handler, FakeExchange exchange, std::string id = {}) {
    Call call{.exchange = exchange, .request_id = "r", .arrived = {}, .parameter = std::move(id)};
    const auto outcome = wait_for((handlers_.*handler)(call));
    if (!outcome) return std::unexpected(outcome.error());
    return json::parse(exchange.answer);
  }
  Result<json::value> post(std::string body, std::string_view content_type = "multipart/form-data; boundary=b") {
    return call(&FileHandlers::create,
                FakeExchange("POST", {{.name = "Content-Type", .value = content_type}}, "", std::move(body)));
  }
  Result<json::value> list(std::string query) {
    return call(&FileHandlers::list, FakeExchange("GET", {}, std::move(query), ""));
  }
  static std::string param_of(const Error& error) {
    const auto param = json::parse(protocols::openai::write_error(error)).at("error").at("param");
    return param.is_null() ? "" : std::string(param.as_string());
  }

  storage::TestFolder folder_;
  storage::FailingDisk disk_;
  SteppingClock clock_;
  std::vector<std::unique_ptr<IoContext>> loops_;
  asio::thread_pool pool_{2};
  storage::TestStores stores_{folder_.path(), disk_, clock_};
  services::Intake intake_{pool_, stores_.uploads, *stores_.blobs, stores_.reserve, clock_};
  UploadHandlers uploads_{intake_, Options{.upload_bytes_max = 1000}};
  FileHandlers handlers_{intake_, uploads_};
};

TEST_F(FileHandlersTest, AFileIsAnUploadUnderAnotherId) {
  const auto made = post(kFile + kPurpose + kEnd);
  ASSERT_TRUE(made) << made.error().message;
  const std::string id(made->at("id").as_string());
  ASSERT_TRUE(id.starts_with("file-"));
  EXPECT_EQ(made->at("object"), "file");
  EXPECT_EQ(made->at("bytes"), 5);
  EXPECT_EQ(made->at("filename"), "a.txt");
  EXPECT_EQ(made->at("purpose"), "batch");
  EXPECT_EQ(made->at("status"), "processed");
  EXPECT_EQ(made->at("created_at"), 1'700'000'000);
  EXPECT_EQ(stores_.uploads.find(id.substr(5)).value().purpose, "batch");

  EXPECT_EQ(call(&FileHandlers::find, FakeExchange("GET", {}, "", ""), id).value(), *made);
  FakeExchange exchange("GET", {}, "", "");
  Call bytes{.exchange = exchange, .request_id = "r", .arrived = {}, .parameter = id};
  ASSERT_TRUE(wait_for(handlers_.content(bytes)));
  EXPECT_EQ(exchange.answer, "hello");
  EXPECT_EQ(json::serialize(call(&FileHandlers::remove, FakeExchange("DELETE", {}, "", ""), id).value()),
            R"({"id":")" + id + R"(","object":"file","deleted":true})");
  for (const Handler handler : {&FileHandlers::find, &FileHandlers::content, &FileHandlers::remove}) {
    for (const std::string& none : {id, id.substr(5), std::string("file-1"), std::string("file-../x")}) {
      const auto missing = call(handler, FakeExchange("GET", {}, "", ""), none);
      ASSERT_FALSE(missing);
      EXPECT_EQ(missing.error().code, "file_not_found");
    }
  }
}

TEST_F(FileHandlersTest, FormsThatAreNotOneFileWithAPurposeAreRefused) {
  struct Case {
    const char* name;
    std::string body;
    const char* param;
    const char* code = "invalid_field";
    Kind kind = Kind::malformed;
  };
  const Case cases[] = {
      {"no purpose", kFile + kEnd, "purpose"},
      {"an unknown purpose", kFile + part("name=purpose", "fun") + kEnd, "purpose"},
      {"OpenAI's own purpose", kFile + part("name=purpose", "batch_output") + kEnd, "purpose"},
      {"two purposes", kFile + kPurpose + kPurpose + kEnd, "purpose", "two_purposes"},
      {"a long purpose", kFile + part("name=purpose", std::string(300, 'x')) + kEnd, "purpose", "purpose_too_large",
       Kind::too_large},
      {"a purpose that is no text", kFile + part("name=purpose", "\xFF") + kEnd, "purpose", "purpose_not_utf8"},
      {"no file", kPurpose + kEnd, "file", "file_missing"},
      {"two files", kFile + kFile + kPurpose + kEnd, "file", "two_files"},
      {"an end", kFile + kPurpose + part("name=\"expires_after[anchor]\"", "created_at") + kEnd, "expires_after"},
      {"another end", kFile + kPurpose + part("name=\"expires_after[seconds]\"", "3600") + kEnd, "expires_after"},
      {"too large", part("name=file; filename=a", std::string(1001, 'x')) + kPurpose + kEnd, "", "file_too_large",
       Kind::too_large},
      {"cut short", kFile + kPurpose, "", "malformed_multipart"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto refused = post(c.body);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, c.code);
    EXPECT_EQ(refused.error().kind, c.kind);
    EXPECT_EQ(param_of(refused.error()), c.param);
  }
  EXPECT_EQ(post("{}", "application/json").error().kind, Kind::unsupported_type);
  EXPECT_TRUE(list("").value().at("data").as_array().empty());
}

TEST_F(FileHandlersTest, ListsByPurposeInBothOrdersPageByPage) {
  std::vector<std::string> oldest_first;
  for (const char* purpose : {"batch", "vision", "batch"}) {
    std::string form = kFile;
    form.append(part("name=purpose", purpose)).append(kEnd);
    const auto made = post(std::move(form));
    oldest_first.emplace_back(made.value().at("id").as_string());
  }
  const auto ids = [&](const std::string& query) {
    std::vector<std::string> found;
    const auto listed = list(query);
    for (const auto& file : listed.value().at("data").as_array()) found.emplace_back(file.at("id").as_string());
    return found;
  };
  EXPECT_EQ(ids("order=asc"), oldest_first);
  EXPECT_EQ(ids(""), (std::vector{oldest_first[2], oldest_first[1], oldest_first[0]}));
  EXPECT_EQ(ids("order=desc&purpose=batch"), (std::vector{oldest_first[2], oldest_first[0]}));
  EXPECT_EQ(ids("after=" + oldest_first[1]), std::vector{oldest_first[0]});
  EXPECT_EQ(ids("order=asc&limit=1&after=" + oldest_first[0]), std::vector{oldest_first[1]});
  EXPECT_EQ(ids("limit=10000").size(), 3U);
  EXPECT_EQ(ids("purpose=batch_output").size(), 0U);
  const auto page = list("limit=2").value();
  EXPECT_EQ(page.at("object"), "list");
  EXPECT_EQ(page.at("has_more"), true);
  EXPECT_EQ(page.at("first_id").as_string(), oldest_first[2]);
  EXPECT_EQ(page.at("last_id").as_string(), oldest_first[1]);
  EXPECT_EQ(list("limit=3").value().at("has_more"), false);
}

TEST_F(FileHandlersTest, RefusesQueriesThatMeanNothing) {
  for (const auto& [query, param] :
       std::vector<std::pair<std::string, std::string>>{{"limit=0", "limit"},
                                                        {"limit=10001", "limit"},
                                                        {"limit=x", "limit"},
                                                        {"limit=99999999999", "limit"},
                                                        {"order=up", "order"},
                                                        {"after=file-1", "after"},
                                                        {"after=0193e2a4-7c1b-7d3e-9f00-1a2b3c4d5e6f", "after"},
                                                        {"purpose=fun", "purpose"}}) {
    SCOPED_TRACE(query);
    const auto refused = list(query);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, Kind::malformed);
    EXPECT_EQ(param_of(refused.error()), param);
  }
  EXPECT_FALSE(list("purpose=%zz"));
}

}  // namespace
}  // namespace gbgreg::http
