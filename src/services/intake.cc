#include "services/intake.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>

#include "intake/intake.h"

namespace gbgreg::services {
namespace {

std::unexpected<Error> too_large(std::uint64_t bytes_max) {
  Error error{.kind = Kind::too_large,
              .code = "file_too_large",
              .message = "A file may have at most " + std::to_string(bytes_max) +
                         " bytes (limits.upload_bytes_max). Send a smaller one, or raise the limit.",
              .details_json = R"({"limit":"limits.upload_bytes_max","limit_bytes":)" + std::to_string(bytes_max) + "}"};
  return std::unexpected(std::move(error));
}

std::unexpected<Error> too_many(std::string code, std::string message) {
  Error error{.kind = Kind::busy, .code = std::move(code), .message = std::move(message), .retry_after_seconds = 2};
  return std::unexpected(std::move(error));
}

// What the owner should know about the bytes that the sweep found to belong to no upload, or to be missing.
void say_swept(const storage::SweepReport& report, const std::string& lost_folder) {
  if (report.unfinished_removed > 0) spdlog::info("removed {} unfinished uploads", report.unfinished_removed);
  if (report.blobs_taken_back > 0) spdlog::info("took back {} files from {}", report.blobs_taken_back, lost_folder);
  if (report.orphans_stuck > 0) {
    spdlog::warn("{} files that no upload uses could not be moved to {} and stay where they are", report.orphans_stuck,
                 lost_folder);
  }
  if (report.lost_files > 0) {
    spdlog::warn(
        "{} files that no upload uses ({} bytes) are in {}, {} of them since this start. If the database was moved "
        "away or restored from an older backup, stop the gateway, put the right one back and start it again: they "
        "return to their uploads. If nobody wants them, delete that folder.",
        report.lost_files, report.lost_bytes, lost_folder, report.orphans_set_aside);
  }
  if (report.blobs_missing > 0) spdlog::error("the bytes of {} uploads are missing", report.blobs_missing);
}

// Without libmagic's database nobody can tell, and then nothing is refused.
bool is_unknown_binary(const storage::Upload& upload) {
  const auto content = intake::content_named(upload.kind);
  return content && intake::is_unknown_binary(*content, upload.media_type) && intake::has_magic_database();
}

std::unexpected<Error> not_accepted(const storage::Upload& upload) {
  return std::unexpected(Error{
      .kind = Kind::unsupported_type,
      .code = "file_type_not_accepted",
      .message = "This is neither text, code, an image, a document, an archive nor data of a known type, but " +
                 upload.media_type +
                 ": send it as one of these, or have uploads.allow_unknown_binaries set in the configuration.",
      .details_json = R"({"media_type":")" + upload.media_type + R"(","setting":"uploads.allow_unknown_binaries"})"});
}

}  // namespace

Incoming::Incoming(Intake& intake, std::string id, std::uint64_t bytes_max)
    : intake_(intake), id_(std::move(id)), bytes_max_(bytes_max), writer_(intake.blobs_.writer(id_)) {
  ++intake_.incoming_;
}

Incoming::~Incoming() {
  --intake_.incoming_;
  if (!writer_) return;
  // The last owner removes the temporary file, which may take the disk a while: not on this thread.
  try {
    asio::post(intake_.pool_, [writer = std::move(writer_)]() mutable { writer.reset(); });
  } catch (const std::exception& error) {
    spdlog::warn("an abandoned upload was removed on an I/O thread: {}", error.what());
  }
}

Task<Result<void>> Incoming::write(std::string_view piece) {
  if (piece.size() > bytes_max_ - size_bytes_) co_return too_large(bytes_max_);
  size_bytes_ += piece.size();
  if (sample_.size() < intake::kSampleBytes) sample_.append(piece.substr(0, intake::kSampleBytes - sample_.size()));
  while (!piece.empty()) {
    const std::string_view fits = piece.substr(0, kBufferBytes - buffer_.size());
    buffer_.append(fits);
    piece.remove_prefix(fits.size());
    if (buffer_.size() < kBufferBytes) break;
    auto flushed = co_await flush();
    if (!flushed) co_return flushed;
  }
  co_return Result<void>{};
}

Task<Result<void>> Incoming::flush() {
  struct Written {
    Result<void> outcome;
    std::string buffer;  // Comes back to be filled again.
  };
  auto work = [writer = writer_, buffer = std::move(buffer_)]() mutable {
    auto outcome = writer->write(buffer);
    buffer.clear();
    return Written{std::move(outcome), std::move(buffer)};
  };
  Written written = co_await offload(intake_.pool_, std::move(work));
  buffer_ = std::move(written.buffer);
  co_return std::move(written.outcome);
}

Outgoing::Outgoing(asio::thread_pool& pool, StoredFile file, storage::Blob blob, Place place)
    : pool_(pool),
      file_(std::move(file)),
      place_(std::move(place)),
      blob_(std::make_shared<const storage::Blob>(std::move(blob))) {}

Task<Result<std::string_view>> Outgoing::read(std::uint64_t offset, std::uint64_t size_max) {
  struct Read {
    Result<std::size_t> outcome;
    std::string buffer;
  };
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(size_max, kBufferBytes));
  auto work = [blob = blob_, offset, size, buffer = std::move(buffer_)]() mutable {
    if (buffer.size() < size) buffer.resize(size);
    auto outcome = blob->read_at(offset, buffer.data(), size);
    return Read{std::move(outcome), std::move(buffer)};
  };
  Read read = co_await offload(pool_, std::move(work));
  buffer_ = std::move(read.buffer);
  if (!read.outcome) co_return std::unexpected(std::move(read.outcome.error()));
  co_return std::string_view(buffer_).substr(0, *read.outcome);
}

