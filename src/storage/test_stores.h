// For tests: database, rows and blobs in a folder of the test, joined as the gateway joins them.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "core/clock.h"
#include "storage/storage.h"

namespace gbgreg::storage {

struct TestStores {
  TestStores(const std::filesystem::path& folder, Disk& disk, const Clock& clock)
      : TestStores(folder, disk, clock, "sqlite://" + (folder / "x.db").string()) {}
  TestStores(const std::filesystem::path& folder, Disk& disk, const Clock& clock, std::string database_url)
      : options{.database_url = std::move(database_url), .uploads_folder = folder / "uploads"},
        reserve(folder / "reserve", disk),
        database(std::move(open_database(options, clock, reserve).value())),
        blobs(std::move(BlobStore::open(options.uploads_folder, disk).value())),
        uploads(*database, options.list_limit_max),
        projects(*database, options.list_limit_max),
        screenshots(*database),
        requests(*database),
        keys(*database),
        key_shares(*database),
        audit(*database) {}

  Options options;
  Reserve reserve;
  std::unique_ptr<Database> database;
  std::unique_ptr<BlobStore> blobs;
  UploadStore uploads;
  ProjectStore projects;
  ScreenshotStore screenshots;
  RequestStore requests;
  KeyStore keys;
  KeyShares key_shares;
  AuditStore audit;
};

}  // namespace gbgreg::storage
