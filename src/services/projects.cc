#include "services/projects.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <exception>

#include "intake/intake.h"
#include "intake/jail.h"
#include "intake/step_back.h"
#include "services/archive_reader.h"

namespace gbgreg::services {
namespace {

// So many files of a form may wait in the buffer before they are written, whatever few bytes they have.
constexpr std::size_t kStepsMax = 1'024;
// What the heads of messages and entries may take beside the bytes that they are about.
constexpr std::uint64_t kHeadBytesMax = 8 * 1024;

std::unexpected<Error> too_many_projects() {
  return std::unexpected(
      Error{.kind = Kind::busy,
            .code = "too_many_projects",
            .message = "Too many projects are being uploaded at once. Send this one again in a moment.",
            .retry_after_seconds = 5});
}

std::unexpected<Error> files_too_large(std::uint64_t bytes_max) {
  return std::unexpected(
      Error{.kind = Kind::too_large,
            .code = "files_too_large",
            .message = "The files of one upload may have at most " + std::to_string(bytes_max) +
                       " bytes together (limits.upload_bytes_max). Send fewer, or raise the limit.",
            .details_json = R"({"limit":"limits.upload_bytes_max","limit_bytes":)" + std::to_string(bytes_max) + "}"});
}

// "gbgreg" of "gbgreg.tar.gz".
std::string without_extensions(std::string name) {
  for (const std::string_view end : {".zip", ".tar", ".tgz", ".7z", ".tar.gz", ".tar.zst", ".tar.xz", ".tar.bz2"}) {
    if (name.size() > end.size() && intake::lower(name).ends_with(end)) name.resize(name.size() - end.size());
  }
  return name;
}

// The folder that all the files are in, if there is one.
std::string folder_of_all(const std::vector<storage::ProjectFile>& files) {
  if (files.empty()) return {};
  const std::string& first = files.front().path;
  const std::string folder = first.substr(0, first.find('/') + 1);
  const bool is_of_all =
      !folder.empty() && std::ranges::all_of(files, [&](const auto& file) { return file.path.starts_with(folder); });
  return is_of_all ? folder.substr(0, folder.size() - 1) : std::string{};
}

std::string name_for(const ProjectFacts& facts, const std::vector<storage::ProjectFile>& files,
                     const storage::StoredArchive* archive) {
  if (facts.name && !facts.name->empty()) return *facts.name;
  std::string name = archive == nullptr ? folder_of_all(files) : without_extensions(archive->upload.filename);
  return name.empty() ? "project" : std::string(cut_utf8(name, kProjectNameBytesMax));
}

}  // namespace

IncomingProject::IncomingProject(Projects& projects, std::uint64_t bytes_max, Place place)
    : projects_(projects),
      bytes_max_(bytes_max),
      place_(std::move(place)),
      builder_(std::make_shared<ProjectBuilder>(projects.stores_.blobs, projects.clock_, projects.limits_,
                                                projects.unknown_binaries())) {}

IncomingProject::~IncomingProject() {
  if (!builder_) return;
  // The last owner removes the temporary files, which may take the disk a while: not on this thread.
  try {
    asio::post(projects_.storage_pool_, [builder = std::move(builder_)]() mutable { builder.reset(); });
  } catch (const std::exception& error) {
    spdlog::warn("an abandoned project was removed on an I/O thread: {}", error.what());
  }
}

Task<Result<void>> IncomingProject::begin_file(std::string_view name) { return add(Step::What::begin, name); }

Task<Result<void>> IncomingProject::write(std::string_view piece) {
  if (piece.size() > bytes_max_ - bytes_) co_return files_too_large(bytes_max_);
  bytes_ += piece.size();
  while (!piece.empty()) {
    const std::string_view fits = piece.substr(0, kBufferBytes);
    piece.remove_prefix(fits.size());
    auto added = co_await add(Step::What::bytes, fits);
    if (!added) co_return added;
  }
  co_return Result<void>{};
}

Task<Result<void>> IncomingProject::end_file() { return add(Step::What::end, {}); }

Task<Result<void>> IncomingProject::add(Step::What what, std::string_view bytes) {
  steps_.push_back({.what = what, .size = bytes.size()});
  buffer_.append(bytes);
  if (buffer_.size() < kBufferBytes && steps_.size() < kStepsMax) co_return Result<void>{};
  co_return co_await flush();
}

Task<Result<void>> IncomingProject::flush() {
  auto work = [builder = builder_, steps = std::exchange(steps_, {}), buffer = std::exchange(buffer_, {})] {
    std::string_view rest = buffer;
    for (const Step& step : steps) {
      const std::string_view bytes = rest.substr(0, step.size);
      rest.remove_prefix(step.size);
      Result<void> done;
      if (step.what == Step::What::begin) done = builder->begin_file(bytes, intake::OtherBytes::are_faults);
      if (step.what == Step::What::bytes) done = builder->write(bytes);
      if (step.what == Step::What::end) done = builder->end_file();
      if (!done) return done;
    }
    return Result<void>{};
  };
  co_return co_await offload(projects_.storage_pool_, std::move(work));
}

Projects::Projects(asio::thread_pool& storage_pool, asio::thread_pool& unpack_pool, const ProjectStores& stores,
                   Intake& intake, const Clock& clock, const intake::ArchiveLimits& limits, std::string unpacker)
    : storage_pool_(storage_pool),
      unpack_pool_(unpack_pool),
      stores_(stores),
      intake_(intake),
      clock_(clock),
      limits_(limits),
      unpacker_(std::move(unpacker)) {}

UnknownBinaries Projects::unknown_binaries() const {
  return intake_.takes_unknown_binaries() ? UnknownBinaries::are_taken : UnknownBinaries::are_rejected;
}

std::optional<Place> Projects::take_place() {
  const int others = incoming_++;
  Place place(&incoming_);
  if (others >= kProjectsIncomingMax) return std::nullopt;
  return place;
}

Result<std::unique_ptr<IncomingProject>> Projects::begin(std::uint64_t bytes_max) {
  auto place = take_place();
  if (!place) return too_many_projects();
  return std::unique_ptr<IncomingProject>(new IncomingProject(*this, bytes_max, std::move(*place)));
}

Task<Result<NewProject>> Projects::finish(std::unique_ptr<IncomingProject> incoming, ProjectFacts facts) {
  auto flushed = co_await incoming->flush();
  if (!flushed) co_return std::unexpected(std::move(flushed.error()));
  auto work = [this, builder = incoming->builder_, facts = std::move(facts)] {
    return store(*builder, facts, nullptr, nullptr);
  };
  co_return co_await offload(storage_pool_, std::move(work));
}

Task<Result<NewProject>> Projects::unpack(std::unique_ptr<Incoming> archive, FileFacts archive_facts,
                                          ProjectFacts facts) {
  auto place = take_place();
  if (!place) co_return too_many_projects();
  auto job = std::make_unique<ArchiveJob>(ArchiveJob{.writer = archive->writer_,
                                                     .rest = std::move(archive->buffer_),
                                                     .sample = std::move(archive->sample_),
                                                     .size_bytes = archive->size_bytes_,
                                                     .archive_facts = std::move(archive_facts),
                                                     .facts = std::move(facts)});
  auto work = [this, job = std::move(job)] { return unpack_now(*job); };
  co_return co_await offload(unpack_pool_, std::move(work));
}

Result<NewProject> Projects::unpack_now(ArchiveJob& job) {
  intake::step_back(::gettid());
  const auto began = clock_.steady();
  if (auto written = job.writer->write(job.rest); !written) return std::unexpected(std::move(written.error()));
  auto sha256 = job.writer->seal();
  if (!sha256) return std::unexpected(std::move(sha256.error()));

  ProjectBuilder builder(stores_.blobs, clock_, limits_, unknown_binaries());
  if (auto read = read_archive(*job.writer, builder, job.size_bytes); !read) {
    return std::unexpected(std::move(read.error()));
  }
  const WallTime now = clock_.wall();
  storage::StoredArchive archive;
  archive.upload = describe_upload(new_uuid(now), now, job.sample, job.size_bytes, job.archive_facts);
  archive.upload.sha256 = std::move(*sha256);
  archive.extraction = {
      .id = new_uuid(now),
      .archive_upload_id = archive.upload.id,
      .entries_total = builder.entries(),
      .entries_extracted = builder.entries() - builder.rejected().size(),
      .entries_rejected = builder.rejected().size(),
      .bytes_extracted = builder.bytes_taken(),
      .duration_ms = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.steady() - began).count()};
  return store(builder, job.facts, &archive, job.writer.get());
}

