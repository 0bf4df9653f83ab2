#include "services/backup.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <utility>

#include "services/backup_manifest.h"
#include "services/test_kept.h"

namespace gbgreg::services {
namespace {

using testing::HasSubstr;

namespace fs = std::filesystem;

const ShowKept kQuiet = [](const KeptProgress&) {};

struct TarMember {
  std::string name;
  std::string bytes;
};

std::vector<TarMember> members_of(const fs::path& file) {
  std::vector<TarMember> members;
  archive* tar = ::archive_read_new();
  ::archive_read_support_format_tar(tar);
  EXPECT_EQ(::archive_read_open_filename(tar, file.c_str(), 10240), ARCHIVE_OK);
  archive_entry* entry = nullptr;
  while (::archive_read_next_header(tar, &entry) == ARCHIVE_OK) {
    TarMember member{.name = ::archive_entry_pathname(entry), .bytes = {}};
    member.bytes.resize(static_cast<std::size_t>(::archive_entry_size(entry)));
    EXPECT_EQ(::archive_read_data(tar, member.bytes.data(), member.bytes.size()),
              static_cast<la_ssize_t>(member.bytes.size()));
    members.push_back(std::move(member));
  }
  ::archive_read_free(tar);
  return members;
}

enum class Type : std::uint8_t { file, symlink };
void write_tar(const fs::path& file, const std::vector<TarMember>& members, Type type = Type::file) {
  archive* tar = ::archive_write_new();
  ::archive_write_set_format_pax_restricted(tar);
  ::archive_write_open_filename(tar, file.c_str());
  for (const TarMember& member : members) {
    archive_entry* entry = ::archive_entry_new();
    ::archive_entry_set_pathname(entry, member.name.c_str());
    ::archive_entry_set_filetype(entry, type == Type::file ? AE_IFREG : AE_IFLNK);
    if (type == Type::symlink) ::archive_entry_set_symlink(entry, "/etc/passwd");
    ::archive_entry_set_perm(entry, 0600);
    ::archive_entry_set_size(entry, type == Type::file ? static_cast<la_int64_t>(member.bytes.size()) : 0);
    ::archive_write_header(tar, entry);
    if (type == Type::file) ::archive_write_data(tar, member.bytes.data(), member.bytes.size());
    ::archive_entry_free(entry);
  }
  ::archive_write_close(tar);
  ::archive_write_free(tar);
}

class BackupTest : public KeptTest {
 protected:
  BackupTest() { fs::create_directory(other_); }

  Result<BackupReport> back_up_now(const ShowKept& show = kQuiet) {
    const BackupOptions options{
        .database_url = database_url(), .uploads = uploads(), .file = file_, .version = "1.2.3"};
    return back_up(options, disk_, clock_, show);
  }
  Result<BackupReport> back_up_while(const std::function<void()>& happens) {
    bool has_happened = false;
    return back_up_now([&](const KeptProgress&) {
      if (!std::exchange(has_happened, true)) happens();
    });
  }
  Result<RestoreReport> restore_to_other(Present present = Present::refuse) {
    const RestoreOptions options{.file = file_,
                                 .data = other_,
                                 .database_url = "sqlite://" + (other_ / "x.db").string(),
                                 .uploads = other_ / "uploads",
                                 .present = present};
    auto report = restore(options, disk_, clock_, kQuiet);
    EXPECT_FALSE(fs::exists(other_ / "restore.partial"));
    return report;
  }
  // What is where the backup is, but for the stores themselves.
  std::vector<std::string> beside() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(file_.parent_path())) names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
  }
  std::unique_ptr<storage::TestStores> open_other() {
    return std::make_unique<storage::TestStores>(other_, disk_, clock_);
  }

  storage::TestFolder shelf_;
  storage::TestFolder elsewhere_;
  fs::path file_ = shelf_.path() / "b.tar";
  fs::path other_ = elsewhere_.path() / "data";
};

