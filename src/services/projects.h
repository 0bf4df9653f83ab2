// The story of many files that come together, without HTTP: as a form of files or as an archive, they become a project
// that is there as a whole or not at all. Archives are unpacked by a child in a cage (intake/jail.h).
//
// The order is that of services/intake.h: bytes synced, renamed, folders synced, all rows committed as one, answer. A
// crash before the commit leaves bytes without rows, which the next start sweeps.
//
// Any I/O thread may call it. What blocks runs on the storage pool, and unpacking on a pool of its own, so that a long
// one keeps nobody waiting. Memory: a buffer for each project on its way, and some hundred bytes for each of its files.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "intake/options.h"
#include "services/intake.h"
#include "services/project_builder.h"
#include "storage/storage.h"

namespace gbgreg::services {

// Projects on their way in at once, as forms or as archives.
inline constexpr int kProjectsIncomingMax = 32;
inline constexpr std::size_t kProjectNameBytesMax = 200;

// What is said about a project besides its files.
struct ProjectFacts {
  std::optional<std::string> name = {};  // Else that of the archive, or of the folder that all files are in.
  std::optional<std::string> description = {};
};

struct NewProject {
  storage::Project project;
  std::vector<storage::ProjectFile> files;
  std::vector<RejectedEntry> rejected;
  std::optional<storage::Extraction> extraction = {};
};

class Projects;

// A form's files on their way in. Destroying it before Projects::finish() leaves nothing behind.
class IncomingProject {
 public:
  ~IncomingProject();
  IncomingProject(const IncomingProject&) = delete;
  IncomingProject& operator=(const IncomingProject&) = delete;

  // One file after the other; waits for the disk when the buffer is full. `name` is its relative path, as it came.
  // Errors: those of ProjectBuilder; too_large (files_too_large, names the limit). After an error the project is only
  // good for destruction.
  Task<Result<void>> begin_file(std::string_view name);
  Task<Result<void>> write(std::string_view piece);
  Task<Result<void>> end_file();

 private:
  friend class Projects;
  // Something that happened, in order; the bytes lie one behind the other in buffer_.
  struct Step {
    enum class What : std::uint8_t { begin, bytes, end };
    What what = What::bytes;
    std::size_t size = 0;  // Of a name, or of bytes.
  };

  IncomingProject(Projects& projects, std::uint64_t bytes_max, Place place);
  Task<Result<void>> add(Step::What what, std::string_view bytes);
  Task<Result<void>> flush();

  Projects& projects_;
  std::uint64_t bytes_max_;
  std::uint64_t bytes_ = 0;
  Place place_;
  std::vector<Step> steps_;
  std::string buffer_;
  // Shared with the job on the pool: at shutdown the task may be destroyed while that job still runs.
  std::shared_ptr<ProjectBuilder> builder_;
};

struct ProjectStores {
  storage::ProjectStore& projects;
  storage::BlobStore& blobs;
  storage::Reserve& reserve;
};

class Projects {
 public:
  // `unpacker` is the path of gbgreg-jail-unpack.
  Projects(asio::thread_pool& storage_pool, asio::thread_pool& unpack_pool, const ProjectStores& stores, Intake& intake,
           const Clock& clock, const intake::ArchiveLimits& limits, std::string unpacker);

  // `bytes_max` is what the files may have together. Errors: busy (too many projects on their way).
  Result<std::unique_ptr<IncomingProject>> begin(std::uint64_t bytes_max);
  // When this succeeds, the project is durable and listed. Errors: unavailable.
  Task<Result<NewProject>> finish(std::unique_ptr<IncomingProject> incoming, ProjectFacts facts);

  // Stores the archive and what is in it. Errors: refused (those of ArchiveReader and run_jail: nothing is left
  // behind), busy, unavailable.
  Task<Result<NewProject>> unpack(std::unique_ptr<Incoming> archive, FileFacts archive_facts, ProjectFacts facts);

  // Errors: those of storage::ProjectStore.
  Task<Result<storage::ProjectPage>> list(int limit, std::string cursor);
  struct Found {
    storage::Project project;
    std::optional<storage::Extraction> extraction;
  };
  Task<Result<Found>> find(std::string id);
  Task<Result<storage::FilePage>> files(std::string id, storage::FileQuery query);
  // Errors: those of Intake::open.
  Task<Result<std::unique_ptr<Outgoing>>> open_file(std::string id, std::string path);
  // Works on a full disk too, as long as the reserve does. What it was. Errors: not_found, unavailable.
  Task<Result<storage::Project>> remove(std::string id);

  // Ends what is being unpacked, which fails then. For the shutdown, before the pools are joined.
  void stop() { is_stopping_ = true; }

 private:
  friend class IncomingProject;

  // An archive and its text, for the pool.
  struct ArchiveJob {
    std::shared_ptr<storage::BlobWriter> writer;
    std::string rest;    // Of its bytes.
    std::string sample;  // Its front.
    std::uint64_t size_bytes = 0;
    FileFacts archive_facts;
    ProjectFacts facts;
  };

  // The blocking halves.
  Result<NewProject> unpack_now(ArchiveJob& job);
  Result<void> read_archive(const storage::BlobWriter& archive, ProjectBuilder& builder, std::uint64_t size_bytes);
  Result<NewProject> store(ProjectBuilder& builder, const ProjectFacts& facts, storage::StoredArchive* archive,
                           storage::BlobWriter* archive_bytes);
  Result<void> keep_and_insert(ProjectBuilder& builder, const storage::Project& project,
                               storage::StoredArchive* archive, storage::BlobWriter* archive_bytes);
  Result<storage::Project> remove_now(const std::string& id);
  UnknownBinaries unknown_binaries() const;
  std::optional<Place> take_place();

  asio::thread_pool& storage_pool_;
  asio::thread_pool& unpack_pool_;
  ProjectStores stores_;
  Intake& intake_;
  const Clock& clock_;
  const intake::ArchiveLimits limits_;
  std::string unpacker_;
  std::atomic<int> incoming_ = 0;
  std::atomic<bool> is_stopping_ = false;
};

}  // namespace gbgreg::services
