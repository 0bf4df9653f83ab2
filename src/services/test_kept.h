// For tests: uploads that are kept, without anything that receives them.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "core/ids.h"
#include "models/sha256.h"
#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::services {

class KeptTest : public testing::Test {
 protected:
  storage::Upload keep(const std::string& bytes, const std::string& name = "a.txt") {
    const std::string id = new_uuid(clock_.wall());
    auto writer = stores_->blobs->writer(id);
    EXPECT_TRUE(writer->write(bytes));
    const std::string sha256 = writer->seal().value();
    EXPECT_TRUE(stores_->blobs->keep(*writer));
    storage::Upload upload{.id = id,
                           .filename = name,
                           .original_filename = name,
                           .kind = "text",
                           .media_type = "text/plain",
                           .size_bytes = bytes.size(),
                           .sha256 = sha256,
                           .created_at = "t"};
    return stores_->uploads.insert(std::move(upload)).value();
  }
  void forget(const storage::Upload& upload) {
    EXPECT_TRUE(stores_->uploads.remove(upload.id));
    EXPECT_TRUE(stores_->blobs->remove(upload.sha256));
  }
  std::filesystem::path file_of(const std::string& sha256) const { return uploads() / sha256.substr(0, 2) / sha256; }
  std::filesystem::path database() const { return folder_.path() / "x.db"; }
  std::string database_url() const { return "sqlite://" + database().string(); }
  std::filesystem::path uploads() const { return folder_.path() / "uploads"; }
  static void write_file(const std::filesystem::path& path, const std::string& bytes) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
  }
  static std::string read_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  storage::TestFolder folder_;
  SystemClock clock_;
  storage::FailingDisk disk_;
  std::unique_ptr<storage::TestStores> stores_ = std::make_unique<storage::TestStores>(folder_.path(), disk_, clock_);
};

}  // namespace gbgreg::services
