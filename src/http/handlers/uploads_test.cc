#include "http/handlers/uploads.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "http/fake_exchange.h"
#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::http {
namespace {

namespace json = boost::json;

std::string part(std::string_view parameters, std::string_view bytes) {
  return "--b\r\nContent-Disposition: form-data; " + std::string(parameters) + "\r\n\r\n" + std::string(bytes) + "\r\n";
}
std::string file_part(std::string_view bytes, std::string_view filename = "a.txt") {
  return part("name=\"file\"; filename=\"" + std::string(filename) + "\"", bytes);
}
const std::string kEnd = "--b--\r\n";

class UploadHandlersTest : public testing::Test {
 protected:
  void TearDown() override { pool_.join(); }

  static constexpr std::uint64_t kLimit = 2'000'000;

  // Runs a task to its end on a loop of its own, which is kept until the pool is done with it.
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

  struct Posted {
    Result<void> outcome;
    json::value answer;
    std::uint64_t body_bytes_read;
    bool large_pieces_wanted;
  };
  Posted post(std::string body, std::string_view content_type = "multipart/form-data; boundary=b",
              bool chunked = false) {
    FakeExchange exchange("POST", {{.name = "Content-Type", .value = content_type}}, "", std::move(body));
    if (chunked) exchange.mutable_head().framing = net::Framing::chunked;
    Call call{.exchange = exchange, .request_id = "r", .arrived = {}};
    auto outcome = wait_for(handlers_.upload_file(call));
    json::value answer = outcome ? json::parse(exchange.answer) : json::value{};
    return {std::move(outcome), std::move(answer), exchange.body_bytes_read(), exchange.large_pieces_wanted};
  }
  Result<void> remove(FakeExchange& exchange, const std::string& id) {
    Call call{.exchange = exchange, .request_id = "r", .arrived = {}, .parameter = id};
    auto outcome = wait_for(handlers_.remove(call));
    if (outcome) EXPECT_EQ(call.target.name, "a.txt") << "the audit trail tells it by its name";
    return outcome;
  }
  std::string posted_id(std::string_view bytes, std::string_view filename = "a.txt") {
    return std::string(post(file_part(bytes, filename) + kEnd).answer.at("upload").at("id").as_string());
  }

  FakeExchange get_content(const std::string& id, std::vector<net::Field> fields = {}, std::string method = "GET") {
    FakeExchange exchange(std::move(method), std::move(fields), "", "");
    EXPECT_TRUE(wait_for(handlers_.content(exchange, id)));
    EXPECT_TRUE(exchange.finished);
    return exchange;
  }

  Result<json::value> list(std::string query) {
    FakeExchange exchange("GET", {}, std::move(query), "");
    const auto outcome = wait_for(handlers_.list(exchange));
    if (!outcome) return std::unexpected(outcome.error());
    return json::parse(exchange.answer);
  }