TEST_F(BackupTest, EveryRowAndByteComesBack) {
  const auto one = keep("one", "1.txt"), twice = keep("one", "2.txt"),
             large = keep(std::string(3'000'000, 'x'), "x.txt"), empty = keep("", "empty.txt");
  const auto backed = back_up_now();
  ASSERT_TRUE(backed) << backed.error().message << backed.error().detail;
  EXPECT_EQ(backed->files, 3U);
  EXPECT_EQ(backed->bytes, 3'000'003U);
  EXPECT_EQ(backed->backup_bytes, fs::file_size(file_));
  EXPECT_THAT(beside(), testing::ElementsAre("b.tar"));
  EXPECT_EQ(fs::status(file_).permissions(), fs::perms::owner_read | fs::perms::owner_write);

  const auto restored = restore_to_other();
  ASSERT_TRUE(restored) << restored.error().message << restored.error().detail;
  EXPECT_EQ(restored->files, 3U);
  EXPECT_EQ(restored->bytes, 3'000'003U);
  EXPECT_EQ(restored->version, "1.2.3");
  EXPECT_TRUE(restored->moved_aside.empty());
  const auto other = open_other();
  for (const auto& upload : {one, twice, large, empty}) EXPECT_EQ(other->uploads.find(upload.id).value(), upload);
  for (const auto& upload : {one, large, empty}) {
    EXPECT_EQ(read_file(other_ / "uploads" / upload.sha256.substr(0, 2) / upload.sha256),
              read_file(file_of(upload.sha256)));
  }
}

TEST_F(BackupTest, IsAPlainTarThatEndsWithItsManifest) {
  keep("one");
  ASSERT_TRUE(back_up_now());
  const auto members = members_of(file_);
  ASSERT_EQ(members.size(), 3U);
  const std::string digest = models::sha256_of("one");
  EXPECT_EQ(members[0].name, "uploads/" + digest.substr(0, 2) + "/" + digest);
  EXPECT_EQ(members[0].bytes, "one");
  EXPECT_EQ(members[1].name, "gbgreg.sqlite");
  EXPECT_EQ(members[2].name, "manifest.json");
  const auto manifest = read_manifest(members[2].bytes);
  ASSERT_TRUE(manifest) << manifest.error().detail;
  EXPECT_EQ(manifest->database_sha256, models::sha256_of(members[1].bytes));
  EXPECT_EQ(manifest->files, 1U);
  EXPECT_EQ(read_manifest(write_manifest(*manifest)).value(), *manifest);
}

TEST_F(BackupTest, WhatIsDeletedMeanwhileIsNeitherAFaultNorARowWithoutBytes) {
  std::vector<storage::Upload> kept;
  kept.reserve(40);
  for (int i = 0; i < 40; ++i) kept.push_back(keep("file " + std::to_string(i)));
  storage::Upload later;
  const auto backed = back_up_while([&] {
    for (const auto& upload : kept) forget(upload);
    later = keep("later");
  });
  ASSERT_TRUE(backed) << backed.error().message;
  const auto restored = restore_to_other();
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_EQ(restored->files, 1U);
  EXPECT_EQ(restored->unused_files, backed->files - 1) << "what was read before it was deleted";
  const auto other = open_other();
  EXPECT_TRUE(other->uploads.find(later.id));
  EXPECT_FALSE(other->uploads.find(kept[0].id));
}

TEST_F(BackupTest, MissingOrDamagedBytesStopItAndTheLastOneStays) {
  const auto upload = keep("bytes");
  ASSERT_TRUE(back_up_now());
  const std::string before = read_file(file_);
  for (const bool is_missing : {false, true}) {
    if (is_missing) {
      fs::remove(file_of(upload.sha256));
    } else {
      write_file(file_of(upload.sha256), "bites");
    }
    const auto refused = back_up_now();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, "bytes_damaged");
    EXPECT_THAT(refused.error().message, HasSubstr(upload.sha256));
    EXPECT_EQ(read_file(file_), before);
    EXPECT_THAT(beside(), testing::ElementsAre("b.tar"));
  }
}