Intake::Intake(asio::thread_pool& pool, storage::UploadStore& uploads, storage::BlobStore& blobs,
               storage::Reserve& reserve, const Clock& clock)
    : pool_(pool), uploads_(uploads), blobs_(blobs), reserve_(reserve), clock_(clock), bytes_(uploads, blobs) {}

Result<storage::SweepReport> Intake::sweep() {
  if (!intake::has_magic_database()) spdlog::warn("libmagic's database is missing: binary files will be of kind data");
  auto report = blobs_.sweep([this](std::string_view digits) { return uploads_.digests(digits); });
  if (!report) return report;
  say_swept(*report, blobs_.lost_folder().string());
  reserve_.hold();
  return report;
}

Result<std::unique_ptr<Incoming>> Intake::begin(std::uint64_t bytes_max) {
  if (incoming_ >= kIncomingMax) {
    return too_many("too_many_uploads", "Too many files are being uploaded at once. Send this one again in a moment.");
  }
  return std::unique_ptr<Incoming>(new Incoming(*this, new_uuid(clock_.wall()), bytes_max));
}

Task<Result<storage::Upload>> Intake::finish(std::unique_ptr<Incoming> incoming, FileFacts facts) {
  // Both the id and created_at are of this moment, so that pages ordered by id are ordered by time.
  const WallTime now = clock_.wall();
  auto work = [this, now, id = new_uuid(now), writer = incoming->writer_, rest = std::move(incoming->buffer_),
               sample = std::move(incoming->sample_), size_bytes = incoming->size_bytes_,
               facts = std::move(facts)]() -> Result<storage::Upload> {
    storage::Upload upload = describe_upload(id, now, sample, size_bytes, facts);
    if (!unknown_binaries_allowed_ && is_unknown_binary(upload)) return not_accepted(upload);
    auto written = writer->write(rest);
    if (!written) return std::unexpected(std::move(written.error()));
    auto stored = store(*writer, std::move(upload));
    if (stored) {
      ++stored_;
      stored_bytes_ += stored->size_bytes;
    }
    return stored;
  };
  co_return co_await offload(pool_, std::move(work));
}

Result<storage::Upload> Intake::store(storage::BlobWriter& writer, storage::Upload upload) {
  auto sha256 = writer.seal();
  if (!sha256) return std::unexpected(std::move(sha256.error()));
  upload.sha256 = std::move(*sha256);

  const StoredBytes::Lock lock = bytes_.lock(upload.sha256);
  const std::string digest = upload.sha256;
  auto stored = keep_and_insert(writer, std::move(upload));
  if (!stored) bytes_.remove_if_unused(digest);
  return stored;
}

Result<storage::Upload> Intake::keep_and_insert(storage::BlobWriter& writer, storage::Upload upload) {
  auto kept = blobs_.keep(writer);
  if (!kept) return std::unexpected(std::move(kept.error()));
  return uploads_.insert(std::move(upload));
}

