#include "services/verify_storage.h"

#include <gmock/gmock.h>

#include "services/test_kept.h"

namespace gbgreg::services {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

class VerifyStorageTest : public KeptTest {
 protected:
  Result<StorageReport> verify(const ShowKept& show = [](const KeptProgress&) {}) {
    const std::filesystem::path scratch = folder_.path() / "scratch";
    std::filesystem::create_directories(scratch);
    const VerifyOptions options{
        .database_url = database_url(), .uploads = uploads(), .scratch = scratch, .has_gateway = has_gateway_};
    auto report = verify_storage(options, clock_, show);
    EXPECT_EQ(storage::files_below(scratch), 0);
    return report;
  }
  // At some moment while it reads.
  Result<StorageReport> verify_while(const std::function<void()>& happens) {
    bool has_happened = false;
    return verify([&](const KeptProgress&) {
      if (!std::exchange(has_happened, true)) happens();
    });
  }

  bool has_gateway_ = false;
};

TEST_F(VerifyStorageTest, WhatIsWellIsReadToTheEnd) {
  keep("one");
  keep("one", "again.txt");
  keep(std::string(3'000'000, 'x'));
  keep("");
  KeptProgress last;
  const auto report = verify([&](const KeptProgress& progress) { last = progress; });
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->faults, 0U);
  EXPECT_EQ(report->files_checked, 3U);
  EXPECT_EQ(report->bytes_checked, 3'000'003U);
  EXPECT_EQ(last.bytes_done, last.bytes_total);
  EXPECT_EQ(last.files_done, last.files_total);
}

TEST_F(VerifyStorageTest, FindsAFlippedByteACutFileAMissingOneAndWhatIsNoFile) {
  const auto flipped = keep("flipped", "f.txt"), cut = keep("cut off", "c.txt"), gone = keep("gone", "g.txt"),
             folder = keep("folder", "d.txt");
  keep("well");
  write_file(file_of(flipped.sha256), "flopped");
  write_file(file_of(cut.sha256), "cut");
  std::filesystem::remove(file_of(gone.sha256));
  std::filesystem::remove(file_of(folder.sha256));
  std::filesystem::create_directory(file_of(folder.sha256));
  const auto report = verify();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->faults, 4U);
  std::map<std::string, FaultyBlob> by_digest;
  for (const auto& fault : report->faulty) by_digest[fault.sha256] = fault;
  EXPECT_EQ(by_digest[flipped.sha256].fault, BlobFault::damaged);
  EXPECT_EQ(by_digest[cut.sha256].fault, BlobFault::wrong_size);
  EXPECT_EQ(by_digest[cut.sha256].detail, "has 3 bytes instead of 7");
  EXPECT_EQ(by_digest[gone.sha256].fault, BlobFault::missing);
  EXPECT_EQ(by_digest[folder.sha256].fault, BlobFault::unreadable);
  EXPECT_THAT(by_digest[gone.sha256].named_by, ElementsAre("g.txt (upload " + gone.id + ")"));
}

TEST_F(VerifyStorageTest, ARowThatSaysAnotherSizeIsAFault) {
  auto upload = keep("bytes");
  upload.id = new_uuid(clock_.wall());
  upload.size_bytes = 6;
  EXPECT_TRUE(stores_->uploads.insert(upload));
  const auto report = verify();
  ASSERT_EQ(report->faults, 1U);
  EXPECT_EQ(report->faulty[0].detail, "has 5 bytes instead of 6");
}

TEST_F(VerifyStorageTest, WhatNoRowNamesIsNamedAndNoFault) {
  const std::string digest = models::sha256_of("nobody's");
  write_file(file_of(digest), "nobody's");
  write_file(uploads() / "ab" / "readme.txt", "somebody else's");
  write_file(uploads() / "lost" / digest, "nobody's");
  write_file(uploads() / "tmp" / "unfinished", "half");
  auto report = verify();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->faults, 0U);
  EXPECT_THAT(report->unused, ElementsAre(digest));
  EXPECT_EQ(report->unused_bytes, 8U);
  EXPECT_EQ(report->set_aside_files, 1U);
  EXPECT_EQ(report->set_aside_bytes, 8U);
  // While a gateway runs, its row may be about to come.
  has_gateway_ = true;
  EXPECT_THAT(verify()->unused, SizeIs(0));
}

TEST_F(VerifyStorageTest, WhatIsDeletedOrUploadedMeanwhileIsNoFault) {
  std::vector<storage::Upload> kept;
  kept.reserve(40);
  for (int i = 0; i < 40; ++i) kept.push_back(keep("file " + std::to_string(i)));
  auto report = verify_while([&] {
    for (const auto& upload : kept) forget(upload);
    for (int i = 0; i < 40; ++i) keep("later " + std::to_string(i));
  });
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->faults, 0U);
  EXPECT_THAT(report->unused, SizeIs(0));

  // Deleted and uploaded again is there.
  const auto back = keep("back");
  report = verify_while([&] {
    forget(back);
    keep("back");
  });
  EXPECT_EQ(report->faults, 0U);
}

TEST_F(VerifyStorageTest, WithoutADatabaseItSaysSo) {
  stores_.reset();
  write_file(database(), "no database at all, but some text of some length");
  EXPECT_EQ(verify().error().code, "database_corrupt");
  std::filesystem::remove(database());
  EXPECT_EQ(verify().error().code, "database_missing");
}

}  // namespace
}  // namespace gbgreg::services
