// The keys of a running gateway: held in memory so that no request waits for a database, made and revoked, and what
// they use written down.
//
// Rows are the truth, and others write them, too (`gbgreg keys`, another gateway): once a second a job on the storage
// pool looks whether they have changed, and adds what was used since the last time. A database that is away costs no
// request: those that are known count on, and what was used is written when it is back.
//
// On PostgreSQL there may be other gateways. As long as there are none it is all as above. When there are, accounts
// admit what they hold of their limits, and who needs more waits for a moment while it is got (storage/key_shares.h).
// When the database is away, each gateway admits its equal part of what was left.
//
// Any thread may call it. It must outlive the pool's jobs.
#pragma once

#include <atomic>
#include <boost/asio/basic_waitable_timer.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/core.h"
#include "core/published.h"
#include "keys/keys.h"
#include "keys/options.h"
#include "services/key_rows.h"
#include "storage/key_shares.h"
#include "storage/keys.h"

namespace gbgreg::services {

// Whether those who have no key may come in from elsewhere: they could reach an address that we listen on.
enum class Reach : std::uint8_t { this_machine, others, others_by_choice };

class Keys {
 public:
  // A day's figures go after so many days.
  static constexpr std::chrono::days kUsageKept{400};

  // How long whoever needs more than there is here waits for it, all attempts together, and between two of them.
  static constexpr std::chrono::milliseconds kMoreWaitMax{3'000};
  static constexpr std::chrono::milliseconds kMorePause{50};
  static constexpr std::size_t kWaitingMax = 4'096;  // Beyond it nobody waits.
  // Without a word from the database for so long, what is held is given up, before others take it back.
  static constexpr std::chrono::milliseconds kHeldFor{8'000};
  static_assert(kHeldFor < storage::KeyShares::kGoneAfter);

  // Where other gateways may use the same database.
  struct Together {
    storage::KeyShares& shares;
    std::string id;  // Of this gateway: no other one has it, and it has it again after a restart.
  };

  // `lanes`: how many I/O threads read table().
  Keys(asio::thread_pool& storage_pool, storage::KeyStore& rows, const Clock& clock, int lanes,
       const keys::Options& options = {}, std::optional<Together> together = {});

  Keys(const Keys&) = delete;
  Keys& operator=(const Keys&) = delete;

  // All that was made before, and what was left of their limits. Blocking; before anything else. Errors: those of the
  // database.
  Result<void> load();

  // For the I/O thread of the lane, as Published::read().
  const keys::Table& table(int lane) { return table_.read(lane); }
  // Whether whoever has no key is turned away.
  bool are_required() const { return are_required_.load(std::memory_order_relaxed); }
  // Whether a key that counts is there.
  bool has_active() const;
  // How `auth.required` is decided when it is automatic.
  void set_reach(Reach reach);
  void adopt(const keys::Options& options);

  // `maker` has the rights of who asks. Errors: forbidden (key_too_strong), malformed (key_invalid), conflict
  // (keys_too_many), and those of the database.
  Task<Result<MadeKey>> create(keys::Rights maker, WantedKey wanted);
  // The oldest first, revoked ones included.
  Task<Result<std::vector<ListedKey>>> list();
  // From the next request on. Errors: not_found.
  Task<Result<ListedKey>> revoke(std::string id);

  // What an attempt comes to: again and again while what it lacks may be got from the database, or from another
  // gateway.
  using Attempt = std::function<std::optional<keys::Refused>()>;
  Task<std::optional<keys::Refused>> with_more(keys::Refused refused, Attempt attempt);

  // Whether limits are shared with other gateways at the moment; look_soon() is then to be called more often.
  bool is_sharing() const { return is_sharing_.load(std::memory_order_relaxed); }

  // Has the storage pool look after rows and usage, unless it still does. Comes back at once.
  void look_soon();
  // The same here and now, and what it came to. Errors: those of the database.
  Result<void> look();
  // At the end, when no request is under way: all is written, and given back to the other gateways. Errors: likewise.
  Result<void> leave();

 private:
  using Timer =
      asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;
  struct Told;  // What is told of an account, and what is made of the answer.

  struct Held {
    std::shared_ptr<keys::Account> account;  // Shared with the table's keys.
    keys::Limits limits = {};
    keys::Usage written = {};  // What of it is in the database.
  };

  Result<void> enter();
  Result<void> read_rows();
  Result<void> write_usage();
  // Under work_mutex_.
  Result<void> meet();
  Result<int> meet_once(storage::KeyShares::Sharing sharing);
  std::vector<Told> tell(storage::KeyShares::Sharing sharing);
  void take_answers(const std::vector<Told>& told, const std::vector<keys::Leased>& leased, bool has_ended);
  void begin_sharing();

  Task<void> wait_for_more();
  void meet_soon();
  void meet_and_wake();
  void cut_off();
  void take(const std::vector<storage::StoredKey>& rows);
  ListedKey with_usage(ListedKey key);
  void decide();

  asio::thread_pool& pool_;
  storage::KeyStore& rows_;
  const Clock& clock_;
  Published<keys::Table> table_;
  std::atomic<bool> are_required_ = false;
  std::atomic<bool> is_looking_ = false;
  bool is_failing_ = false;  // Of the job on the pool, of which there is one at a time.

  std::mutex work_mutex_;  // One reads or writes rows at a time; held while the database is asked, and never by an I/O
                           // thread.
  std::string state_;      // Of the rows when they were read. Guarded by work_mutex_.

  mutable std::mutex mutex_;  // Guards what follows; never held while the database is asked.
  std::map<std::string, Held> held_;
  std::vector<std::shared_ptr<const keys::Key>> all_;
  bool has_rows_ = false;
  Reach reach_ = Reach::this_machine;
  keys::Options options_;

  std::optional<storage::KeyShares::Gateway> gateway_;  // Guarded by work_mutex_.
  storage::KeyShares* shares_;                          // Null where no other gateway can be.
  std::set<std::string> wanted_;                        // Keys of which others need what is held. Likewise.
  bool has_told_ = false;                               // What was left when sharing began. Likewise.

  std::atomic<bool> is_sharing_ = false;  // Changed under both mutexes.
  std::atomic<bool> is_cut_off_ = false;
  std::atomic<bool> has_lapsed_ = false;
  std::atomic<SteadyTime> met_at_{};
  std::atomic<int> gateways_ = 1;
  std::atomic<bool> is_meeting_ = false;
  std::vector<std::shared_ptr<Timer>> waiting_;  // For the next answer. Guarded by mutex_.
};

}  // namespace gbgreg::services
