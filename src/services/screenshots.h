// The story of a screenshot, without HTTP: an image that is stored already is looked at in the jail (intake/image.h),
// then a model that sees is asked about it, and what it says is kept with the text that was read.
//
// Either whoever asks waits for it, or it waits in a queue, which is in the database (storage/screenshots.h) and so
// survives a restart: one after another is taken out of it, on a thread of this object's own.
//
// Any I/O thread may call it. What blocks runs on the storage pool, or on a small pool for the jails, each of which may
// take a gigabyte for a moment.
#pragma once

#include <atomic>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "core/core.h"
#include "intake/image.h"
#include "net/io_thread.h"
#include "services/generate.h"
#include "services/intake.h"
#include "storage/storage.h"

namespace gbgreg::services {

struct ScreenshotOptions {
  std::string jail;  // The path of gbgreg-jail-look.
  intake::ImageLimits image = {};
  int queued_max = 100;  // `limits.screenshots_queued_max`: beyond it, whoever does not wait is told to come again.
  int looking_max = 32;  // Images that wait for a jail, with those that are in one, of those who do wait.
  std::chrono::milliseconds retry_after{5'000};  // When the database does not answer.
};

class Screenshots {
 public:
  struct Ground {
    asio::thread_pool& storage_pool;
    storage::ScreenshotStore& rows;
    storage::BlobStore& blobs;
    Intake& intake;
    Generate& generate;
    const Clock& clock;
  };
  // All of the ground outlives it.
  Screenshots(const Ground& ground, ScreenshotOptions options);
  ~Screenshots();
  Screenshots(const Screenshots&) = delete;
  Screenshots& operator=(const Screenshots&) = delete;

  // Queues again what was under way when the last process ended, and begins to work. Once. Errors: unavailable.
  Result<void> start();
  // No image is looked at any more, and who watches need not wait. Before the server stops.
  void give_up() { is_stopping_ = true; }
  bool is_stopping() const { return is_stopping_; }
  // Ends what is under way in the queue; it begins anew at the next start. Before the fleet stops.
  void stop();

  struct Asked {
    storage::Upload upload;
    std::string prompt;  // Empty for one of ours.
    std::string request_id = {};
    llm::Caller* caller = nullptr;  // Outlives the call.
  };
  // Finished, one way or the other: when no model could answer, the analysis is `failed` and says why. After an error,
  // and when the client leaves meanwhile, there is no upload either. Errors: unsupported_type, refused (those of
  // intake::look_at_image), busy (too_many_images), unavailable, not_found (the upload was removed meanwhile),
  // cancelled.
  Task<Result<storage::Analysis>> analyse(net::IoThread& io, Asked asked);
  // Queued. Only the front of the image has been looked at. Errors: unsupported_type, busy (screenshot_queue_full),
  // unavailable, not_found; after any of them there is no upload either.
  Task<Result<storage::Analysis>> enqueue(Asked asked);

  // Errors: those of storage::ScreenshotStore.
  Task<Result<storage::Analysis>> find(std::string id);
  Task<Result<storage::AnalysisPage>> list(storage::AnalysisQuery query);

  // Goes up whenever something of the queue has changed, so that nobody needs to ask the database to learn that nothing
  // has. Any thread.
  std::uint64_t changes() const { return changes_.load(std::memory_order_acquire); }

 private:
  using Analysis = storage::Analysis;
  using Timer =
      asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;
  struct Asker {
    std::string request_id;
    llm::Priority priority;
    llm::Caller* caller;
  };

  Analysis new_analysis(const Asked& asked) const;
  Task<Result<void>> check_front(const storage::Upload& upload);
  Task<Result<bool>> answer_from_record(Analysis& analysis);
  Task<Result<intake::SeenImage>> look(std::string sha256);
  Task<Result<intake::SeenImage>> look_in_turn(std::string sha256);
  Task<Result<void>> describe(net::IoThread& io, Analysis& analysis, intake::SeenImage seen, Asker asker);
  void finish(Analysis& analysis, SteadyTime began) const;
  Task<void> forget(std::string upload_id);

  // On the thread of the queue.
  void run_queue();
  void work_soon();
  Task<void> work_off();
  Task<void> work_on_next();
  Task<void> work(Analysis analysis);
  Task<void> work_guarded(Analysis& analysis);
  Task<void> keep(Analysis analysis);
  Task<void> wait_a_while();
  void changed() { changes_.fetch_add(1, std::memory_order_release); }

  Ground ground_;
  ScreenshotOptions options_;
  std::atomic<bool> is_stopping_ = false;
  std::atomic<int> looking_ = 0;
  std::atomic<std::uint64_t> changes_ = 0;
  asio::thread_pool jail_pool_;

  const net::Options net_options_;
  net::IoThread io_;
  std::optional<asio::executor_work_guard<Executor>> guard_;
  asio::cancellation_signal cancel_;
  Timer wake_{io_.executor()};
  bool has_more_ = false;  // Perhaps; on the queue's thread alone, as the two above.
  std::thread thread_;
};

// What the model is asked: the prompt, and the text that was read off the image, fenced and cut to what a small model
// can hold. Pure.
std::string screenshot_question(std::string_view prompt, std::string_view text);

}  // namespace gbgreg::services
