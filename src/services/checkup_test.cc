#include "services/checkup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "net/listening.h"

namespace gbgreg::services {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

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

TEST_F(CheckupTest, SaysWhatTheProgramThatOpensArchivesLacks) {
  struct Case {
    const char* script;
    std::vector<std::string> codes;
  };
  const Case cases[] = {
      {R"(printf 'C\003\000\000\000111')", {}},
      {R"(printf 'C\003\000\000\000101')", {"jail_without_landlock"}},
      {R"(printf 'C\003\000\000\000010')", {"jail_without_namespaces", "jail_without_seccomp"}},
      {R"(printf 'C\001\000\000\0001')", {"jail_broken"}},
      {"exit 1", {"jail_broken"}},
      {"kill -9 $$", {"jail_broken"}},
  };
  options_.jail = folder_;
  EXPECT_THAT(codes(), ElementsAre("jail_missing", "jail_missing"));
  std::filesystem::permissions(write("gbgreg-jail-look", ""), std::filesystem::perms::owner_all);
  EXPECT_THAT(codes(), ElementsAre("jail_missing"));
  for (const Case& each : cases) {
    const auto program = write("gbgreg-jail-unpack", std::string("#!/bin/sh\n") + each.script + "\n");
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    EXPECT_EQ(codes(), each.codes) << each.script;
  }
}

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

TEST_F(CheckupTest, AnEngineHasToFindItsLibrariesAndItsInterpreter) {
  std::filesystem::create_directory(folder_ / "engine");
  options_.engine = folder_ / "engine";
  EXPECT_THAT(codes(), ElementsAre("engine_missing")) << "a folder may be entered, and not run";
  options_.engine = write("engine.sh", "#!/no/such/interpreter\n");
  std::filesystem::permissions(options_.engine, std::filesystem::perms::owner_all);
  EXPECT_THAT(codes(), ElementsAre("engine_not_runnable"));
  options_.engine = write("engine.bin",
                          "\x7f"
                          "ELF, and no program of this machine");
  std::filesystem::permissions(options_.engine, std::filesystem::perms::owner_all);
  EXPECT_THAT(codes(), ElementsAre("engine_not_runnable"));
}

// It would leave a trace if it ran.
TEST_F(CheckupTest, AnEngineIsNotRun) {
  options_.engine = write("engine.sh", "#!/bin/sh\ntouch " + (folder_ / "has_run").string() + "\n");
  std::filesystem::permissions(options_.engine, std::filesystem::perms::owner_all);
  EXPECT_THAT(codes(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(folder_ / "has_run"));
}

TEST_F(CheckupTest, ModelsHaveToBeWhole) {
  std::ifstream recorded(RECORDED_MEMORY "/tiny.header", std::ios::binary);
  const std::string header{std::istreambuf_iterator<char>(recorded), std::istreambuf_iterator<char>()};
  options_.workers[0].model_file = write("tiny.gguf", header);
  EXPECT_THAT(codes(), ElementsAre("model_truncated"));
  std::filesystem::resize_file(options_.workers[0].model_file, 8'000'000);
  EXPECT_THAT(codes(), IsEmpty());
}

TEST_F(CheckupTest, AllPartsOfAModelHaveToBeThere) {
  options_.workers[0].model_file = write("x-00001-of-00003.gguf", "GGUF and more");
  write("x-00003-of-00003.gguf", "<!DOCTYPE html>");
  const auto findings = check_up(options_);
  ASSERT_THAT(codes(), ElementsAre("model_part_missing"));
  EXPECT_THAT(findings[0].evidence, ElementsAre(testing::HasSubstr("x-00002-of-00003.gguf")));
  write("x-00002-of-00003.gguf", "GGUF and more");
  EXPECT_THAT(codes(), ElementsAre("model_broken")) << "each part is looked at";
  write("x-00003-of-00003.gguf", "GGUF and more");
  EXPECT_THAT(codes(), IsEmpty());
  options_.workers[0].model_file = folder_ / "x-00002-of-00003.gguf";
  ASSERT_THAT(codes(), ElementsAre("model_part_missing"));
  EXPECT_THAT(check_up(options_)[0].fix, testing::HasSubstr("x-00001-of-00003.gguf"));
}

TEST_F(CheckupTest, PartsOfAModelAreWeighedTogether) {
  std::filesystem::create_directories(folder_ / "root" / "proc");
  write("root/proc/meminfo", "MemTotal:   1 kB\n");
  options_.probe.root = folder_ / "root";
  options_.workers[0].model_file = write("x-00001-of-00002.gguf", "GGUF" + std::string(600, 'x'));
  write("x-00002-of-00002.gguf", "GGUF" + std::string(600, 'x'));
  EXPECT_THAT(codes(), ElementsAre("memory_too_small"));
}

TEST_F(CheckupTest, AddressesHaveToBeFree) {
  const auto taken = net::open_listener(net::parse_listen_address("127.0.0.1:0")->endpoint, net::PortSharing::none);
  ASSERT_TRUE(taken);
  const std::string address = net::listen_text({.endpoint = net::local_endpoint(taken->get())});
  options_.listen = {"127.0.0.1:0", "unix:/no/such/folder/x.sock"};
  EXPECT_THAT(codes(), IsEmpty());
  options_.listen.push_back(address);
  EXPECT_THAT(codes(), ElementsAre("port_taken"));
  options_.listen = {"192.0.2.1:3333"};
  EXPECT_THAT(codes(), ElementsAre("address_not_usable")) << "it is nobody's address";
}

TEST_F(CheckupTest, TheDataFolderIsAFolder) {
  options_.data = folder_ / "model.gguf" / "data";
  EXPECT_THAT(codes(), ElementsAre("data_not_writable"));
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
  write("gbgreg.sqlite", "something else altogether" + std::string(600, '.'));
  EXPECT_THAT(codes(), ElementsAre("database_broken"));
  std::filesystem::remove(folder_ / "gbgreg.sqlite");
  std::filesystem::create_directory(folder_ / "gbgreg.sqlite");
  EXPECT_THAT(codes(), ElementsAre("database_unreadable"));
}

TEST_F(CheckupTest, TheServerOfTheDatabaseIsAskedWhereThereIsOne) {
  options_.database_url = "postgresql://gbgreg:hunter2@/gbgreg?host=" + folder_.string();
  const auto findings = check_up(options_);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].code, "database_unreachable");
  ASSERT_EQ(findings[0].evidence.size(), 1U);
  EXPECT_THAT(findings[0].evidence[0], HasSubstr(folder_.string()));
  EXPECT_THAT(findings[0].evidence[0], Not(HasSubstr("hunter2")));
  options_.database_url = "sqlite://" + write("elsewhere.db", std::string(700, '.')).string();
  EXPECT_THAT(codes(), ElementsAre("database_broken"));
}

}  // namespace
}  // namespace gbgreg::services
