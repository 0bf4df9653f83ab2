#include "services/intake.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <thread>

#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::services {
namespace {

using storage::Upload;

class IntakeTest : public testing::Test {
 protected:
  IntakeTest() { start(); }
  void TearDown() override { stop(); }

  void start() {
    stores_ = std::make_unique<storage::TestStores>(folder_.path(), disk_, clock_);
    pool_ = std::make_unique<asio::thread_pool>(4);
    intake_ = std::make_unique<Intake>(*pool_, stores_->uploads, *stores_->blobs, stores_->reserve, clock_);
  }

  // In the order of the gateway: the pool ends its jobs while all they use is there.
  void stop() {
    pool_->join();
    loops_.clear();
    intake_.reset();
    pool_.reset();
    stores_.reset();
  }

  // Runs a task to its end on a loop of its own, which is kept until the pool is done with it.
  template <class T>
  T wait_for(Task<T> task) {
    IoContext& io = new_loop();
    std::optional<T> result;
    auto store_result = [](Task<T> inner, std::optional<T>& out) -> Task<void> {
      out.emplace(co_await std::move(inner));
    };
    spawn(io.get_executor(), "test", store_result(std::move(task), result));
    auto guard = asio::make_work_guard(io);
    while (!result) io.run_one();
    return std::move(*result);
  }

  IoContext& new_loop() {
    const std::scoped_lock lock(loops_mutex_);
    return *loops_.emplace_back(std::make_unique<IoContext>());
  }

  Result<Upload> upload(std::string_view bytes, std::string filename = "a.txt",
                        std::uint64_t bytes_max = 1'000'000'000) {
    auto story = [](Intake& intake, std::string_view rest, std::string name,
                    std::uint64_t max) -> Task<Result<Upload>> {
      auto file = intake.begin(max);
      if (!file) co_return std::unexpected(file.error());
      while (!rest.empty()) {
        const std::string_view piece = rest.substr(0, 60'000);
        rest.remove_prefix(piece.size());
        auto written = co_await (*file)->write(piece);
        if (!written) co_return std::unexpected(written.error());
      }
      FileFacts facts{.client_filename = std::move(name)};
      co_return co_await intake.finish(std::move(*file), std::move(facts));
    };
    return wait_for(story(*intake_, bytes, std::move(filename), bytes_max));
  }

  std::string contents(const std::string& id) {
    auto story = [](Intake& intake, std::string wanted) -> Task<Result<std::string>> {
      auto file = co_await intake.open(std::move(wanted));
      if (!file) co_return std::unexpected(file.error());
      std::string bytes;
      while (bytes.size() < (*file)->size_bytes()) {
        auto piece = co_await (*file)->read(bytes.size(), (*file)->size_bytes());
        if (!piece) co_return std::unexpected(piece.error());
        bytes.append(*piece);
      }
      co_return bytes;
    };
    const auto bytes = wait_for(story(*intake_, id));
    return bytes ? *bytes : "(" + bytes.error().code + ")";
  }

  // From now on the database refuses this "INSERT" or "DELETE".
  void refuse(const std::string& statement) {
    EXPECT_TRUE(stores_->database->with_connection([&](soci::session& session) -> Result<void> {
      session << "CREATE TRIGGER no_more BEFORE " << statement
              << " ON gbgreg_uploads BEGIN SELECT RAISE(ABORT, 'no'); END";
      return {};
    }));
  }

  bool has_reserve() const { return std::filesystem::exists(folder_.path() / "reserve"); }

  // Once no job is left on the pool.
  int files() {
    pool_->join();
    const int count = storage::files_below(folder_.path() / "uploads");
    stop();
    start();
    return count;
  }

  storage::TestFolder folder_;
  storage::FailingDisk disk_;
  SystemClock clock_;
  std::unique_ptr<storage::TestStores> stores_;
  std::unique_ptr<asio::thread_pool> pool_;
  std::unique_ptr<Intake> intake_;
  std::mutex loops_mutex_;
  std::vector<std::unique_ptr<IoContext>> loops_;
};

std::string many_bytes(std::size_t size) {
  std::string bytes(size, '\0');
  std::uint32_t state = 1;
  for (char& c : bytes) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return bytes;
}

TEST_F(IntakeTest, AFileIsDescribedStoredAndReadBack) {
  const Upload upload = this->upload("#include <x>\nint main() {}\n", "C:\\src\\main.cc").value();
  EXPECT_TRUE(is_uuid(upload.id));
  EXPECT_EQ(upload.filename, "main.cc");
  EXPECT_EQ(upload.original_filename, "C:\\src\\main.cc");
  EXPECT_EQ(upload.kind, "code");
  EXPECT_EQ(upload.language, "C++");
  EXPECT_EQ(upload.size_bytes, 27U);
  EXPECT_EQ(upload.text_preview, "#include <x>\nint main() {}\n");
  EXPECT_EQ(wait_for(intake_->find(upload.id)).value(), upload);
  EXPECT_EQ(contents(upload.id), "#include <x>\nint main() {}\n");
}

TEST_F(IntakeTest, SizesAroundTheBufferComeBackAsTheyWere) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kBufferBytes - 1, kBufferBytes, kBufferBytes + 1,
                                 3 * kBufferBytes, std::size_t{5'000'000}}) {
    SCOPED_TRACE(size);
    const std::string bytes = many_bytes(size);
    const Upload upload = this->upload(bytes).value();
    EXPECT_EQ(upload.size_bytes, size);
    EXPECT_TRUE(contents(upload.id) == bytes);
  }
}

