#include "zip_directory.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace gbgreg::jail {
namespace {

constexpr ZipBounds kBounds{.entries_max = 100, .bytes_max = 1'000'000, .ratio_max = 200, .ratio_from_bytes = 1'000};

std::string number(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text.push_back(static_cast<char>((value >> (8 * i)) & 0xff));
  return text;
}

struct Entry {
  std::string name = "a";
  std::string bytes = "hello";
  std::uint64_t size = 5;  // What it says of itself, in both places.
  int method = 0;
  int flags = 0;
};

std::string local_header(const Entry& entry) {
  return number(0x04034b50, 4) + number(20, 2) + number(entry.flags, 2) + number(entry.method, 2) + number(0, 4) +
         number(1, 4) + number(entry.bytes.size(), 4) + number(entry.size, 4) + number(entry.name.size(), 2) +
         number(0, 2) + entry.name;
}

std::string central_header(const Entry& entry, std::uint64_t offset) {
  return number(0x02014b50, 4) + number(20, 2) + number(20, 2) + number(entry.flags, 2) + number(entry.method, 2) +
         number(0, 4) + number(1, 4) + number(entry.bytes.size(), 4) + number(entry.size, 4) +
         number(entry.name.size(), 2) + number(0, 2) + number(0, 2) + number(0, 2) + number(0, 2) + number(0, 4) +
         number(offset, 4) + entry.name;
}

std::string zip_of(const std::vector<Entry>& entries) {
  std::string file, directory;
  for (const Entry& entry : entries) {
    directory += central_header(entry, file.size());
    file += local_header(entry) + entry.bytes;
  }
  const std::size_t at = file.size();
  return file + directory + number(0x06054b50, 4) + number(0, 4) + number(entries.size(), 2) +
         number(entries.size(), 2) + number(directory.size(), 4) + number(at, 4) + number(0, 2);
}

ZipVerdict check(std::string_view file, const ZipBounds& bounds = kBounds) {
  ZipChecksums checksums;
  return check_zip({reinterpret_cast<const unsigned char*>(file.data()), file.size()}, bounds, checksums);
}

TEST(CheckZip, TakesWhatAgreesAndIsWithinItsBounds) {
  EXPECT_EQ(check(zip_of({})), ZipVerdict::good);
  EXPECT_EQ(check(zip_of({{}, {.name = "b"}})), ZipVerdict::good);
  EXPECT_EQ(check(zip_of({{.method = 8, .flags = 0x800}})), ZipVerdict::good);
  EXPECT_EQ(check("prefix" + zip_of({{}})), ZipVerdict::lies);  // Its offsets do not count it.
}

TEST(CheckZip, RefusesAnyByteThatMakesItSayTwoThings) {
  const std::string good = zip_of({{.method = 8}, {.name = "second", .method = 8}});
  // Each byte of the headers, changed in one place only. Those that only describe (times, attributes, versions) may
  // differ; the others must not.
  int refused = 0;
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string changed = good;
    changed[i] = static_cast<char>(changed[i] ^ 0x41);
    if (check(changed) != ZipVerdict::good) ++refused;
  }
  EXPECT_GT(refused, 90);
}

TEST(CheckZip, NeverTakesWhatIsCutShort) {
  const std::string good = zip_of({{}, {.name = "b"}});
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_NE(check(good.substr(0, size)), ZipVerdict::good) << size;
}

TEST(CheckZip, NamesWhatIsWrong) {
  EXPECT_EQ(check("PK"), ZipVerdict::damaged);
  EXPECT_EQ(check(zip_of({{.flags = 1}})), ZipVerdict::encrypted);
  EXPECT_EQ(check(zip_of({{.method = 99}})), ZipVerdict::encrypted);
  EXPECT_EQ(check(zip_of({{.size = 6}})), ZipVerdict::lies);  // Stored, and yet of another size.
  EXPECT_EQ(check(zip_of({{.size = 2'000'000, .method = 8}})), ZipVerdict::too_large);
  EXPECT_EQ(check(zip_of({{.size = 500'000, .method = 8}})), ZipVerdict::bomb);
  EXPECT_EQ(check(zip_of(std::vector<Entry>(101))), ZipVerdict::too_many_entries);
  EXPECT_EQ(check(zip_of({{}}) + "behind"), ZipVerdict::damaged);
}

TEST(CheckZip, RefusesEntriesThatShareBytes) {
  const Entry one{.name = "a"}, two{.name = "a"};
  const std::string local = local_header(one) + one.bytes;
  const std::string directory = central_header(one, 0) + central_header(two, 0);
  const std::string file = local + directory + number(0x06054b50, 4) + number(0, 4) + number(2, 2) + number(2, 2) +
                           number(directory.size(), 4) + number(local.size(), 4) + number(0, 2);
  EXPECT_EQ(check(file), ZipVerdict::overlaps);
}

}  // namespace
}  // namespace gbgreg::jail
