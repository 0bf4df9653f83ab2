#include "services/module_package_fetch.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <chrono>
#include <fstream>

#include "services/run_program.h"

namespace gbgreg::services {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr std::uintmax_t kLibraryBytes = 64 * 1024;

// A cache, and an npm that does what a test says. The tarballs are made by tar.
class FetchModule : public testing::Test {
 protected:
  FetchModule() {
    std::string name = (fs::temp_directory_path() / "gbgreg-fetch-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::bad_alloc();
    folder_ = name;
    fs::create_directories(folder_ / "bin");
    npm("echo no network >&2; exit 1");
  }
  void TearDown() override { fs::remove_all(folder_); }

  void npm(const std::string& script) {
    const fs::path file = folder_ / "bin" / "npm";
    std::ofstream(file) << "#!/bin/sh\n" << script << "\n";
    fs::permissions(file, fs::perms(0755));
  }

  // The beginning of a library of this machine, which is all that is looked at.
  fs::path library() const {
    fs::path file = folder_ / "library";
    fs::copy_file("/proc/self/exe", file, fs::copy_options::overwrite_existing);
    fs::resize_file(file, kLibraryBytes);
    return file;
  }

  // A tarball with one file in it. Its digest becomes the pinned one.
  fs::path package_with(const fs::path& member) {
    fs::create_directories(folder_ / "source" / "package");
    fs::copy_file(member, folder_ / "source" / "package" / "module.so", fs::copy_options::overwrite_existing);
    const fs::path tarball = folder_ / "made.tgz";
    const fleet::Command tar{
        .program = "/usr/bin/env",
        .arguments = {"tar", "-czf", tarball.string(), "-C", (folder_ / "source").string(), "package/module.so"},
        .environment = {"PATH=/usr/bin:/bin"}};
    const auto end = run_program(tar, std::chrono::minutes(1),
                                 [](fleet::ChildProcess::Stream, std::string_view) { return AfterLine::go_on; });
    EXPECT_TRUE(end && end->is_well());
    integrity_ = integrity_of(tarball);
    return tarball;
  }
  void npm_brings(const fs::path& tarball) {
    npm("for word; do where=$word; done; cp '" + tarball.string() + "' \"$where/what-npm-calls-it.tgz\"");
  }

  Result<void> fetch() {
    const gpu::ModulePackage package{.name = "test",
                                     .package = "@scope/module@1.2.3",
                                     .integrity = integrity_,
                                     .member = "package/module.so",
                                     .file = "libggml-test.so",
                                     .device = "Test",
                                     .needs = {}};
    const PackageFetch options{.cache = folder_ / "cache",
                               .environment = {"PATH=" + (folder_ / "bin").string() + ":/usr/bin:/bin"}};
    return fetch_module(package, options, target_, [](std::string_view) {});
  }

  fs::path folder_;
  fs::path target_;
  std::string integrity_ = "sha512-none";

  void SetUp() override { target_ = folder_ / "libggml-test.so"; }
};

TEST_F(FetchModule, BringsTheModuleThatIsPinnedAndKeepsItsPackage) {
  npm_brings(package_with(library()));
  const auto fetched = fetch();
  ASSERT_TRUE(fetched) << fetched.error().message;
  EXPECT_EQ(fs::file_size(target_), kLibraryBytes);
  npm("exit 1");
  fs::remove(target_);
  EXPECT_TRUE(fetch()) << "the second time needs no network";
  EXPECT_TRUE(fs::exists(target_));
}

TEST_F(FetchModule, RefusesAnotherPackageThanThePinnedOne) {
  npm_brings(package_with(library()));
  integrity_ = "sha512-of-another";
  const auto fetched = fetch();
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code, "package_not_pinned");
  EXPECT_FALSE(fs::exists(target_));
  EXPECT_TRUE(fs::is_empty(folder_ / "cache" / "npm")) << "it is not kept either";
}

TEST_F(FetchModule, FetchesAgainWhenTheKeptPackageIsBroken) {
  npm_brings(package_with(library()));
  ASSERT_TRUE(fetch());
  for (const auto& kept : fs::directory_iterator(folder_ / "cache" / "npm")) fs::resize_file(kept.path(), 100);
  EXPECT_TRUE(fetch());
}

TEST_F(FetchModule, RefusesAModuleThatIsNoLibraryOfThisMachine) {
  std::ofstream(folder_ / "text") << "not a library";
  npm_brings(package_with(folder_ / "text"));
  const auto fetched = fetch();
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code, "module_for_another_machine");
  EXPECT_FALSE(fs::exists(target_));
}

TEST_F(FetchModule, SaysWhatNpmSaidWhenItFails) {
  const auto fetched = fetch();
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().kind, Kind::unavailable);
  EXPECT_THAT(fetched.error().message, HasSubstr("no network"));
}

TEST_F(FetchModule, SaysSoWhenNpmIsMissing) {
  fs::remove(folder_ / "bin" / "npm");
  const PackageFetch options{.cache = folder_ / "cache", .environment = {"PATH=" + (folder_ / "bin").string()}};
  const auto fetched = fetch_module(*gpu::module_package("vulkan"), options, target_, [](std::string_view) {});
  ASSERT_FALSE(fetched);
  EXPECT_THAT(fetched.error().message, HasSubstr("apt install npm"));
}

}  // namespace
}  // namespace gbgreg::services
