#include "models/download.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "models/sha256.h"

namespace gbgreg::models {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kReadBytes = 1024 * 1024;
constexpr std::chrono::milliseconds kFollowEvery{100};
constexpr std::string_view kGgufMagic = "GGUF";

std::unexpected<Error> given_up() { return fail(Kind::cancelled, "cancelled", "The download was given up."); }

std::unexpected<Error> disk_failure(std::string doing) {
  return std::unexpected(storage::disk_error(errno, std::move(doing)));
}

std::unexpected<Error> size_differs() {
  return fail(Kind::backend_failed, "size_differs",
              "The server sends another number of bytes than it announced, so nothing of it is kept.");
}

bool is_weights(std::string_view media_type) { return media_type == kModelType || media_type == kProjectorType; }

// The partial file of one download, with the hash of what is in it.
class Partial {
 public:
  Partial(const OwnStore& store, const Wanted& wanted)
      : store_(store), wanted_(wanted), path_(store.partial_path(partial_key(wanted))) {}
  // The room that was set aside is given back; the bytes stay for the next attempt.
  ~Partial() {
    if (file_.is_open() && is_reserved_ && ::ftruncate(file_.get(), static_cast<off_t>(size_)) != 0) return;
  }
  Partial(const Partial&) = delete;
  Partial& operator=(const Partial&) = delete;

  enum class Turn : std::uint8_t { ours, others };
  // Opens and locks it, unless somebody else writes it at the moment.
  Result<Turn> open() {
    storage::OwnedFile file(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.is_open()) return disk_failure("open a partial file");
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) return Turn::others;
    // It may have become a blob between the two calls, or have been removed.
    struct stat held{}, named{};
    if (::fstat(file.get(), &held) != 0) return disk_failure("look at a partial file");
    if (::stat(path_.c_str(), &named) != 0 || held.st_ino != named.st_ino) return Turn::others;
    file_ = std::move(file);
    size_ = static_cast<std::uint64_t>(held.st_size);
    // One that was killed may have left room that is set aside behind its last byte.
    if (::ftruncate(file_.get(), held.st_size) != 0) return disk_failure("cut a partial file");
    return Turn::ours;
  }

  std::uint64_t size() const { return size_; }
  std::uint64_t size_of_others() const {
    std::error_code unknown;
    const auto size = fs::file_size(path_, unknown);
    return unknown ? 0 : size;
  }

  Result<void> hash_what_is_there() {
    std::vector<char> buffer(kReadBytes);
    for (std::uint64_t at = 0; at < size_;) {
      const ssize_t got = ::pread(file_.get(), buffer.data(), buffer.size(), static_cast<off_t>(at));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return disk_failure("read a partial file");
      hash_.add({buffer.data(), static_cast<std::size_t>(got)});
      at += static_cast<std::uint64_t>(got);
    }
    if (::lseek(file_.get(), static_cast<off_t>(size_), SEEK_SET) < 0) return disk_failure("seek in a partial file");
    return {};
  }

