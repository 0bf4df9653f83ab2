#include "services/archive_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::services {
namespace {

using testing::ElementsAre;

std::string head(char kind, std::string_view name, std::uint64_t size = 0) {
  std::string payload(1, kind);
  for (int shift = 0; shift < 64; shift += 8) payload.push_back(static_cast<char>((size >> shift) & 0xff));
  return payload.append(name);
}

class ArchiveReaderTest : public testing::Test {
 protected:
  struct Said {
    char type;
    std::string payload;
  };

  // What comes of these messages: "" or the code of the error, that of the end included.
  std::string read(const std::vector<Said>& messages, std::uint64_t archive_bytes = 1'000) {
    builder_ = std::make_unique<ProjectBuilder>(*stores_.blobs, clock_, limits_, UnknownBinaries::are_rejected);
    ArchiveReader reader(*builder_, limits_, archive_bytes);
    for (const Said& said : messages) {
      const auto taken = reader.take({.type = said.type, .payload = said.payload});
      if (!taken) return taken.error().code;
    }
    const auto finished = reader.finish();
    return finished ? "" : finished.error().code;
  }

  std::vector<std::string> paths() const {
    std::vector<std::string> paths;
    for (const storage::ProjectFile& file : builder_->files()) paths.push_back(file.path);
    return paths;
  }

