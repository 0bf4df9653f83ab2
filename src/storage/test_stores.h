// For tests: database, rows and blobs in a folder of the test, joined as the gateway joins them.
#pragma once

#include <filesystem>
#include <memory>
#include <utility>

#include "core/clock.h"
#include "storage/storage.h"

namespace gbgreg::storage {

struct TestStores {
  TestStores(const std::filesystem::path& folder, Disk& disk, const Clock& clock)
      : options{.database_url = "sqlite://" + (folder / "x.db").string(), .uploads_folder = folder / "uploads"},
        reserve(folder / "reserve", disk),
        database(std::move(open_database(options, clock, reserve).value())),
        blobs(std::move(BlobStore::open(options.uploads_folder, disk).value())),
        uploads(*database, options.list_limit_max),
        projects(*database, options.list_limit_max),
        screenshots(*database) {}

  Options options;
  Reserve reserve;
  std::unique_ptr<Database> database;
  std::unique_ptr<BlobStore> blobs;
  UploadStore uploads;
  ProjectStore projects;
  ScreenshotStore screenshots;
};

}  // namespace gbgreg::storage