  // So that the disk cannot become full on the way. Where a file system cannot do that, it may.
  Result<void> reserve(std::uint64_t bytes) {
    if (is_reserved_ || bytes <= size_) return {};
    if (auto room = store_.check_room(bytes - size_); !room) return room;
    is_reserved_ = true;
    if (::fallocate(file_.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes)) == 0) return {};
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) return disk_failure("reserve room for a model");
    return {};
  }

  Result<void> begin_again() {
    size_ = 0;
    hash_ = Sha256();
    if (::ftruncate(file_.get(), 0) != 0 || ::lseek(file_.get(), 0, SEEK_SET) < 0) {
      return disk_failure("empty a partial file");
    }
    return {};
  }

  Result<void> write(std::string_view bytes) {
    hash_.add(bytes);
    while (!bytes.empty()) {
      const ssize_t written = store_.disk().write(file_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) {
        // A disk that is full to the last byte would harm everybody else on it.
        auto failure = disk_failure("write a partial file");
        if (failure.error().code == "storage_full") remove();
        return failure;
      }
      bytes.remove_prefix(static_cast<std::size_t>(written));
      size_ += static_cast<std::uint64_t>(written);
    }
    return {};
  }

  // Checks the whole, and makes a blob of it.
  Result<Layer> keep() {
    Layer layer{.media_type = wanted_.media_type, .sha256 = hash_.finish(), .size_bytes = size_};
    if (!wanted_.sha256.empty() && layer.sha256 != wanted_.sha256) {
      remove();
      return fail(Kind::backend_failed, "digest_differs",
                  "The bytes that came are not those that were announced: their SHA-256 is another. They are thrown "
                  "away; try again, and if it stays so, do not trust this server.",
                  "got " + layer.sha256 + ", wanted " + wanted_.sha256);
    }
    if (is_weights(wanted_.media_type) && !begins_with_magic()) {
      remove();
      return fail(Kind::backend_failed, "not_gguf",
                  "What came is no GGUF file, so it is thrown away. Does the address lead to the file itself?");
    }
    if (store_.disk().sync(file_.get()) != 0) return disk_failure("sync a partial file");
    if (auto kept = store_.keep(path_, layer.sha256); !kept) return std::unexpected(std::move(kept.error()));
    file_ = storage::OwnedFile();
    return layer;
  }

  void remove() { store_.disk().remove(path_.string()); }

 private:
  bool begins_with_magic() const {
    std::string magic(kGgufMagic.size(), '\0');
    const ssize_t got = ::pread(file_.get(), magic.data(), magic.size(), 0);
    return got == static_cast<ssize_t>(magic.size()) && magic == kGgufMagic;
  }

  const OwnStore& store_;
  const Wanted& wanted_;
  fs::path path_;
  storage::OwnedFile file_;
  Sha256 hash_;
  std::uint64_t size_ = 0;
  bool is_reserved_ = false;
};

class Download {
 public:
  Download(const OwnStore& store, const FetchOptions& options, const Wanted& wanted, const TellBytes& tell,
           const std::stop_token& stop)
      : store_(store),
        options_(options),
        wanted_(wanted),
        tell_(tell),
        stop_(stop),
        partial_(store, wanted),
        etag_(wanted.etag),
        total_(wanted.size_bytes) {}

  Result<Layer> run() {
    while (true) {
      if (const auto there = stored()) return *there;
      auto turn = partial_.open();
      if (!turn) return std::unexpected(std::move(turn.error()));
      if (*turn == Partial::Turn::ours) break;
      tell_(partial_.size_of_others(), total_);
      if (!pause(kFollowEvery, stop_)) return given_up();
    }
    // Whoever wrote it may have just finished.
    if (const auto there = stored()) {
      partial_.remove();
      return *there;
    }
    if (auto ready = prepare(); !ready) return std::unexpected(std::move(ready.error()));
    const bool is_resumed = partial_.size() > 0;
    auto fetched = fetch_all();
    if (!fetched) return std::unexpected(std::move(fetched.error()));
    auto kept = partial_.keep();
    if (kept || kept.error().code != "digest_differs" || !is_resumed) return kept;
    // What lay there from an earlier time may be what is wrong: once more from nothing.
    Download again(store_, options_, wanted_, tell_, stop_);
    return again.run();
  }

 private:
  std::optional<Layer> stored() const {
    Layer layer{
        .media_type = wanted_.media_type, .sha256 = wanted_.sha256, .size_bytes = wanted_.size_bytes.value_or(0)};
    if (wanted_.sha256.empty() || !wanted_.size_bytes || !store_.store().has(layer)) return std::nullopt;
    tell_(layer.size_bytes, layer.size_bytes);
    return layer;
  }

  Result<void> prepare() {
    // Without a digest and without an ETag nobody can say that it is a part of the same file.
    const bool can_resume = !wanted_.sha256.empty() || !wanted_.etag.empty();
    if (!can_resume || (total_ && partial_.size() > *total_)) return partial_.begin_again();
    auto hashed = partial_.hash_what_is_there();
    if (hashed && partial_.size() > 0) tell_(partial_.size(), total_);
    return hashed;
  }

  Result<void> fetch_all() {
    auto pause_time = options_.pause_min;
    for (int failures = 0;;) {
      if (total_ && partial_.size() == *total_) return {};
      const std::uint64_t before = partial_.size();
      auto fetched = fetch_once();
      if (fetched && (!total_ || partial_.size() == *total_)) return {};
      Error error = fetched ? Error{.kind = Kind::backend_failed,
                                    .code = "transfer_broken",
                                    .message =
                                        "The server sent less than it announced. What came so far is kept: try "
                                        "again."}
                            : std::move(fetched.error());
      if (partial_.size() > before) {
        failures = 0;
        pause_time = options_.pause_min;
      }
      if (!is_passing(error) || ++failures >= options_.attempts_max) return std::unexpected(std::move(error));
      if (!pause(pause_time, stop_)) return given_up();
      pause_time = std::min(pause_time * 2, options_.pause_max);
    }
  }

