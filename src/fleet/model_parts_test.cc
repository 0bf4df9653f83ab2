#include "fleet/model_parts.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace gbgreg::fleet {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ModelPartsTest : public ::testing::Test {
 protected:
  ModelPartsTest() {
    std::string name = (std::filesystem::temp_directory_path() / "gbgreg-parts-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }

  std::filesystem::path folder_;
};

std::vector<std::string> names(const std::vector<std::filesystem::path>& parts) {
  std::vector<std::string> names;
  names.reserve(parts.size());
  for (const auto& part : parts) names.push_back(part.filename().string());
  return names;
}

TEST_F(ModelPartsTest, AreThoseThatTheFirstOnesNameCounts) {
  const auto parts = model_parts("/models/x-00001-of-00003.gguf");
  EXPECT_THAT(parts, ElementsAre("/models/x-00001-of-00003.gguf", "/models/x-00002-of-00003.gguf",
                                 "/models/x-00003-of-00003.gguf"));
  EXPECT_THAT(names(model_parts("x-00001-of-00001.gguf")), ElementsAre("x-00001-of-00001.gguf"));
}

TEST_F(ModelPartsTest, OfAnyOtherNameAreTheFileItself) {
  for (const char* name :
       {"x.gguf", "x-00002-of-00003.gguf", "x-00001-of-99999.gguf", "x-0001-of-0003.gguf", "-of-.gguf", "",
        "x-00001-of-00003.gguf.part", "x-00001_of_00003.gguf", "x-00004-of-00003.gguf", "x--0001-of-00003.gguf"}) {
    SCOPED_TRACE(name);
    EXPECT_EQ(model_parts(name).size(), 1U);
    EXPECT_EQ(model_parts(name).front(), name);
  }
}

TEST_F(ModelPartsTest, KnowWhichOneIsToBeNamed) {
  EXPECT_EQ(first_part_of("/models/x-00002-of-00003.gguf"), "x-00001-of-00003.gguf");
  EXPECT_EQ(first_part_of("/models/x-00001-of-00003.gguf"), "");
  EXPECT_EQ(first_part_of("/models/x.gguf"), "");
}

TEST_F(ModelPartsTest, AreAddedUpAndMissed) {
  const auto first = write("x-00001-of-00003.gguf", std::string(100, 'x'));
  write("x-00003-of-00003.gguf", std::string(20, 'x'));
  EXPECT_EQ(model_file_bytes(first), 120);
  EXPECT_THAT(names(missing_parts(first)), ElementsAre("x-00002-of-00003.gguf"));
  write("x-00002-of-00003.gguf", std::string(3, 'x'));
  EXPECT_EQ(model_file_bytes(first), 123);
  EXPECT_THAT(missing_parts(first), IsEmpty());
  EXPECT_EQ(model_file_bytes(folder_ / "gone.gguf"), 0);
  std::filesystem::create_directory(folder_ / "y.gguf");
  EXPECT_THAT(names(missing_parts(folder_ / "y.gguf")), ElementsAre("y.gguf")) << "a folder is no model";
}

// The recorded headers are whole files but for their weights, which are holes.
TEST_F(ModelPartsTest, OfWhichOneIsCutShortIsSeen) {
  std::ifstream recorded(RECORDED_MEMORY "/tiny.header", std::ios::binary);
  const std::string header{std::istreambuf_iterator<char>(recorded), std::istreambuf_iterator<char>()};
  const auto file = write("tiny.gguf", header);
  EXPECT_EQ(wholeness_of(file), Wholeness::cut_short) << "no weights at all";
  std::filesystem::resize_file(file, 64 * 1024 * 1024);
  EXPECT_EQ(wholeness_of(file), Wholeness::whole);
  // The shortest that is whole: one byte less is cut.
  std::uintmax_t least = header.size(), most = 64 * 1024 * 1024;
  while (least + 1 < most) {
    const std::uintmax_t middle = (least + most) / 2;
    std::filesystem::resize_file(file, middle);
    (wholeness_of(file) == Wholeness::whole ? most : least) = middle;
  }
  EXPECT_GT(most, 4'000'000U) << "the weights of the tiny model are about 4 MB";
  EXPECT_LT(most, 6'000'000U);
  for (const std::size_t bytes : {header.size() / 2, std::size_t{30}, std::size_t{12}}) {
    EXPECT_EQ(wholeness_of(write("short.gguf", header.substr(0, bytes))), Wholeness::cut_short) << bytes;
  }
}

TEST_F(ModelPartsTest, OfWhatIsNoModelNothingIsSaid) {
  EXPECT_EQ(wholeness_of(folder_ / "gone.gguf"), Wholeness::unknown);
  EXPECT_EQ(wholeness_of(write("page.gguf", "<!DOCTYPE html> and so on, for some time")), Wholeness::unknown);
  const std::string empty("GGUF\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
  EXPECT_EQ(wholeness_of(write("empty.gguf", empty)), Wholeness::whole);
}

}  // namespace
}  // namespace gbgreg::fleet