TEST_F(BackupTest, AFailingDiskLeavesNoHalfBackup) {
  for (int i = 0; i < 6; ++i) keep(std::string(50'000, 'x') + std::to_string(i));
  bool has_worked = false;
  for (int nth = 1; !has_worked; ++nth) {
    disk_.fail_call(nth, ENOSPC, true);
    const auto backed = back_up_now();
    has_worked = !disk_.has_failed();
    disk_.heal();
    if (has_worked) {
      EXPECT_TRUE(backed);
      EXPECT_GT(nth, 30) << "each write was one of the calls";
      break;
    }
    ASSERT_FALSE(backed);
    EXPECT_EQ(backed.error().code, "storage_full");
    // Once it is renamed it is whole, whether or not its name is on the disk.
    if (!beside().empty()) {
      EXPECT_THAT(beside(), testing::ElementsAre("b.tar"));
      EXPECT_EQ(members_of(file_).back().name, "manifest.json");
      fs::remove(file_);
    }
  }
}

TEST_F(BackupTest, WhatAKilledOneLeftIsRemovedAndAnotherOneIsLeftInPeace) {
  keep("one");
  write_file(file_.string() + ".partial", "half");
  write_file(file_.string() + ".partial-rows", "half");
  EXPECT_TRUE(back_up_now());
  EXPECT_THAT(beside(), testing::ElementsAre("b.tar"));
  write_file(file_.string() + ".partial", "another's");
  const storage::OwnedFile another(::open((file_.string() + ".partial").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::flock(another.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_EQ(back_up_now().error().code, "backup_running");
  EXPECT_EQ(read_file(file_.string() + ".partial"), "another's");
}

TEST_F(BackupTest, NothingIsRestoredOverDataUnlessItIsMovedAside) {
  const auto kept = keep("from the backup");
  ASSERT_TRUE(back_up_now());
  std::string old_id;
  {
    const auto other = open_other();
    auto writer = other->blobs->writer("0193e2a4-7c1b-7d3e-9f00-1a2b3c4d5e6f");
    ASSERT_TRUE(writer->write("old"));
    const std::string sha256 = writer->seal().value();
    ASSERT_TRUE(other->blobs->keep(*writer));
    old_id = other->uploads
                 .insert({.id = new_uuid(clock_.wall()),
                          .filename = "old.txt",
                          .original_filename = "old.txt",
                          .kind = "text",
                          .media_type = "text/plain",
                          .size_bytes = 3,
                          .sha256 = sha256,
                          .created_at = "t"})
                 .value()
                 .id;
  }
  const auto refused = restore_to_other();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "data_present");
  EXPECT_TRUE(open_other()->uploads.find(old_id));

  const auto restored = restore_to_other(Present::move_aside);
  ASSERT_TRUE(restored) << restored.error().message << restored.error().detail;
  EXPECT_TRUE(open_other()->uploads.find(kept.id));
  EXPECT_FALSE(open_other()->uploads.find(old_id));
  const fs::path aside = restored->moved_aside;
  EXPECT_TRUE(fs::exists(aside / "x.db"));
  EXPECT_EQ(read_file(aside / "uploads" / models::sha256_of("old").substr(0, 2) / models::sha256_of("old")), "old");
}

TEST_F(BackupTest, AnyDamageIsFoundBeforeAnythingIsInItsPlace) {
  keep("one");
  keep("two");
  ASSERT_TRUE(back_up_now());
  const auto good = members_of(file_);
  ASSERT_EQ(good.size(), 4U);
  using Change = std::function<void(std::vector<TarMember>&)>;
  const std::pair<const char*, Change> cases[] = {
      {"a flipped byte of an upload", [](auto& m) { m[0].bytes[0] ^= 1; }},
      {"a missing upload", [](auto& m) { m.erase(m.begin()); }},
      {"an upload under another's digest", [](auto& m) { m[0].bytes.swap(m[1].bytes); }},
      {"an upload twice", [](auto& m) { m.insert(m.begin(), m[0]); }},
      {"a flipped byte of the database", [](auto& m) { m[2].bytes[5000] ^= 1; }},
      {"no database", [](auto& m) { m.erase(m.begin() + 2); }},
      {"no manifest", [](auto& m) { m.pop_back(); }},
      {"a manifest that is none", [](auto& m) { m[3].bytes = "{}"; }},
      {"a manifest of another form",
       [](auto& m) { m[3].bytes.replace(m[3].bytes.find("\"format\":1"), 10, "\"format\":2"); }},
      {"something behind the manifest", [](auto& m) { m.push_back(m[0]); }},
      {"a path that climbs", [](auto& m) { m[0].name = "uploads/../../x"; }},
      {"an absolute path", [](auto& m) { m[0].name = "/tmp/x"; }},
      {"a name that is no digest", [](auto& m) { m[0].name = "uploads/ab/abc"; }},
      {"a digest in the folder of others", [](auto& m) { m[0].name[8] = m[0].name[8] == 'a' ? 'b' : 'a'; }},
      {"a stranger", [](auto& m) { m.insert(m.begin(), TarMember{.name = "config.yaml", .bytes = "x"}); }},
  };
  for (const auto& [name, change] : cases) {
    SCOPED_TRACE(name);
    auto members = good;
    change(members);
    write_tar(file_, members);
    const auto refused = restore_to_other();
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().code, testing::AnyOf("backup_damaged", "backup_newer")) << refused.error().message;
    EXPECT_EQ(storage::files_below(other_), 0);
  }
  write_tar(file_, good, Type::symlink);
  EXPECT_EQ(restore_to_other().error().code, "backup_damaged");
  write_tar(file_, good);
  EXPECT_TRUE(restore_to_other());
}

TEST_F(BackupTest, ACutOrFlippedFileIsRefusedWhereverItIs) {
  keep("one");
  ASSERT_TRUE(back_up_now());
  const std::string good = read_file(file_);
  // Behind the last member there are only zeros.
  const std::size_t end = good.rfind("manifest.json");
  for (std::size_t at = 0; at < end; at += 7'919) {
    SCOPED_TRACE(at);
    write_file(file_, good.substr(0, at));
    ASSERT_FALSE(restore_to_other());
  }
  std::string flipped = good;
  flipped[good.find("one")] ^= 0x20;
  write_file(file_, flipped);
  EXPECT_THAT(restore_to_other().error().message, HasSubstr(models::sha256_of("one")));
  EXPECT_EQ(storage::files_below(other_), 0);
}

TEST_F(BackupTest, ABackupOfANewerSchemaIsRefused) {
  keep("one");
  {
    const std::string_view statements[] = {"CREATE TABLE gbgreg_tomorrow (id text)"};
    std::vector<storage::Migration> more(storage::known_migrations().begin(), storage::known_migrations().end());
    more.push_back({.version = more.back().version + 1, .name = "tomorrow", .statements = statements});
    ASSERT_TRUE(storage::migrate(*stores_->database, clock_, more));
  }
  EXPECT_EQ(back_up_now().error().code, "schema_newer");
  EXPECT_TRUE(beside().empty());

  // One that the newer gbgreg made: its database is as it is here.
  stores_.reset();
  const std::string rows = read_file(database());
  const BackupManifest manifest{.version = "9",
                                .created_at = "t",
                                .schema_version = 99,
                                .database_sha256 = models::sha256_of(rows),
                                .database_bytes = rows.size(),
                                .files = 1,
                                .bytes = 3};
  const std::string digest = models::sha256_of("one");
  write_tar(file_, {{.name = "uploads/" + digest.substr(0, 2) + "/" + digest, .bytes = "one"},
                    {.name = "gbgreg.sqlite", .bytes = rows},
                    {.name = "manifest.json", .bytes = write_manifest(manifest)}});
  const auto refused = restore_to_other();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "schema_newer");
  EXPECT_EQ(storage::files_below(other_), 0);
}

TEST_F(BackupTest, AFailingDiskLeavesTheDataAsItWasUntilItIsReplaced) {
  const auto kept = keep("one");
  ASSERT_TRUE(back_up_now());
  bool has_worked = false;
  for (int nth = 1; !has_worked; ++nth) {
    disk_.fail_call(nth, EIO, true);
    const auto restored = restore_to_other();
    has_worked = !disk_.has_failed();
    disk_.heal();
    EXPECT_EQ(restored.has_value(), has_worked);
    // The database comes last, so where there is one its bytes are there.
    if (fs::exists(other_ / "x.db")) {
      EXPECT_TRUE(open_other()->uploads.find(kept.id));
      EXPECT_TRUE(fs::exists(other_ / "uploads" / kept.sha256.substr(0, 2) / kept.sha256));
      if (!has_worked) {
        fs::remove_all(other_);
        fs::create_directory(other_);
      }
    }
    fs::remove_all(other_ / "uploads");
  }
}

}  // namespace
}  // namespace gbgreg::services