  Result<void> fetch_once() {
    const FetchRequest request{.url = wanted_.url, .token = wanted_.token, .from = partial_.size(), .if_range = etag_};
    is_success_ = false;
    const auto take_head = [this](const FetchHead& head) { return begin(head); };
    const auto take_bytes = [this](std::string_view bytes) { return take(bytes); };
    auto head = fetch(request, options_, stop_, take_head, take_bytes);
    if (!head) return std::unexpected(std::move(head.error()));
    return {};
  }

  Result<void> begin(const FetchHead& head) {
    if (head.status == 416 && partial_.size() > 0) {  // Of another file than the one that we began.
      if (auto emptied = partial_.begin_again(); !emptied) return emptied;
      return fail(Kind::backend_failed, "transfer_broken", "The file on the server has changed: try again.");
    }
    if (head.status != 200 && head.status != 206) return std::unexpected(error_of_status(head.status, wanted_.url));
    if (head.status == 206 && head.range_from != partial_.size()) return size_differs();
    if (head.status == 200 && partial_.size() > 0) {  // It cannot give parts, or the file is another one by now.
      if (auto emptied = partial_.begin_again(); !emptied) return emptied;
    }
    const auto whole = head.status == 206 ? head.range_total : head.length;
    if (total_ && whole && *whole != *total_) return size_differs();
    if (!total_) total_ = whole;
    if (!head.etag.empty()) etag_ = head.etag;
    if (total_) {
      if (*total_ > kLayerBytesMax) return size_differs();
      if (auto reserved = partial_.reserve(*total_); !reserved) return reserved;
    }
    is_success_ = true;
    return {};
  }

  Result<void> take(std::string_view bytes) {
    if (!is_success_) return {};
    if (partial_.size() + bytes.size() > total_.value_or(kLayerBytesMax)) {
      partial_.remove();
      return size_differs();
    }
    auto written = partial_.write(bytes);
    if (written) tell_(partial_.size(), total_);
    return written;
  }

  const OwnStore& store_;
  const FetchOptions& options_;
  const Wanted& wanted_;
  const TellBytes& tell_;
  const std::stop_token& stop_;
  Partial partial_;
  std::string etag_;
  std::optional<std::uint64_t> total_;
  bool is_success_ = false;
};

}  // namespace

std::string partial_key(const Wanted& wanted) {
  if (!wanted.sha256.empty()) return "sha256-" + wanted.sha256;
  const std::string size = wanted.size_bytes ? std::to_string(*wanted.size_bytes) : "";
  return "url-" + sha256_of(wanted.url + "\n" + wanted.etag + "\n" + size);
}

Result<Layer> download(const OwnStore& store, const FetchOptions& options, const Wanted& wanted, const TellBytes& tell,
                       const std::stop_token& stop) {
  return Download(store, options, wanted, tell, stop).run();
}

Error error_of_status(long status, std::string_view url) {
  const std::string detail = "status " + std::to_string(status) + " of " + std::string(url.substr(0, url.find('?')));
  if (status == 401 || status == 403) {
    return {.kind = Kind::forbidden,
            .code = "login_needed",
            .message =
                "The server does not give this model to everybody. If you may have it, set HF_TOKEN, or "
                "GBGREG_REGISTRY_TOKENS=HOST=TOKEN, in gbgreg's environment.",
            .detail = detail};
  }
  if (status == 404 || status == 410) {
    return {
        .kind = Kind::not_found,
        .code = "model_not_found",
        .message = "The server has no model of this name. Look for the right name, and its tag, on the server's page.",
        .detail = detail};
  }
  if (status == 429 || status >= 500) {
    return {.kind = Kind::backend_failed,
            .code = "server_busy",
            .message = "The server of the model cannot answer at the moment. Try again later.",
            .detail = detail};
  }
  return {.kind = Kind::backend_failed,
          .code = "server_failed",
          .message = "The server of the model answers what was not expected (status " + std::to_string(status) + ").",
          .detail = detail};
}

bool pause(std::chrono::milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

}  // namespace gbgreg::models
