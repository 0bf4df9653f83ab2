#include "services/attach.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::services {
namespace {

class AttachTest : public testing::Test {
 protected:
  void TearDown() override { pool_.join(); }

  template <class T>
  T wait_for(Task<T> task) {
    IoContext& io = *loops_.emplace_back(std::make_unique<IoContext>());
    std::optional<T> result;
    auto store_result = [](Task<T> inner, std::optional<T>& out) -> Task<void> {
      out.emplace(co_await std::move(inner));
    };
    spawn(io.get_executor(), "test", store_result(std::move(task), result));
    auto guard = asio::make_work_guard(io);
    while (!result) io.run_one();
    return std::move(*result);
  }

  std::string upload(std::string bytes, std::string filename) {
    auto story = [](Intake& intake, std::string rest, std::string name) -> Task<Result<storage::Upload>> {
      auto file = intake.begin(10'000'000);
      if (!file) co_return std::unexpected(file.error());
      auto written = co_await (*file)->write(rest);
      if (!written) co_return std::unexpected(written.error());
      FileFacts facts{.client_filename = std::move(name)};
      co_return co_await intake.finish(std::move(*file), std::move(facts));
    };
    return wait_for(story(intake_, std::move(bytes), std::move(filename))).value().id;
  }

  Result<void> attach_all(std::vector<Attachment> attachments, std::uint64_t bytes_max = 1'000'000) {
    reserved_ = 0;
    ReserveBytes reserve = [this](std::uint64_t bytes) -> Result<void> {
      reserved_ += bytes;
      if (budget_spent_) return fail(Kind::unavailable, "spent", "Wait.");
      return {};
    };
    return wait_for(attach(intake_, std::move(attachments), bytes_max, std::move(reserve), request_));
  }

  storage::TestFolder folder_;
  storage::FailingDisk disk_;
  SystemClock clock_;
  std::vector<std::unique_ptr<IoContext>> loops_;
  asio::thread_pool pool_{2};
  storage::TestStores stores_{folder_.path(), disk_, clock_};
  Intake intake_{pool_, stores_.uploads, *stores_.blobs, stores_.reserve, clock_};
  llm::Request request_{.id = "r", .messages = {{.text = "abcd"}, {.text = ""}}};
  std::uint64_t reserved_ = 0;
  bool budget_spent_ = false;
};

TEST_F(AttachTest, EachTextStandsWhereItWasNamed) {
  const std::string one = upload("one\n", "1.txt"), two = upload("zwei", "2.md");
  ASSERT_TRUE(attach_all({{.upload_id = one, .message = 0, .offset = 2, .field = "a"},
                          {.upload_id = two, .message = 0, .offset = 2, .field = "b"},
                          {.upload_id = one, .message = 0, .offset = 4, .field = "c"},
                          {.upload_id = two, .message = 1, .offset = 0, .field = "d"}}));
  const std::string first = fenced("1.txt", "one\n").text, second = fenced("2.md", "zwei").text;
  EXPECT_EQ(request_.messages[0].text, "ab" + first + second + "cd" + first);
  EXPECT_EQ(request_.messages[1].text, second);
  EXPECT_EQ(reserved_, 32U);
}

TEST_F(AttachTest, WhatIsNoTextOrIsNotThereIsTheClientsMistake) {
  struct Case {
    std::string upload_id;
    const char* code;
  };
  for (const Case& c : {Case{"0193e2a4-7c1b-7d3e-9f00-1a2b3c4d5e6f", "file_not_found"}, Case{"", "file_not_found"},
                        Case{upload("\x89PNG\r\n\x1A\n", "a.png"), "file_not_text"},
                        Case{upload(std::string("a\0b", 3), "a.txt"), "file_not_text"}}) {
    const auto attached =
        attach_all({{.upload_id = c.upload_id, .message = 0, .offset = 0, .field = "input[0].file_id"}});
    ASSERT_FALSE(attached);
    EXPECT_EQ(attached.error().kind, Kind::malformed);
    EXPECT_EQ(attached.error().code, c.code);
    EXPECT_EQ(attached.error().details_json, R"({"field":"input[0].file_id"})");
  }
  EXPECT_EQ(request_.messages[0].text, "abcd");
}

TEST_F(AttachTest, FilesTogetherHaveALimitAndTheirMemoryIsAskedForFirst) {
  const std::string id = upload(std::string(600, 'x'), "a.txt");
  const Attachment attachment{.upload_id = id, .message = 0, .offset = 0, .field = "a"};
  EXPECT_TRUE(attach_all({attachment}, 600));
  EXPECT_EQ(attach_all({attachment, attachment}, 1199).error().kind, Kind::too_large);
  budget_spent_ = true;
  EXPECT_EQ(attach_all({attachment}).error().kind, Kind::unavailable);
  EXPECT_EQ(reserved_, 1200U);
}

constexpr std::string_view kPng("\x89PNG\r\n\x1A\n\0\0\0\rIHDR", 16);

class AttachUploadsTest : public AttachTest {
 protected:
  Result<Attached> attach_uploads_of(std::vector<std::string> ids) {
    reserved_ = 0;
    ReserveBytes reserve = [this](std::uint64_t bytes) -> Result<void> {
      reserved_ += bytes;
      if (budget_spent_) return fail(Kind::unavailable, "spent", "Wait.");
      return {};
    };
    return wait_for(attach_uploads(intake_, std::move(ids), bounds_, std::move(reserve), request_));
  }

