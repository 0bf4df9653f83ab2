#include "storage/blob_store.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>

#include "core/core.h"
#include "storage/failing_disk.h"

namespace gbgreg::storage {
namespace {

constexpr std::string_view kHelloDigest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

class BlobStoreTest : public testing::Test {
 protected:
  BlobStoreTest() : root_(folder_.path() / "uploads") { store_ = std::move(BlobStore::open(root_, disk_).value()); }

  std::unique_ptr<BlobWriter> writer() { return store_->writer(new_uuid(SystemClock().wall())); }

  std::string store(std::string_view bytes) {
    auto file = writer();
    EXPECT_TRUE(file->write(bytes));
    auto digest = file->seal();
    EXPECT_TRUE(digest);
    EXPECT_TRUE(store_->keep(*file));
    return *digest;
  }

  std::string contents(std::string_view digest) {
    const auto blob = store_->read(digest);
    if (!blob) return "(" + blob.error().code + ")";
    std::string bytes(blob->size_bytes() + 10, '\0');
    bytes.resize(blob->read_at(0, bytes.data(), bytes.size()).value());
    return bytes;
  }

  int blobs() const { return files_below(root_); }

  TestFolder folder_;
  FailingDisk disk_;
  std::filesystem::path root_;
  std::unique_ptr<BlobStore> store_;
};

TEST_F(BlobStoreTest, KeepsBytesUnderTheirSha256) {
  EXPECT_EQ(store("hello"), kHelloDigest);
  EXPECT_EQ(contents(kHelloDigest), "hello");
  EXPECT_TRUE(std::filesystem::exists(root_ / "2c" / kHelloDigest));
}

TEST_F(BlobStoreTest, KeepsAnEmptyFile) {
  auto file = writer();
  const auto digest = file->seal();
  ASSERT_TRUE(digest);
  ASSERT_TRUE(store_->keep(*file));
  EXPECT_EQ(contents(*digest), "");
}

TEST_F(BlobStoreTest, StoresTheSameBytesOnce) {
  store("hello");
  store("hello");
  EXPECT_EQ(blobs(), 1);
}

TEST_F(BlobStoreTest, HealsABlobThatWasDamagedWhenTheSameBytesComeAgain) {
  store("hello");
  std::ofstream(root_ / "2c" / kHelloDigest) << "hel";
  store("hello");
  EXPECT_EQ(contents(kHelloDigest), "hello");
}

// Files of these contents, closed and not kept.
BlobStore::Writers closed(BlobStore& store, const std::vector<std::string>& contents) {
  BlobStore::Writers writers;
  writers.reserve(contents.size());
  for (const std::string& each : contents) {
    writers.push_back(store.writer(new_uuid(SystemClock().wall())));
    EXPECT_TRUE(writers.back()->write(each));
    EXPECT_TRUE(writers.back()->close());
  }
  return writers;
}

std::vector<std::string> numbered(int count) {
  std::vector<std::string> contents;
  contents.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) contents.push_back("file " + std::to_string(i));
  return contents;
}

TEST_F(BlobStoreTest, LargeFilesAreWrittenOutWhileTheyCome) {
  class Listening final : public Disk {
   public:
    void start_writing(int, std::uint64_t offset, std::uint64_t size) override {
      EXPECT_EQ(offset, started);
      started += size;
    }
    std::uint64_t started = 0;
  } disk;
  auto store = BlobStore::open(folder_.path() / "listened", disk);
  ASSERT_TRUE(store);
  const auto writer = (*store)->writer("large");
  const std::string piece(1024 * 1024 + 1, 'x');
  std::uint64_t written = 0;
  while (written < 3 * kWriteBehindBytes) {
    ASSERT_TRUE(writer->write(piece));
    written += piece.size();
    EXPECT_LT(written - disk.started, kWriteBehindBytes) << "of " << written;
  }
}

TEST_F(BlobStoreTest, KeepsManyFilesTheSameContentsOnce) {
  store("hello");
  for (const int count : {1, 5, 200}) {
    std::vector<std::string> contents = numbered(count);
    contents.insert(contents.end(), {"hello", "twice", "twice", ""});
    const auto writers = closed(*store_, contents);
    ASSERT_TRUE(store_->sync_all(writers));
    ASSERT_TRUE(store_->keep_all(writers));
  }
  EXPECT_EQ(contents(kHelloDigest), "hello");
  EXPECT_EQ(blobs(), 200 + 3);
}

TEST_F(BlobStoreTest, ManyFilesThatAreNotKeptLeaveNothing) {
  {
    const auto writers = closed(*store_, numbered(20));
  }
  EXPECT_EQ(blobs(), 0);
}

TEST_F(BlobStoreTest, EveryFailingCallOfManyFilesIsAnErrorAndTheNextTrySucceeds) {
  for (const int count : {3, 60}) {
    for (int nth = 1; nth < 1'000; ++nth) {
      const auto writers = closed(*store_, numbered(count));
      disk_.fail_call(nth, ENOSPC);
      auto done = store_->sync_all(writers);
      if (done) done = store_->keep_all(writers);
      const bool failed = disk_.has_failed();
      disk_.heal();
      if (!failed) break;
      ASSERT_FALSE(done) << nth;
      EXPECT_EQ(done.error().code, "storage_full");
    }
    const auto writers = closed(*store_, numbered(count));
    EXPECT_TRUE(store_->sync_all(writers));
    EXPECT_TRUE(store_->keep_all(writers));
  }
}

TEST_F(BlobStoreTest, ReadsFromTheMiddle) {
  store("hello");
  const auto blob = store_->read(kHelloDigest);
  ASSERT_TRUE(blob);
  char bytes[3] = {};
  EXPECT_EQ(blob->read_at(1, bytes, 3).value(), 3U);
  EXPECT_EQ(std::string_view(bytes, 3), "ell");
  EXPECT_EQ(blob->read_at(4, bytes, 3).value(), 1U);
  EXPECT_EQ(blob->read_at(9, bytes, 3).value(), 0U);
}

TEST_F(BlobStoreTest, AReaderKeepsItsBytesWhenTheBlobGoes) {
  store("hello");
  const auto blob = store_->read(kHelloDigest);
  ASSERT_TRUE(store_->remove(kHelloDigest));
  char bytes[5] = {};
  EXPECT_EQ(blob->read_at(0, bytes, 5).value(), 5U);
  EXPECT_EQ(contents(kHelloDigest), "(blob_not_found)");
}

TEST_F(BlobStoreTest, AnAbandonedWriterLeavesNothing) {
  {
    auto file = writer();
    ASSERT_TRUE(file->write("half of someth"));
    EXPECT_EQ(blobs(), 1);
  }
  EXPECT_EQ(blobs(), 0);
}

TEST_F(BlobStoreTest, OnlyDigestsBecomePaths) {
  std::ofstream(folder_.path() / "secret") << "secret";
  const std::string_view not_digests[] = {
      "",
      "../secret",
      "/etc/passwd",
      "2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824",
      "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b982",
      "../../../../../../../../../../../../../../../../../../../etc/pass",
  };
  for (const auto digest : not_digests) {
    SCOPED_TRACE(digest);
    EXPECT_EQ(store_->read(digest).error().kind, Kind::not_found);
    EXPECT_EQ(store_->remove(digest).error().kind, Kind::not_found);
  }
}

TEST_F(BlobStoreTest, EveryFailingCallIsAnErrorAndTheNextUploadSucceeds) {
  struct Case {
    int error_number;
    std::string_view code;
  };
  for (const Case& c : {Case{ENOSPC, "storage_full"}, Case{EDQUOT, "storage_full"}, Case{EIO, "storage_failed"},
                        Case{EROFS, "storage_failed"}, Case{EMFILE, "storage_failed"}}) {
    for (int nth = 1;; ++nth) {
      store_ = std::move(BlobStore::open(root_, disk_).value());  // So that its folders are made again.
      SCOPED_TRACE(std::string(c.code) + " at call " + std::to_string(nth));
      disk_.fail_call(nth, c.error_number);
      Result<void> outcome;
      {
        auto file = writer();
        outcome = file->write("hello");
        if (outcome) {
          const auto digest = file->seal();
          if (digest)
            outcome = store_->keep(*file);
          else
            outcome = std::unexpected(digest.error());
        }
      }
      const bool failed = disk_.has_failed();
      disk_.heal();
      ASSERT_EQ(outcome.has_value(), !failed);
      if (!failed) break;
      EXPECT_EQ(outcome.error().kind, Kind::unavailable);
      EXPECT_EQ(outcome.error().code, c.code);
      EXPECT_TRUE(outcome.error().retry_after_seconds);
      EXPECT_EQ(files_below(root_ / "tmp"), 0);
      EXPECT_EQ(store("hello"), kHelloDigest);
      ASSERT_TRUE(store_->remove(kHelloDigest));
    }
  }
}

// What sweep() asks for, when these are all the digests with a row.
BlobStore::DigestsInUse only(std::set<std::string> digests) {
  return [digests = std::move(digests)](std::string_view shard) -> Result<std::set<std::string>> {
    std::set<std::string> found;
    for (const std::string& digest : digests) {
      if (digest.starts_with(shard)) found.insert(digest);
    }
    return found;
  };
}

TEST_F(BlobStoreTest, SweepsUnfinishedFilesAndSetsOrphansAsideButNothingElse) {
  const std::string used = store("used");
  const std::string orphan = store("orphan");
  std::ofstream(root_ / "tmp" / new_uuid(SystemClock().wall())) << "unfinished";
  std::ofstream(root_ / "tmp" / "notes.txt") << "somebody's";
  std::filesystem::create_directory(root_ / "00");
  std::ofstream(root_ / "00" / "README") << "somebody's";

  const auto report = store_->sweep(only({used}));
  ASSERT_TRUE(report);
  EXPECT_EQ(report->unfinished_removed, 1U);
  EXPECT_EQ(report->orphans_set_aside, 1U);
  EXPECT_EQ(report->blobs_missing, 0U);
  EXPECT_EQ(report->lost_files, 1U);
  EXPECT_EQ(report->lost_bytes, std::string_view("orphan").size());
  EXPECT_EQ(contents(used), "used");
  EXPECT_EQ(contents(orphan), "(blob_not_found)");
  EXPECT_EQ(std::filesystem::file_size(store_->lost_folder() / orphan), std::string_view("orphan").size());
  EXPECT_EQ(blobs(), 4);
}

TEST_F(BlobStoreTest, WhatWasSetAsideComesBackWhenItsRowDoes) {
  store("hello");
  ASSERT_EQ(store_->sweep(only({})).value().orphans_set_aside, 1U);
  const std::string digest(kHelloDigest);
  // As after a restart, and with the folder gone that the blob belongs in.
  store_ = std::move(BlobStore::open(root_, disk_).value());
  std::filesystem::remove(root_ / "2c");
  const auto report = store_->sweep(only({digest})).value();
  EXPECT_EQ(report.blobs_taken_back, 1U);
  EXPECT_EQ(report.blobs_missing, 0U);
  EXPECT_EQ(report.lost_files, 0U);
  EXPECT_EQ(contents(digest), "hello");
}

TEST_F(BlobStoreTest, BytesThatWereSetAsideMayBeStoredAndSetAsideAgain) {
  for (int round = 0; round < 2; ++round) {
    store("hello");
    EXPECT_EQ(contents(kHelloDigest), "hello");
    const auto report = store_->sweep(only({})).value();
    EXPECT_EQ(report.orphans_set_aside, 1U);
    EXPECT_EQ(report.lost_files, 1U);
    EXPECT_EQ(contents(kHelloDigest), "(blob_not_found)");
  }
  store("hello");
  ASSERT_TRUE(store_->remove(kHelloDigest));
  EXPECT_EQ(store_->sweep(only({})).value().lost_files, 1U);
}

TEST_F(BlobStoreTest, SweepLeavesACopyInAnotherFolderAndTheBlobItselfAlone) {
  const std::string digest = store("hello");
  std::filesystem::create_directory(root_ / "00");
  std::ofstream(root_ / "00" / digest) << "hello";
  const auto report = store_->sweep(only({digest})).value();
  EXPECT_EQ(report.orphans_set_aside, 0U);
  EXPECT_EQ(contents(digest), "hello");
  EXPECT_TRUE(std::filesystem::exists(root_ / "00" / digest));
}

TEST_F(BlobStoreTest, AnOrphanThatCannotBeMovedStaysAndDoesNotStopTheSweep) {
  store("hello");
  disk_.fail_call(1, ENOSPC, true);
  const auto report = store_->sweep(only({}));
  disk_.heal();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->orphans_set_aside, 0U);
  EXPECT_EQ(report->orphans_stuck, 1U);
  EXPECT_EQ(contents(kHelloDigest), "hello");
}