Result<void> Projects::read_archive(const storage::BlobWriter& archive, ProjectBuilder& builder,
                                    std::uint64_t size_bytes) {
  auto file = stores_.blobs.read_unkept(archive);
  if (!file) return std::unexpected(std::move(file.error()));
  const intake::JailCommand command{
      .program = unpacker_,
      .arguments = {std::to_string(limits_.entries_max), std::to_string(limits_.bytes_max),
                    std::to_string(limits_.ratio_max), std::to_string(limits_.ratio_from_bytes),
                    std::to_string(limits_.seconds_max)},
      .input = file->get(),
      .time_max = std::chrono::seconds(limits_.seconds_max),
      .output_bytes_max = 2 * limits_.bytes_max + (limits_.entries_max + 1) * kHeadBytesMax};
  ArchiveReader reader(builder, limits_, size_bytes);
  auto ran =
      intake::run_jail(command, is_stopping_, [&](const intake::JailMessage& message) { return reader.take(message); });
  return ran ? reader.finish() : ran;
}

Result<NewProject> Projects::store(ProjectBuilder& builder, const ProjectFacts& facts, storage::StoredArchive* archive,
                                   storage::BlobWriter* archive_bytes) {
  // Before the locks, because this is what takes long.
  if (auto synced = stores_.blobs.sync_all(builder.writers()); !synced) return std::unexpected(synced.error());

  // Both the id and created_at are of this moment, so that pages ordered by id are ordered by time.
  const WallTime now = clock_.wall();
  NewProject stored;
  stored.project = {.id = new_uuid(now),
                    .name = name_for(facts, builder.files(), archive),
                    .description = facts.description,
                    .file_count = builder.files().size(),
                    .size_bytes = builder.bytes_taken(),
                    .languages_json = builder.languages_json(),
                    .created_at = rfc3339(now)};
  const StoredBytes::AllLocks locks = intake_.bytes().lock_all();
  if (auto kept = keep_and_insert(builder, stored.project, archive, archive_bytes); !kept) {
    for (const storage::ProjectFile& file : builder.files()) intake_.bytes().remove_if_unused(file.sha256);
    if (archive != nullptr) intake_.bytes().remove_if_unused(archive->upload.sha256);
    return std::unexpected(std::move(kept.error()));
  }
  stored.files = std::move(builder.files());
  stored.rejected = std::move(builder.rejected());
  if (archive != nullptr) stored.extraction = archive->extraction;
  return stored;
}

