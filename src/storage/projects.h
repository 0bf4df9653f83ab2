// The rows of projects: many files that came together, by their paths, and the archives that they came from. Their
// bytes are blob_store.h's.
//
// Blocking: for the storage pool. Any thread may use it.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "storage/database.h"
#include "storage/uploads.h"

namespace gbgreg::storage {

// All text is valid UTF-8 without NUL.
struct Project {
  std::string id;
  std::string name;
  std::optional<std::string> description = {};
  std::string status = "ready";  // "indexing", "ready", "failed".
  std::uint64_t file_count = 0;
  std::uint64_t size_bytes = 0;
  std::string languages_json = "{}";  // How many files are in which: {"C++":12}.
  std::string created_at;             // RFC 3339.

  bool operator==(const Project&) const = default;
};

struct ProjectFile {
  std::string path;  // Relative, with '/', in NFC. Data: never a path on our disk.
  std::string kind;  // As an upload's.
  std::string media_type;
  std::optional<std::string> language = {};
  std::uint64_t size_bytes = 0;
  std::string sha256;

  bool operator==(const ProjectFile&) const = default;
};

// How an archive became a project.
struct Extraction {
  std::string id;
  std::string archive_upload_id;
  std::uint64_t entries_total = 0;
  std::uint64_t entries_extracted = 0;
  std::uint64_t entries_rejected = 0;
  std::uint64_t bytes_extracted = 0;
  std::int64_t duration_ms = 0;

  bool operator==(const Extraction&) const = default;
};

// An archive and what became of it, stored as one.
struct StoredArchive {
  Upload upload;
  Extraction extraction;
};

struct ProjectPage {
  std::vector<Project> projects;  // Newest first.
  std::optional<std::string> next_cursor;
};

struct FileQuery {
  int limit = 1'000;
  std::string after = {};   // The last path of the page before, or empty.
  std::string folder = {};  // Only below this one ("src/net"), or empty for all.
};

struct FilePage {
  std::vector<ProjectFile> files;  // By their paths' bytes.
  std::optional<std::string> next_after;
};

class ProjectStore {
 public:
  static constexpr int kFilesMax = 10'000;  // Of one page.

  ProjectStore(Database& database, int list_limit_max) : database_(database), list_limit_max_(list_limit_max) {}

  // All of it in one transaction, or nothing. The archive's duplicate_of comes back in it.
  Result<void> insert(const Project& project, const std::vector<ProjectFile>& files, StoredArchive* archive);

  // Errors: not_found.
  Result<Project> find(std::string_view id);
  Result<ProjectFile> find_file(std::string_view id, std::string_view path);
  // Nothing when the project is not of an archive. Errors: not_found.
  Result<std::optional<Extraction>> extraction(std::string_view id);

  // Errors: malformed (a cursor that we did not make, a limit out of bounds).
  Result<ProjectPage> list(int limit, std::string_view cursor);
  // Errors: not_found, malformed.
  Result<FilePage> files(std::string_view id, const FileQuery& query);

  // Forgets the project, its files and the archive that it came from. Gives back the digests that no row names any
  // more. Errors: not_found.
  Result<std::set<std::string>> remove(std::string_view id);

 private:
  Database& database_;
  int list_limit_max_;
};

}  // namespace gbgreg::storage