TEST_F(BlobStoreTest, SweepPassesOverFoldersWithNamesOfFiles) {
  std::filesystem::create_directories(root_ / "2c" / kHelloDigest);
  std::filesystem::create_directory(root_ / "tmp" / new_uuid(SystemClock().wall()));
  const auto report = store_->sweep(only({}));
  ASSERT_TRUE(report);
  EXPECT_EQ(report->unfinished_removed + report->orphans_set_aside + report->orphans_stuck, 0U);
}

TEST_F(BlobStoreTest, SweepReportsBlobsThatSomebodyTookAway) {
  EXPECT_EQ(store_->sweep(only({std::string(kHelloDigest)})).value().blobs_missing, 1U);
}

TEST_F(BlobStoreTest, SweepMovesNothingWhenTheDatabaseIsAway) {
  store("hello");
  auto away = [](std::string_view) -> Result<std::set<std::string>> {
    return fail(Kind::unavailable, "storage_failed", "The database is away.");
  };
  EXPECT_EQ(store_->sweep(away).error().code, "storage_failed");
  EXPECT_EQ(contents(kHelloDigest), "hello");
}

TEST_F(BlobStoreTest, AFolderThatCannotBeMadeIsAnError) {
  std::ofstream(folder_.path() / "file") << "in the way";
  EXPECT_EQ(BlobStore::open(folder_.path() / "file" / "uploads", disk_).error().kind, Kind::unavailable);
}

TEST_F(BlobStoreTest, KnowsTheFreeSpaceAndWhetherItMayWrite) {
  EXPECT_GT(store_->free_bytes().value(), 0U);
  EXPECT_TRUE(store_->is_writable());
  std::filesystem::remove_all(root_);
  EXPECT_FALSE(store_->is_writable());
}

}  // namespace
}  // namespace gbgreg::storage
