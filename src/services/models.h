// Models on the disk, for those who ask over HTTP: what is there, fetching, removing.
//
// Looking and fetching block, so each has a pool of its own, which ends with this object: a list never waits for a
// download. Any I/O thread may call it.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/core.h"
#include "fleet/options.h"
#include "models/library.h"
#include "models/pull.h"
#include "protocols/stored_models.h"

namespace gbgreg::services {

inline constexpr int kPullsMax = 4;             // At once; each has a thread.
inline constexpr std::size_t kFactsMax = 1000;  // Headers of model files that are remembered.

// A fetching under way. Whoever holds it sees how far it is, and ends it by letting it go. What came so far stays on
// the disk, for the next attempt.
class Pulling {
 public:
  Pulling() = default;
  ~Pulling();
  Pulling(const Pulling&) = delete;
  Pulling& operator=(const Pulling&) = delete;

  // What is new since the last call: of one blob only the latest.
  std::vector<protocols::PullStep> take();
  // Absent while it is under way.
  std::optional<Result<void>> outcome() const;

 private:
  friend class Models;
  // What the pulling thread shares with it, which may outlive it.
  struct Shared {
    mutable std::mutex mutex;
    std::deque<protocols::PullStep> news;
    std::optional<Result<void>> outcome;
    std::stop_source stop;
  };
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

class Models {
 public:
  // Told which model has been fetched, by its short name, on a thread of the fetching.
  using Fetched = std::function<void(const std::string& name)>;

  // `workers` tells which roles use what. The library is shared with what looks into it when another takes its place.
  Models(std::shared_ptr<const models::Library> library, const models::Options& options,
         const std::vector<fleet::WorkerOptions>& workers, Fetched fetched = {});
  // As stop().
  ~Models();
  Models(const Models&) = delete;
  Models& operator=(const Models&) = delete;

  // The same with others; what is under way goes on as it began. Any thread.
  void adopt(std::shared_ptr<const models::Library> library, const models::Options& options,
             const std::vector<fleet::WorkerOptions>& workers);

  Task<std::vector<protocols::StoredModel>> list();
  // One with all that its file says. Errors: those of Library::find.
  Task<Result<protocols::StoredModel>> find(std::string name);
  // Errors: conflict model_in_use (a role needs it); those of Library::remove.
  Task<Result<void>> remove(std::string name);

  // Begins, and comes back at once. Errors: malformed (the name), forbidden registry_not_allowed, busy too_many_pulls.
  Result<std::unique_ptr<Pulling>> pull(std::string_view source);

  // Ends every fetching, which says so to whoever waits for it; no other is begun.
  void give_up();
  // As give_up(), and waits until all is at rest. Nobody may call anything here any more.
  void stop();

 private:
  // Exchanged as a whole.
  struct Setup {
    std::shared_ptr<const models::Library> library;
    models::Options options;
    std::vector<std::pair<std::string, models::Name>> in_use = {};  // By role.
  };
  std::shared_ptr<const Setup> setup() const;
  protocols::StoredModel describe(const Setup& setup, const models::Shown& shown);
  protocols::StoredModel describe_all(const Setup& setup, const models::Shown& shown);
  void run(const Setup& setup, const models::Source& source, Pulling::Shared& shared);
  bool is_stopping();

  struct Facts {
    std::string family = {};
    std::optional<int> context_tokens = {};
    std::optional<int> embedding_numbers = {};
    bool embeds = false;
  };
  Facts facts_of(const Setup& setup, const models::Shown& shown);

  const Fetched fetched_;
  mutable std::mutex setup_mutex_;
  std::shared_ptr<const Setup> setup_;  // Guarded by setup_mutex_; shared with what is under way.
  std::mutex facts_mutex_;
  std::map<std::string, Facts> facts_;  // By the digest of the weights.
  std::mutex pulls_mutex_;
  std::set<std::shared_ptr<Pulling::Shared>> pulls_under_way_;
  bool is_stopped_ = false;
  asio::thread_pool looks_{1};
  asio::thread_pool pulls_{kPullsMax};
};

}  // namespace gbgreg::services
