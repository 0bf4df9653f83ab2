#include "services/attach.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::services {
namespace {

TEST(Fenced, NoTextEndsItsOwnFence) {
  EXPECT_EQ(fenced("a.txt", "hello"), "\nFile a.txt:\n```\nhello\n```\n");
  EXPECT_EQ(fenced("a.md", "```\n````\n"), "\nFile a.md:\n`````\n```\n````\n`````\n");
  EXPECT_EQ(fenced("a", ""), "\nFile a:\n```\n\n```\n");
}

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
  const std::string first = fenced("1.txt", "one\n"), second = fenced("2.md", "zwei");
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

}  // namespace
}  // namespace gbgreg::services