TEST_F(IntakeTest, TheLimitCountsTheLastByte) {
  EXPECT_TRUE(upload(many_bytes(300'000), "a", 300'000));
  const auto refused = upload(many_bytes(300'001), "a", 300'000);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::too_large);
  EXPECT_NE(refused.error().message.find("300000"), std::string::npos);
  EXPECT_NE(refused.error().message.find("limits.upload_bytes_max"), std::string::npos);
  EXPECT_EQ(files(), 1);
}

TEST_F(IntakeTest, AFileThatIsAbandonedLeavesNothing) {
  auto story = [](Intake& intake) -> Task<bool> {
    auto file = std::move(intake.begin(1'000'000'000).value());
    const std::string bytes = many_bytes(1'000'000);
    co_return (co_await file->write(bytes)).has_value();
  };
  EXPECT_TRUE(wait_for(story(*intake_)));
  EXPECT_EQ(files(), 0);
}

// As at shutdown: the pool ends its jobs, and only then the loops go, with the tasks that still wait on them.
TEST_F(IntakeTest, ATaskThatIsDestroyedBeforeItIsDoneLeavesNothing) {
  auto story = [](Intake& intake) -> Task<void> {
    auto file = std::move(intake.begin(1'000'000'000).value());
    const std::string bytes = many_bytes(1'000'000);
    while ((co_await file->write(bytes)).has_value()) {
    }
  };
  IoContext& io = new_loop();
  spawn(io.get_executor(), "test", story(*intake_));
  io.poll();  // To its first wait for the pool, and no further.
  pool_->join();
  EXPECT_EQ(storage::files_below(folder_.path() / "uploads"), 1);
  stop();
  EXPECT_EQ(storage::files_below(folder_.path() / "uploads"), 0);
  start();
}

TEST_F(IntakeTest, TheSameBytesAreStoredOnceUntilTheLastUploadOfThemGoes) {
  const Upload first = upload("same", "a.txt").value();
  const Upload second = upload("same", "b.txt").value();
  EXPECT_EQ(second.duplicate_of, first.id);
  EXPECT_EQ(files(), 1);

  EXPECT_TRUE(wait_for(intake_->remove(first.id)));
  EXPECT_EQ(contents(first.id), "(upload_not_found)");
  EXPECT_EQ(contents(second.id), "same");
  EXPECT_TRUE(wait_for(intake_->remove(second.id)));
  EXPECT_EQ(files(), 0);
  EXPECT_EQ(wait_for(intake_->remove(second.id)).error().kind, Kind::not_found);
}

TEST_F(IntakeTest, EachFailingCallIsAnErrorNothingIsListedAndTheNextUploadSucceeds) {
  const std::string bytes = many_bytes(600'000);
  for (const int error_number : {ENOSPC, EIO}) {
    for (const bool lasting : {false, true}) {
      for (int nth = 1;; ++nth) {
        SCOPED_TRACE(std::to_string(nth) + (lasting ? " and all after it" : ""));
        stop();
        start();
        disk_.fail_call(nth, error_number, lasting);
        const auto outcome = upload(bytes);
        const bool failed = disk_.has_failed();
        disk_.heal();
        ASSERT_EQ(outcome.has_value(), !failed);
        if (!failed) {
          EXPECT_TRUE(wait_for(intake_->remove(outcome->id)));
          break;
        }
        EXPECT_EQ(outcome.error().code, error_number == ENOSPC ? "storage_full" : "storage_failed");
        EXPECT_TRUE(wait_for(intake_->list({})).value().uploads.empty());
        EXPECT_EQ(files(), 0);
        const Upload next = upload(bytes).value();
        EXPECT_TRUE(contents(next.id) == bytes);
        EXPECT_TRUE(wait_for(intake_->remove(next.id)));
      }
    }
  }
}

TEST_F(IntakeTest, WhenTheRowCannotBeWrittenTheBytesGoToo) {
  refuse("INSERT");
  EXPECT_FALSE(upload("hello"));
  EXPECT_EQ(files(), 0);
}

TEST_F(IntakeTest, AFailedUploadLeavesTheBytesOfItsTwinAlone) {
  const Upload first = upload("hello").value();
  for (int nth = 1; nth <= 8; ++nth) {
    disk_.fail_call(nth, EIO);
    const auto outcome = upload("hello");
    EXPECT_TRUE(outcome || outcome.error().kind == Kind::unavailable);
    disk_.heal();
    EXPECT_EQ(contents(first.id), "hello") << nth;
  }
}

TEST_F(IntakeTest, ARestartSweepsWhatACrashLeft) {
  const Upload kept = upload("kept").value();
  // As kill -9 leaves them: one file half-written, one renamed without a row.
  auto unfinished = stores_->blobs->writer(new_uuid(clock_.wall()));
  ASSERT_TRUE(unfinished->write("half"));
  auto orphan = stores_->blobs->writer(new_uuid(clock_.wall()));
  ASSERT_TRUE(orphan->write("orphan"));
  ASSERT_TRUE(orphan->seal());
  ASSERT_TRUE(stores_->blobs->keep(*orphan));

  const auto report = intake_->sweep().value();
  EXPECT_EQ(report.unfinished_removed, 1U);
  EXPECT_EQ(report.orphans_set_aside, 1U);
  EXPECT_EQ(report.blobs_missing, 0U);
  EXPECT_EQ(contents(kept.id), "kept");
}

TEST_F(IntakeTest, ANewDatabaseCostsNoBytesAndTheOldOneGetsThemBack) {
  const auto restart_with = [this](const char* from, const char* to) {
    stop();
    std::filesystem::rename(folder_.path() / from, folder_.path() / to);
    start();
    return intake_->sweep().value();
  };
  const Upload first = upload("first").value();
  const Upload second = upload("second").value();

  EXPECT_EQ(restart_with("x.db", "away.db").orphans_set_aside, 2U);
  EXPECT_EQ(contents(first.id), "(upload_not_found)");
  // The same bytes may come again meanwhile, and go again.
  const Upload again = upload("first").value();
  EXPECT_EQ(contents(again.id), "first");
  EXPECT_EQ(contents(upload("second").value().id), "second");
  EXPECT_TRUE(wait_for(intake_->remove(again.id)));

  const auto report = restart_with("away.db", "x.db");
  EXPECT_EQ(report.blobs_taken_back, 1U);
  EXPECT_EQ(report.blobs_missing, 0U);
  EXPECT_EQ(contents(first.id), "first");
  EXPECT_EQ(contents(second.id), "second");
}

TEST_F(IntakeTest, TheReserveIsTakenAgainHoweverARemovalEnds) {
  const Upload first = upload("same").value();
  const Upload duplicate = upload("same").value();
  ASSERT_FALSE(has_reserve());  // As if an earlier removal had needed it.
  EXPECT_TRUE(wait_for(intake_->remove(duplicate.id)));
  EXPECT_TRUE(has_reserve());

  stores_->reserve.release();
  refuse("DELETE");
  EXPECT_FALSE(wait_for(intake_->remove(first.id)));
  EXPECT_TRUE(has_reserve());
}

TEST_F(IntakeTest, BytesThatSomebodyTookAwayAreAnErrorOfOurs) {
  const Upload upload = this->upload("hello").value();
  ASSERT_TRUE(stores_->blobs->remove(upload.sha256));
  EXPECT_EQ(contents(upload.id), "(bytes_missing)");
  EXPECT_EQ(intake_->sweep().value().blobs_missing, 1U);
}

TEST_F(IntakeTest, BytesThatWereCutOnTheDiskAreNotGivenOut) {
  const Upload upload = this->upload("hello").value();
  const auto file = folder_.path() / "uploads" / upload.sha256.substr(0, 2) / upload.sha256;
  std::filesystem::resize_file(file, 3);
  EXPECT_EQ(contents(upload.id), "(bytes_missing)");
}

// Uploads and removals of the same bytes from several threads: whatever their order, a listed upload has its bytes.
TEST_F(IntakeTest, NoUploadLosesItsBytesToTheRemovalOfItsTwin) {
  std::vector<std::jthread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this] {
      for (int round = 0; round < 25; ++round) {
        const Upload mine = upload("contended").value();
        EXPECT_EQ(contents(mine.id), "contended");
        EXPECT_TRUE(wait_for(intake_->remove(mine.id)));
      }
    });
  }
  threads.clear();
  EXPECT_EQ(files(), 0);
}

TEST_F(IntakeTest, TooManyFilesAtOnceAreAskedToComeBack) {
  std::vector<std::unique_ptr<Incoming>> files;
  files.reserve(kIncomingMax);
  for (int i = 0; i < kIncomingMax; ++i) files.push_back(std::move(intake_->begin(1).value()));
  const auto refused = intake_->begin(1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::busy);
  EXPECT_TRUE(refused.error().retry_after_seconds);
  files.pop_back();
  EXPECT_TRUE(intake_->begin(1));
}

TEST_F(IntakeTest, TooManyDownloadsAtOnceAreAskedToComeBack) {
  const std::string id = upload("hello").value().id;
  EXPECT_EQ(wait_for(intake_->open("no such id")).error().kind, Kind::not_found);
  std::vector<std::unique_ptr<Outgoing>> files;
  files.reserve(kOutgoingMax);
  for (int i = 0; i < kOutgoingMax; ++i) files.push_back(std::move(wait_for(intake_->open(id)).value()));
  for (int i = 0; i < 2; ++i) {
    const auto refused = wait_for(intake_->open(id));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, Kind::busy);
    EXPECT_EQ(refused.error().code, "too_many_downloads");
    EXPECT_TRUE(refused.error().retry_after_seconds);
  }
  files.pop_back();
  EXPECT_TRUE(wait_for(intake_->open(id)));
}

TEST_F(IntakeTest, BinariesThatNobodyKnowsAreRefusedWhenTheyAreToBe) {
  constexpr std::string_view kNoise("\1\2\3\xFF\xFE\0\0\x80\x81\x82", 10);
  EXPECT_TRUE(upload(kNoise, "a.bin"));
  intake_->allow_unknown_binaries(false);
  const int files = storage::files_below(folder_.path() / "uploads");
  const auto refused = upload(kNoise, "a.txt");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::unsupported_type);
  EXPECT_EQ(refused.error().code, "file_type_not_accepted");
  EXPECT_EQ(refused.error().details_json,
            R"({"media_type":"application/octet-stream","setting":"uploads.allow_unknown_binaries"})");
  // It is dropped on the pool, in its time: another upload there comes after it.
  EXPECT_TRUE(upload("text", "a.bin"));
  pool_->join();
  EXPECT_EQ(storage::files_below(folder_.path() / "uploads"), files + 1);
  intake_->allow_unknown_binaries(true);
}

}  // namespace
}  // namespace gbgreg::services