IntakeFigures Intake::figures() const {
  return {.stored = stored_, .stored_bytes = stored_bytes_, .incoming = incoming_, .outgoing = outgoing_};
}

Task<Result<storage::UploadPage>> Intake::list(storage::UploadQuery query) {
  auto work = [this, query = std::move(query)] { return uploads_.list(query); };
  co_return co_await offload(pool_, std::move(work));
}

Task<Result<storage::Upload>> Intake::find(std::string id) {
  auto work = [this, id = std::move(id)] { return uploads_.find(id); };
  co_return co_await offload(pool_, std::move(work));
}

Task<Result<std::unique_ptr<Outgoing>>> Intake::open(std::string id) {
  FindFile find = [this, id = std::move(id)]() -> Result<StoredFile> {
    auto upload = uploads_.find(id);
    if (!upload) return std::unexpected(std::move(upload.error()));
    return StoredFile{.filename = std::move(upload->filename),
                      .kind = std::move(upload->kind),
                      .media_type = std::move(upload->media_type),
                      .size_bytes = upload->size_bytes,
                      .sha256 = std::move(upload->sha256)};
  };
  co_return co_await open_found(std::move(find));
}

Task<Result<std::unique_ptr<Outgoing>>> Intake::open_found(FindFile find) {
  // Taken before the file is opened, so that no more are ever open.
  const int others = outgoing_++;
  Place place(&outgoing_);
  if (others >= kOutgoingMax) {
    co_return too_many("too_many_downloads", "Too many files are being downloaded at once. Ask again in a moment.");
  }
  auto work = [this, find = std::move(find), place = std::move(place)]() mutable {
    return open_now(find, std::move(place));
  };
  co_return co_await offload(pool_, std::move(work));
}

namespace {

std::unexpected<Error> bytes_missing(const std::string& sha256) {
  return fail(Kind::internal, "bytes_missing", "The bytes of this upload are missing from the gateway's disk.", sha256);
}

}  // namespace

Result<std::unique_ptr<Outgoing>> Intake::open_now(const FindFile& find, Place place) {
  auto file = find();
  if (!file) return std::unexpected(std::move(file.error()));
  auto blob = blobs_.read(file->sha256);
  if (!blob && blob.error().kind == Kind::not_found) {
    // Removed between the two lines above, or gone from the disk without our doing.
    auto still_there = find();
    if (!still_there) return std::unexpected(std::move(still_there.error()));
    return bytes_missing(file->sha256);
  }
  if (!blob) return std::unexpected(std::move(blob.error()));
  // Cut or grown on the disk: these are not the bytes that the digest stands for.
  if (blob->size_bytes() != file->size_bytes) return bytes_missing(file->sha256);
  return std::make_unique<Outgoing>(pool_, std::move(*file), std::move(*blob), std::move(place));
}

Task<Result<storage::Upload>> Intake::remove(std::string id) {
  auto work = [this, id = std::move(id)] { return remove_now(id); };
  co_return co_await offload(pool_, std::move(work));
}

void Intake::remove_soon(std::string id) noexcept {
  try {
    asio::post(pool_, [this, id = std::move(id)] {
      const auto removed = remove_now(id);
      if (!removed && removed.error().kind != Kind::not_found) {
        spdlog::warn("an upload that nobody knows of stays stored: {}", removed.error().message);
      }
    });
  } catch (const std::exception& error) {
    spdlog::warn("an upload that nobody knows of stays stored: {}", error.what());
  }
}

Result<storage::Upload> Intake::remove_now(const std::string& id) {
  auto upload = uploads_.find(id);
  if (!upload) return upload;

  const storage::ReserveKeeper keeper(reserve_);
  const StoredBytes::Lock lock = bytes_.lock(upload->sha256);
  auto removed = uploads_.remove(id);
  if (!removed && storage::may_lack_room(removed.error())) {
    reserve_.release();
    removed = uploads_.remove(id);
  }
  if (!removed) return std::unexpected(removed.error());
  // The upload is gone once its row is. Bytes that resist are set aside at the next start.
  if (!removed->bytes_still_used) bytes_.remove(removed->sha256);
  return upload;
}

}  // namespace gbgreg::services