  storage::TestFolder folder_;
  storage::Disk disk_;
  SystemClock clock_;
  storage::TestStores stores_{folder_.path(), disk_, clock_};
  intake::ArchiveLimits limits_{.entries_max = 5, .bytes_max = 1'000'000, .ratio_max = 10, .ratio_from_bytes = 1'000};
  std::unique_ptr<ProjectBuilder> builder_;
};

TEST_F(ArchiveReaderTest, MakesAProjectOfWhatIsSaid) {
  EXPECT_EQ(read({{'A', "zip"},
                  {'E', head('d', "src/")},
                  {'F', ""},
                  {'E', head('f', "src/a.cc", 12)},
                  {'D', "int "},
                  {'D', "main();\n"},
                  {'F', ""},
                  {'E', head('l', "link")},
                  {'F', ""},
                  {'E', head('f', "broken", 5)},
                  {'D', "x"},
                  {'R', ""},
                  {'E', head('f', "../up", 1)},
                  {'D', "y"},
                  {'F', ""},
                  {'Z', ""}}),
            "");
  EXPECT_THAT(paths(), ElementsAre("src/a.cc"));
  EXPECT_EQ(builder_->files()[0].size_bytes, 12U);
  EXPECT_EQ(builder_->languages_json(), R"({"C++":1})");
  EXPECT_EQ(builder_->entries(), 5U);
  ASSERT_EQ(builder_->rejected().size(), 3U);
  EXPECT_EQ(builder_->rejected()[0].code, "link_not_taken");
  EXPECT_EQ(builder_->rejected()[1].code, "entry_damaged");
  EXPECT_EQ(builder_->rejected()[2].code, "name_traversal");
  builder_.reset();
  EXPECT_EQ(storage::files_below(folder_.path() / "uploads"), 0);
}

TEST_F(ArchiveReaderTest, RejectsBinariesThatNobodyKnows) {
  const std::string program(
      "\x7F"
      "ELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3E\0\x01\0\0\0",
      24);
  EXPECT_EQ(read({{'A', "tar"},
                  {'E', head('f', "program")},
                  {'D', program},
                  {'F', ""},
                  {'E', head('f', "text")},
                  {'D', "hello"},
                  {'F', ""},
                  {'Z', ""}}),
            "");
  EXPECT_THAT(paths(), ElementsAre("text"));
  ASSERT_EQ(builder_->rejected().size(), 1U);
  EXPECT_EQ(builder_->rejected()[0].code, "file_type_not_accepted");
}

TEST_F(ArchiveReaderTest, RefusesWhatNoUnpackerOfOursSays) {
  const Said format{'A', "tar"}, file{'E', head('f', "a")}, end{'F', ""};
  const std::vector<std::vector<Said>> cases = {
      {},
      {{'?', ""}},
      {format},
      {format, format},
      {file},
      {format, file},
      {format, file, file},
      {format, file, {'Z', ""}},
      {format, {'D', "x"}},
      {format, end},
      {format, {'R', ""}},
      {format, {'E', ""}},
      {format, {'E', "f1234567"}},
      {format, {'E', head('?', "a")}},
      {format, {'E', head('d', "a")}, {'D', "x"}},
      {format, {'Z', ""}, {'Z', ""}},
      {format, {'X', "a_word_of_its_own"}},
      {format, {'X', ""}},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) EXPECT_EQ(read(cases[i]), "jail_garbled") << i;
}

TEST_F(ArchiveReaderTest, CountsItselfWhateverTheArchiveSays) {
  std::vector<Said> many = {{'A', "tar"}};
  for (int i = 0; i < 6; ++i) {
    many.push_back({'E', head('f', "f" + std::to_string(i))});
    many.push_back({'F', ""});
  }
  EXPECT_EQ(read(many), "archive_too_many_entries");

  const Said kilobytes{'D', std::string(10'000, 'x')};
  std::vector<Said> large = {{'A', "tar"}, {'E', head('f', "a")}};
  for (int i = 0; i < 101; ++i) large.push_back(kilobytes);
  EXPECT_EQ(read(large, 1'000'000), "archive_too_large");
  // Bytes that are dropped for their file's name are counted as well.
  large[1].payload = head('f', "../a");
  EXPECT_EQ(read(large, 1'000'000), "archive_too_large");
  EXPECT_EQ(read({{'A', "tar"}, {'E', head('f', "a")}, kilobytes, kilobytes, {'F', ""}, {'Z', ""}}, 1'000),
            "archive_bomb");
  EXPECT_EQ(read({{'A', "tar"}, {'E', head('f', "a")}, kilobytes, {'F', ""}, {'Z', ""}}, 1'000), "");
}

TEST_F(ArchiveReaderTest, BoundsWhatNamesTake) {
  limits_ = {};  // As many entries as usual.
  const auto read_many = [&](std::string_view front) {
    std::string below;
    for (int i = 0; i < 30; ++i) below += "/" + std::string(30, 'd');
    builder_ = std::make_unique<ProjectBuilder>(*stores_.blobs, clock_, limits_, UnknownBinaries::are_rejected);
    ArchiveReader reader(*builder_, limits_, 1'000);
    auto taken = reader.take({.type = 'A', .payload = "tar"});
    std::uint64_t entries = 0;
    for (; taken && entries < limits_.entries_max; ++entries) {
      const std::string entry = head('d', std::string(front) + std::to_string(entries) + below);
      taken = reader.take({.type = 'E', .payload = entry});
      if (taken) taken = reader.take({.type = 'F', .payload = ""});
    }
    return taken ? std::string() : taken.error().code;
  };
  EXPECT_EQ(read_many("a"), "archive_names_too_long");
  EXPECT_EQ(read_many("../a"), "archive_names_too_long");
}

TEST_F(ArchiveReaderTest, SaysWhyAnArchiveIsRefused) {
  for (const char* code : {"archive_unreadable", "archive_damaged", "archive_lies", "archive_overlaps",
                           "archive_encrypted", "archive_too_many_entries", "archive_too_large", "archive_bomb"}) {
    EXPECT_EQ(read({{'X', code}}), code);
  }
  builder_ = std::make_unique<ProjectBuilder>(*stores_.blobs, clock_, limits_, UnknownBinaries::are_rejected);
  ArchiveReader reader(*builder_, limits_, 10);
  const Error error = reader.take({.type = 'X', .payload = "archive_bomb"}).error();
  EXPECT_EQ(error.kind, Kind::refused);
  EXPECT_THAT(error.message, testing::HasSubstr("10 (limits.archive_ratio_max)"));
  EXPECT_EQ(error.details_json, R"({"limit":"limits.archive_ratio_max","limit_value":10})");
}

}  // namespace
}  // namespace gbgreg::services