  UploadBounds bounds_{.text_bytes_max = 100'000, .images_max = 2, .image_bytes_max = 1'000};
};

TEST_F(AttachUploadsTest, TextsStandBeforeWhatTheUserSaysLast) {
  request_.messages = {{.speaker = llm::Speaker::system, .text = "S"},
                       {.speaker = llm::Speaker::user, .text = "first"},
                       {.speaker = llm::Speaker::user, .text = "last"},
                       {.speaker = llm::Speaker::assistant, .text = "so far"}};
  const std::string one = upload("one\n", "1.txt"), two = upload("int main() {}\n", "2.cc");
  const auto attached = attach_uploads_of({two, one});
  ASSERT_TRUE(attached) << attached.error().message;
  EXPECT_EQ(request_.messages[1].text, "first");
  EXPECT_EQ(request_.messages[2].text,
            fenced("2.cc", "int main() {}\n").text + fenced("1.txt", "one\n").text + "\nlast");
  EXPECT_EQ(attached->message, 2U);
  ASSERT_EQ(attached->texts.size(), 2U);
  EXPECT_EQ(attached->texts[1].upload_id, one);
  EXPECT_EQ(request_.messages[2].text.substr(attached->texts[1].offset, attached->texts[1].bytes), "one\n");
  EXPECT_EQ(reserved_, 3U * 18);
}

TEST_F(AttachUploadsTest, WithoutAMessageOfTheUsersTheyAreOne) {
  request_.messages = {{.speaker = llm::Speaker::system, .text = "S"}};
  ASSERT_TRUE(attach_uploads_of({upload("one\n", "1.txt")}));
  ASSERT_EQ(request_.messages.size(), 2U);
  EXPECT_EQ(request_.messages[1].speaker, llm::Speaker::user);
  EXPECT_EQ(request_.messages[1].text, fenced("1.txt", "one\n").text + "\n");
}

TEST_F(AttachUploadsTest, TextInAnotherEncodingBecomesUtf8AndImagesBecomeTheMessages) {
  using namespace std::string_literals;
  request_.messages = {{.text = "?"}};
  const std::string old = upload("caf\xE9 \x80 5 and more words\n", "old.txt");
  const std::string wide = upload("\xFF\xFEh\0i\0\n\0"s, "wide.txt");
  const std::string picture = upload(std::string(kPng), "a.png");
  const auto attached = attach_uploads_of({old, picture, wide});
  ASSERT_TRUE(attached) << attached.error().message;
  EXPECT_EQ(request_.messages[0].text, fenced("old.txt", "caf\xC3\xA9 \xE2\x82\xAC 5 and more words\n").text +
                                           fenced("wide.txt", "hi\n").text + "\n?");
  ASSERT_EQ(request_.messages[0].images.size(), 1U);
  EXPECT_EQ(request_.messages[0].images[0].media_type, "image/png");
  EXPECT_EQ(request_.messages[0].images[0].base64, "iVBORw0KGgoAAAANSUhEUg==");
  ASSERT_EQ(attached->images.size(), 1U);
  EXPECT_EQ(attached->images[0].path, "a.png");
}

TEST_F(AttachUploadsTest, OfMoreThanTheBoundFrontsAreReadAndTheRestIsSaidToBeLeftOut) {
  request_.messages = {{.text = "?"}};
  bounds_.text_bytes_max = 1000;
  std::string large;
  while (large.size() < 5000) large += "a line of text\n";
  const auto attached = attach_uploads_of({upload("small\n", "s.txt"), upload(large, "l.txt")});
  ASSERT_TRUE(attached);
  EXPECT_EQ(reserved_, 3U * 1000);
  EXPECT_EQ(attached->texts[0].bytes, 6U);
  EXPECT_LE(attached->texts[1].bytes, 994U);
  EXPECT_EQ(attached->texts[1].size_bytes, large.size());
  EXPECT_THAT(request_.messages[0].text,
              testing::HasSubstr("a line of text\n[Cut here: " + std::to_string(attached->texts[1].bytes) + " of " +
                                 std::to_string(large.size()) + " bytes."));
  EXPECT_EQ(request_.messages[0].text.find("[Cut here"), request_.messages[0].text.rfind("[Cut here"));
}

TEST_F(AttachUploadsTest, WhatAModelCannotBeGivenIsRefusedByName) {
  using namespace std::string_literals;
  request_.messages = {{.text = "?"}};
  struct Case {
    std::string bytes;
    const char* name;
    const char* code;
    Kind kind;
  };
  const Case cases[] = {
      {"PK\x03\x04\x14\0\0\0\0\0"s, "a.zip", "upload_not_usable", Kind::refused},
      {"\x7F"
       "ELF\x02\x01\x01\0\0\0\0"s,
       "a.out", "upload_not_usable", Kind::refused},
      {"%PDF-1.4\n%\xE2\xE3\xCF\xD3\n1 0 obj\n\0"s, "a.pdf", "upload_not_usable", Kind::refused},
      {std::string(kPng) + std::string(1000, 'x'), "large.png", "image_too_large", Kind::too_large},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const std::string id = upload(c.bytes, c.name);
    const auto attached = attach_uploads_of({id});
    ASSERT_FALSE(attached);
    EXPECT_EQ(attached.error().code, c.code) << attached.error().message;
    EXPECT_EQ(attached.error().kind, c.kind);
    EXPECT_THAT(attached.error().message, testing::HasSubstr(c.name));
    EXPECT_EQ(attached.error().details_json, R"({"upload_id":")" + id + R"("})");
  }
  const std::string picture = upload(std::string(kPng), "a.png");
  EXPECT_EQ(attach_uploads_of({picture, picture, picture}).error().code, "too_many_images");
  const std::string nobody = "0193e2a4-7c1b-7d3e-9f00-1a2b3c4d5e6f";
  const auto unknown = attach_uploads_of({nobody});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, "upload_not_found");
  EXPECT_EQ(unknown.error().kind, Kind::not_found);
  EXPECT_EQ(unknown.error().details_json, R"({"upload_id":")" + nobody + R"("})");
  budget_spent_ = true;
  EXPECT_EQ(attach_uploads_of({picture}).error().kind, Kind::unavailable);
  EXPECT_EQ(request_.messages[0].text, "?");
  EXPECT_TRUE(request_.messages[0].images.empty());
}

}  // namespace
}  // namespace gbgreg::services