  storage::TestFolder folder_;
  storage::FailingDisk disk_;
  SystemClock clock_;
  std::vector<std::unique_ptr<IoContext>> loops_;
  asio::thread_pool pool_{2};
  storage::TestStores stores_{folder_.path(), disk_, clock_};
  services::Intake intake_{pool_, stores_.uploads, *stores_.blobs, stores_.reserve, clock_};
  UploadHandlers handlers_{intake_, Options{.upload_bytes_max = kLimit}};
};

TEST_F(UploadHandlersTest, AnUploadIsAnsweredInTheShapeOfTheContract) {
  const auto posted = post(part("name=note", "passed over") + file_part("# Title\n", "na\u00EFve.md") +
                           part("name=description", "what it is") + kEnd);
  ASSERT_TRUE(posted.outcome);
  const json::object& upload = posted.answer.at("upload").as_object();
  EXPECT_TRUE(is_uuid(upload.at("id").as_string()));
  EXPECT_EQ(upload.at("filename"), "na\u00EFve.md");
  EXPECT_EQ(upload.at("original_filename"), "na\u00EFve.md");
  EXPECT_EQ(upload.at("kind"), "text");
  EXPECT_EQ(upload.at("media_type"), "text/markdown");
  EXPECT_EQ(upload.at("language"), "Markdown");
  EXPECT_EQ(upload.at("size_bytes"), 8);
  EXPECT_EQ(upload.at("sha256").as_string().size(), 64U);
  EXPECT_TRUE(upload.at("created_at").as_string().ends_with('Z'));
  EXPECT_EQ(upload.at("description"), "what it is");
  EXPECT_EQ(upload.at("text_preview"), "# Title\n");
  EXPECT_FALSE(upload.contains("duplicate_of"));
  EXPECT_EQ(post(file_part("# Title\n") + kEnd).answer.at("upload").at("duplicate_of"), upload.at("id"));
}

TEST_F(UploadHandlersTest, WantsLargePiecesOnceAFileHasBegun) {
  EXPECT_FALSE(post(part("name=description", "no file yet")).large_pieces_wanted);
  EXPECT_FALSE(post(part("name=file", "without a name") + kEnd).large_pieces_wanted);
  EXPECT_TRUE(post(part("name=description", "x") + file_part("hello") + kEnd).large_pieces_wanted);
}

TEST_F(UploadHandlersTest, RefusesFormsThatAreNotOneFile) {
  struct Case {
    const char* name;
    std::string body;
    std::string_view code;
    Kind kind = Kind::malformed;
  };
  const Case cases[] = {
      {"no file", part("name=other", "x") + kEnd, "file_missing"},
      {"nothing", kEnd, "file_missing"},
      {"a field named file", part("name=file", "x") + kEnd, "file_without_name"},
      {"no file chosen", file_part("", "") + kEnd, "file_without_name"},
      {"two files", file_part("x") + file_part("y") + kEnd, "two_files"},
      {"two descriptions", part("name=description", "x") + part("name=description", "x") + kEnd, "two_descriptions"},
      {"a description that is no text", file_part("x") + part("name=description", "\xFF") + kEnd,
       "description_not_utf8"},
      {"a long description", part("name=description", std::string(20'000, 'x')) + kEnd, "description_too_large",
       Kind::too_large},
      {"cut short", file_part("x"), "malformed_multipart"},
      {"empty body", "", "malformed_multipart"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto posted = post(c.body);
    ASSERT_FALSE(posted.outcome);
    EXPECT_EQ(posted.outcome.error().code, c.code);
    EXPECT_EQ(posted.outcome.error().kind, c.kind);
  }
  EXPECT_TRUE(list("").value().at("uploads").as_array().empty());
  pool_.join();
  EXPECT_EQ(storage::files_below(folder_.path() / "uploads"), 0);
}

TEST_F(UploadHandlersTest, RefusesAnotherContentType) {
  EXPECT_EQ(post("{}", "application/json").outcome.error().kind, Kind::unsupported_type);
  EXPECT_EQ(post("x", "multipart/form-data").outcome.error().kind, Kind::malformed);
}

TEST_F(UploadHandlersTest, TheLimitIsOfTheFileAndExact) {
  for (const bool chunked : {false, true}) {
    const std::string_view type = "multipart/form-data; boundary=b";
    EXPECT_TRUE(post(file_part(std::string(kLimit, 'x')) + kEnd, type, chunked).outcome);
    const auto refused = post(file_part(std::string(kLimit + 1, 'x')) + kEnd, type, chunked);
    ASSERT_FALSE(refused.outcome);
    EXPECT_EQ(refused.outcome.error().kind, Kind::too_large);
    EXPECT_NE(refused.outcome.error().message.find("2000000"), std::string::npos);
    EXPECT_NE(refused.outcome.error().message.find("limits.upload_bytes_max"), std::string::npos);
  }
}

TEST_F(UploadHandlersTest, ADeclaredLengthOverTheLimitIsRefusedBeforeTheBody) {
  const auto refused = post(file_part(std::string(kLimit + 1024 * 1024, 'x')) + kEnd);
  EXPECT_EQ(refused.outcome.error().kind, Kind::too_large);
  EXPECT_EQ(refused.body_bytes_read, 0U);
  const auto chunked =
      post(part("name=x", std::string(kLimit + 3 * 1024 * 1024, 'x')) + kEnd, "multipart/form-data; boundary=b", true);
  EXPECT_EQ(chunked.outcome.error().kind, Kind::too_large);
  EXPECT_LE(chunked.body_bytes_read, kLimit + 1024 * 1024 + 50'000);
}

TEST_F(UploadHandlersTest, ListsInPagesAndByKind) {
  for (int i = 0; i < 3; ++i) posted_id("text " + std::to_string(i));
  const std::string picture = posted_id("GIF89a\x01\x01\x01\x01\x01\x01\x01", "p.gif");
  const auto first = list("limit=2").value();
  EXPECT_EQ(first.at("uploads").as_array().size(), 2U);
  const auto second = list("limit=2&cursor=" + std::string(first.at("next_cursor").as_string())).value();
  EXPECT_EQ(second.at("uploads").as_array().size(), 2U);
  EXPECT_TRUE(second.at("next_cursor").is_null());
  const auto images = list("kind=image").value();
  ASSERT_EQ(images.at("uploads").as_array().size(), 1U);
  EXPECT_EQ(images.at("uploads").at(0).at("id").as_string(), picture);
  EXPECT_EQ(list("q=P%2EGIF").value().at("uploads").as_array().size(), 1U);
}

TEST_F(UploadHandlersTest, RefusesQueriesThatMeanNothing) {
  for (const std::string query : {"limit=", "limit=x", "limit=0", "limit=201", "limit=-1", "limit=1.5",
                                  "limit=99999999999", "kind=binary", "kind=Text", "cursor=x", "q=%zz"}) {
    SCOPED_TRACE(query);
    const auto refused = list(query);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, Kind::malformed);
  }
  EXPECT_EQ(list("q=" + std::string(201, 'x')).error().code, "q_too_long");
}

TEST_F(UploadHandlersTest, ShowsAndRemovesOneById) {
  const std::string id = posted_id("hello");
  FakeExchange shown("GET", {}, "", "");
  ASSERT_TRUE(wait_for(handlers_.find(shown, id)));
  EXPECT_EQ(json::parse(shown.answer).at("upload").at("id").as_string(), id);

  FakeExchange removed("DELETE", {}, "", "");
  ASSERT_TRUE(remove(removed, id));
  EXPECT_EQ(removed.status(), 200);
  EXPECT_EQ(removed.answer, R"({"deleted":true,"id":")" + id + "\"}");

  for (const std::string& unknown : {id, std::string("../../etc/passwd"), std::string()}) {
    FakeExchange exchange("GET", {}, "", "");
    EXPECT_EQ(wait_for(handlers_.find(exchange, unknown)).error().kind, Kind::not_found);
    EXPECT_EQ(wait_for(handlers_.content(exchange, unknown)).error().kind, Kind::not_found);
    EXPECT_EQ(remove(exchange, unknown).error().kind, Kind::not_found);
  }
}

TEST_F(UploadHandlersTest, SendsTheBytesSafely) {
  const std::string page = posted_id("<!DOCTYPE html><script>alert(1)</script>", "x.html");
  const auto answer = get_content(page);
  EXPECT_EQ(answer.status(), 200);
  EXPECT_EQ(answer.answer, "<!DOCTYPE html><script>alert(1)</script>");
  EXPECT_EQ(answer.content_type, "text/plain; charset=utf-8");
  EXPECT_TRUE(answer.answer_fields.at("Content-Disposition").starts_with("inline; "));
  EXPECT_EQ(answer.answer_fields.at("Accept-Ranges"), "bytes");
  EXPECT_EQ(answer.answer_fields.at("Content-Security-Policy"), "default-src 'none'; sandbox");

  const auto binary = get_content(posted_id(std::string("\0\1\2\xFF\xFE", 5), "x.bin"));
  EXPECT_EQ(binary.content_type, "application/octet-stream");
  EXPECT_TRUE(binary.answer_fields.at("Content-Disposition").starts_with("attachment; "));
}

TEST_F(UploadHandlersTest, SendsALongFileWhole) {
  std::string bytes;
  for (int i = 0; bytes.size() < 1'900'000; ++i) bytes += std::to_string(i);
  const std::string id = posted_id(bytes);
  EXPECT_TRUE(get_content(id).answer == bytes);
  EXPECT_TRUE(get_content(id, {{"Range", "bytes=1000-1000999"}}).answer == bytes.substr(1000, 1'000'000));
  EXPECT_EQ(get_content(id, {}, "HEAD").answer, "");
  EXPECT_EQ(get_content(posted_id("")).answer, "");
}

TEST_F(UploadHandlersTest, HonoursRangesAndTags) {
  const std::string id = posted_id("0123456789");
  const std::string tag = get_content(id).answer_fields.at("ETag");
  EXPECT_EQ(tag.size(), 66U);

  const auto part = get_content(id, {{"Range", "bytes=2-4"}});
  EXPECT_EQ(part.status(), 206);
  EXPECT_EQ(part.answer, "234");
  EXPECT_EQ(part.answer_fields.at("Content-Range"), "bytes 2-4/10");

  FakeExchange behind("GET", {{"Range", "bytes=10-"}}, "", "");
  const auto outcome = wait_for(handlers_.content(behind, id));
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().kind, Kind::unsatisfiable);
  EXPECT_EQ(outcome.error().details_json, R"({"size_bytes":10})");
  EXPECT_EQ(behind.answer_fields.at("Content-Range"), "bytes */10");

  EXPECT_EQ(get_content(id, {{"Range", "bytes=2-4"}, {"If-Range", tag}}).status(), 206);
  EXPECT_EQ(get_content(id, {{"Range", "bytes=2-4"}, {"If-Range", "\"other\""}}).status(), 200);
  EXPECT_EQ(get_content(id, {{"If-None-Match", tag}}).status(), 304);
  EXPECT_EQ(get_content(id, {{"If-None-Match", "\"x\", W/" + tag}}).status(), 304);
  EXPECT_EQ(get_content(id, {{"If-None-Match", "*"}, {"Range", "bytes=2-4"}}).status(), 304);
  EXPECT_EQ(get_content(id, {{"If-None-Match", "\"x\""}}).status(), 200);

  // A range is only of GET (RFC 9110, 14.2).
  for (const char* range : {"bytes=2-4", "bytes=10-"}) {
    const auto head = get_content(id, {{"Range", range}}, "HEAD");
    EXPECT_EQ(head.status(), 200) << range;
    EXPECT_FALSE(head.answer_fields.contains("Content-Range")) << range;
  }
}

TEST_F(UploadHandlersTest, AFullDiskIsSaidAndNothingIsKept) {
  disk_.fail_call(2, ENOSPC);
  EXPECT_EQ(post(file_part("hello") + kEnd).outcome.error().code, "storage_full");
  disk_.heal();
  EXPECT_TRUE(post(file_part("hello") + kEnd).outcome);
}

}  // namespace
}  // namespace gbgreg::http
