#include "services/checkup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace gbgreg::services {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class CheckupTest : public ::testing::Test {
 protected:
  CheckupTest() {
    std::string name = (std::filesystem::temp_directory_path() / "gbgreg-checkup-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    options_ = {.engine = "/bin/sh",
                .data = folder_ / "data" / "not" / "there" / "yet",
                .workers = {{.role = "technical", .model = "m", .model_file = write("model.gguf", "GGUF and more")}},
                .upload_bytes_max = 1024};
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  std::vector<std::string> codes() {
    std::vector<std::string> codes;
    for (const gpu::Finding& finding : check_up(options_)) codes.push_back(finding.code);
    return codes;
  }

  std::filesystem::path folder_;
  DoctorOptions options_;
};

TEST_F(CheckupTest, SaysNothingWhereAllIsWell) { EXPECT_THAT(codes(), IsEmpty()); }

TEST_F(CheckupTest, AnEngineHasToBeAProgram) {
  options_.engine = folder_ / "model.gguf";
  EXPECT_THAT(codes(), ElementsAre("engine_missing"));
}

TEST_F(CheckupTest, ModelsAndProjectorsHaveToBeGguf) {
  options_.workers[0].projector_file = write("page.html", "<!DOCTYPE html>");
  options_.workers.push_back({.role = "vision", .model = "v", .model_file = folder_ / "gone.gguf"});
  EXPECT_THAT(codes(), ElementsAre("model_broken", "model_missing"));
  options_.workers = {{.role = "technical", .model = "m", .model_file = write("short.gguf", "GG")}};
  EXPECT_THAT(codes(), ElementsAre("model_broken"));
}

TEST_F(CheckupTest, ModelsHaveToFitIntoMemory) {
  std::filesystem::create_directories(folder_ / "root" / "proc");
  write("root/proc/meminfo", "MemFree: 9 kB\nMemTotal:   1 kB\n");
  options_.probe.root = folder_ / "root";
  EXPECT_THAT(codes(), IsEmpty());
  write("model.gguf", "GGUF" + std::string(2000, 'x'));
  EXPECT_THAT(codes(), ElementsAre("memory_too_small"));
}

TEST_F(CheckupTest, OneUploadHasToFitOnTheDisk) {
  options_.upload_bytes_max = std::uint64_t{1} << 60U;
  const auto findings = check_up(options_);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].code, "disk_full");
  EXPECT_EQ(findings[0].severity, gpu::Severity::warning);
}

TEST_F(CheckupTest, TheDatabaseIsOneOfSqlite) {
  options_.data = folder_;
  EXPECT_THAT(codes(), IsEmpty());
  write("gbgreg.sqlite", "");
  EXPECT_THAT(codes(), IsEmpty()) << "SQLite makes an empty file at first";
  write("gbgreg.sqlite", std::string("SQLite format 3\0 and so on", 26));
  EXPECT_THAT(codes(), IsEmpty());
  write("gbgreg.sqlite", "something else altogether");
  EXPECT_THAT(codes(), ElementsAre("database_broken"));
}

}  // namespace
}  // namespace gbgreg::services