Result<void> Projects::keep_and_insert(ProjectBuilder& builder, const storage::Project& project,
                                       storage::StoredArchive* archive, storage::BlobWriter* archive_bytes) {
  if (archive_bytes != nullptr) {
    if (auto kept = stores_.blobs.keep(*archive_bytes); !kept) return kept;
  }
  if (auto kept = stores_.blobs.keep_all(builder.writers()); !kept) return kept;
  return stores_.projects.insert(project, builder.files(), archive);
}

Task<Result<storage::ProjectPage>> Projects::list(int limit, std::string cursor) {
  auto work = [this, limit, cursor = std::move(cursor)] { return stores_.projects.list(limit, cursor); };
  co_return co_await offload(storage_pool_, std::move(work));
}

Task<Result<Projects::Found>> Projects::find(std::string id) {
  auto work = [this, id = std::move(id)]() -> Result<Found> {
    auto project = stores_.projects.find(id);
    if (!project) return std::unexpected(std::move(project.error()));
    auto extraction = stores_.projects.extraction(id);
    if (!extraction) return std::unexpected(std::move(extraction.error()));
    return Found{.project = std::move(*project), .extraction = std::move(*extraction)};
  };
  co_return co_await offload(storage_pool_, std::move(work));
}

Task<Result<storage::FilePage>> Projects::files(std::string id, storage::FileQuery query) {
  auto work = [this, id = std::move(id), query = std::move(query)] { return stores_.projects.files(id, query); };
  co_return co_await offload(storage_pool_, std::move(work));
}

Task<Result<std::unique_ptr<Outgoing>>> Projects::open_file(std::string id, std::string path) {
  FindFile find = [this, id = std::move(id), path = std::move(path)]() -> Result<StoredFile> {
    auto file = stores_.projects.find_file(id, path);
    if (!file) return std::unexpected(std::move(file.error()));
    return StoredFile{.filename = intake::safe_filename(file->path),
                      .kind = std::move(file->kind),
                      .media_type = std::move(file->media_type),
                      .size_bytes = file->size_bytes,
                      .sha256 = std::move(file->sha256)};
  };
  co_return co_await intake_.open_found(std::move(find));
}

Task<Result<storage::Project>> Projects::remove(std::string id) {
  auto work = [this, id = std::move(id)] { return remove_now(id); };
  co_return co_await offload(storage_pool_, std::move(work));
}

Result<storage::Project> Projects::remove_now(const std::string& id) {
  auto project = stores_.projects.find(id);
  if (!project) return project;
  const storage::ReserveKeeper keeper(stores_.reserve);
  const StoredBytes::AllLocks locks = intake_.bytes().lock_all();
  auto unused = stores_.projects.remove(id);
  if (!unused && storage::may_lack_room(unused.error())) {
    stores_.reserve.release();
    unused = stores_.projects.remove(id);
  }
  if (!unused) return std::unexpected(std::move(unused.error()));
  // The project is gone once its rows are.
  for (const std::string& digest : *unused) intake_.bytes().remove(digest);
  return project;
}

}  // namespace gbgreg::services
