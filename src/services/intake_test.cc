#include "services/intake.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <thread>

#include "storage/failing_disk.h"

namespace gbgreg::services {
namespace {

using storage::Upload;

class IntakeTest : public testing::Test {
 protected:
  IntakeTest() { start(); }
  void TearDown() override { stop(); }

  void start() {
    const storage::Options options{.database_url = "sqlite://" + (folder_.path() / "x.db").string(),
                                   .uploads_folder = folder_.path() / "uploads"};
    database_ = std::move(storage::Database::open(options).value());
    EXPECT_TRUE(storage::migrate(*database_, clock_));
    blobs_ = std::move(storage::BlobStore::open(options.uploads_folder, disk_).value());
    uploads_ = std::make_unique<storage::UploadStore>(*database_, options.list_limit_max);
    pool_ = std::make_unique<asio::thread_pool>(4);
    intake_ = std::make_unique<Intake>(*pool_, *database_, *uploads_, *blobs_, clock_);
  }

  // In the order of the gateway: the pool ends its jobs while all they use is there.
  void stop() {
    pool_->join();
    loops_.clear();
    intake_.reset();
    pool_.reset();
    uploads_.reset();
    blobs_.reset();
    database_.reset();
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
  std::unique_ptr<storage::Database> database_;
  std::unique_ptr<storage::BlobStore> blobs_;
  std::unique_ptr<storage::UploadStore> uploads_;
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
  auto block = database_->with_connection([](soci::session& session) -> Result<void> {
    session << "CREATE TRIGGER no_more BEFORE INSERT ON gbgreg_uploads BEGIN SELECT RAISE(ABORT, 'no'); END";
    return {};
  });
  ASSERT_TRUE(block);
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
  auto unfinished = blobs_->writer(new_uuid(clock_.wall()));
  ASSERT_TRUE(unfinished->write("half"));
  auto orphan = blobs_->writer(new_uuid(clock_.wall()));
  ASSERT_TRUE(orphan->write("orphan"));
  ASSERT_TRUE(orphan->seal());
  ASSERT_TRUE(blobs_->keep(*orphan));

  const auto report = intake_->sweep().value();
  EXPECT_EQ(report.unfinished_removed, 1U);
  EXPECT_EQ(report.orphans_removed, 1U);
  EXPECT_EQ(report.blobs_missing, 0U);
  EXPECT_EQ(contents(kept.id), "kept");
}

TEST_F(IntakeTest, BytesThatSomebodyTookAwayAreAnErrorOfOurs) {
  const Upload upload = this->upload("hello").value();
  ASSERT_TRUE(blobs_->remove(upload.sha256));
  EXPECT_EQ(contents(upload.id), "(bytes_missing)");
  EXPECT_EQ(intake_->sweep().value().blobs_missing, 1U);
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

TEST_F(IntakeTest, ChecksDatabaseAndDisk) {
  const StoresReport report = wait_for(intake_->check());
  EXPECT_TRUE(report.database_answers);
  EXPECT_TRUE(report.folder_is_writable);
  EXPECT_GT(report.free_bytes, 0U);
}

}  // namespace
}  // namespace gbgreg::services
