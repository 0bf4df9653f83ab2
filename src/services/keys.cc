#include "services/keys.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace gbgreg::services {

Keys::Keys(asio::thread_pool& storage_pool, storage::KeyStore& rows, const Clock& clock, int lanes,
           const keys::Options& options, std::optional<Together> together)
    : pool_(storage_pool),
      rows_(rows),
      clock_(clock),
      table_(lanes, keys::Table()),
      options_(options),
      shares_(together ? &together->shares : nullptr) {
  if (together) gateway_ = {.id = std::move(together->id), .run = new_uuid(clock.wall())};
  decide();
}

Result<void> Keys::load() {
  const std::scoped_lock work(work_mutex_);
  const auto usages = rows_.newest_usage();
  if (!usages) return std::unexpected(usages.error());
  if (auto read = read_rows(); !read) return read;
  const keys::Moment now = keys::now_by(clock_);
  {
    const std::scoped_lock lock(mutex_);
    for (const storage::StoredUsage& row : *usages) {
      const auto held = held_.find(row.key_id);
      const auto usage = usage_of(row);
      if (!usage) spdlog::error("{} ({})", usage.error().message, usage.error().detail);
      if (!usage || held == held_.end()) continue;
      held->second.account->restore(*usage, now);
      held->second.written = held->second.account->usage(now);
    }
  }
  if (auto entered = enter(); !entered) return entered;
  return rows_.forget_usage_before(day_text(keys::day_of(now.wall) - kUsageKept));
}

bool Keys::has_active() const {
  const WallTime now = clock_.wall();
  const std::scoped_lock lock(mutex_);
  return std::ranges::any_of(all_, [&](const auto& key) {
    return !key->revoked_at && (!key->rights.expires_at || now < *key->rights.expires_at);
  });
}

void Keys::set_reach(Reach reach) {
  {
    const std::scoped_lock lock(mutex_);
    reach_ = reach;
  }
  decide();
}

void Keys::adopt(const keys::Options& options) {
  {
    const std::scoped_lock lock(mutex_);
    options_ = options;
  }
  decide();
}

// A key that is revoked or has expired still tells that its owner wants keys: what was locked does not open by itself.
void Keys::decide() {
  const std::scoped_lock lock(mutex_);
  const bool is_open_by_itself = !has_rows_ && reach_ != Reach::others;
  are_required_ = options_.required == keys::Required::always ||
                  (options_.required == keys::Required::automatic && !is_open_by_itself);
}

Task<Result<MadeKey>> Keys::create(keys::Rights maker, WantedKey wanted) {
  if (auto granted = keys::check_grant(maker, wanted.rights); !granted) co_return std::unexpected(granted.error());
  auto made = make_key(wanted, clock_.wall());
  if (!made) co_return std::unexpected(std::move(made.error()));
  auto insert = [this, row = made->row]() -> Result<ListedKey> {
    const std::scoped_lock work(work_mutex_);
    if (auto inserted = rows_.insert(row); !inserted) return std::unexpected(std::move(inserted.error()));
    if (auto read = read_rows(); !read) return std::unexpected(std::move(read.error()));
    return listed(row);
  };
  auto key = co_await offload(pool_, std::move(insert));
  if (!key) co_return std::unexpected(std::move(key.error()));
  co_return MadeKey{.key = std::move(*key), .secret = std::move(made->secret)};
}

Task<Result<std::vector<ListedKey>>> Keys::list() {
  auto read = [this]() -> Result<std::vector<ListedKey>> {
    const auto rows = rows_.list();
    if (!rows) return std::unexpected(rows.error());
    std::vector<ListedKey> keys;
    keys.reserve(rows->size());
    for (const storage::StoredKey& row : *rows) {
      auto key = listed(row);
      if (key) keys.push_back(with_usage(std::move(*key)));
    }
    return keys;
  };
  co_return co_await offload(pool_, std::move(read));
}

Task<Result<ListedKey>> Keys::revoke(std::string id) {
  auto revoke = [this, id = std::move(id)]() -> Result<ListedKey> {
    const std::scoped_lock work(work_mutex_);
    const auto row = rows_.revoke(id, rfc3339(clock_.wall()));
    if (!row) return std::unexpected(row.error());
    if (auto read = read_rows(); !read) return std::unexpected(std::move(read.error()));
    auto key = listed(*row);
    if (key) *key = with_usage(std::move(*key));
    return key;
  };
  co_return co_await offload(pool_, std::move(revoke));
}

void Keys::look_soon() {
  // The job before may still wait for the database.
  const bool has_lapsed = is_sharing_ && clock_.steady() - met_at_.load() > kHeldFor;
  if (has_lapsed && !has_lapsed_) cut_off();
  if (is_looking_.exchange(true)) return;
  try {
    asio::post(pool_, [this] {
      // What left a job of the pool would end the process.
      try {
        const auto looked = look();
        if (!looked && !is_failing_) {
          spdlog::warn("keys are not read nor their use written until the database answers: {} ({})",
                       looked.error().message, looked.error().detail);
        }
        if (looked && is_failing_) spdlog::info("keys are read and their use is written again");
        is_failing_ = !looked;
      } catch (const std::exception& error) {
        spdlog::error("looking after keys failed: {}", error.what());
      }
      is_looking_ = false;
    });
  } catch (...) {
    is_looking_ = false;
    throw;
  }
}

Result<void> Keys::look() {
  const std::scoped_lock work(work_mutex_);
  if (auto written = shares_ != nullptr ? meet() : write_usage(); !written) return written;
  const auto state = rows_.state();
  if (!state) return std::unexpected(state.error());
  if (*state == state_) return {};
  return read_rows();
}

// The state is asked before the rows, so that one who writes between the two is noticed the next time.
Result<void> Keys::read_rows() {
  auto state = rows_.state();
  if (!state) return std::unexpected(std::move(state.error()));
  const auto rows = rows_.list();
  if (!rows) return std::unexpected(rows.error());
  take(*rows);
  state_ = std::move(*state);
  return {};
}

void Keys::take(const std::vector<storage::StoredKey>& rows) {
  const keys::Moment now = keys::now_by(clock_);
  std::vector<std::shared_ptr<const keys::Key>> all;
  all.reserve(rows.size());
  {
    const std::scoped_lock lock(mutex_);
    std::set<std::string> there;
    for (const storage::StoredKey& row : rows) {
      auto key = key_of(row);
      if (!key) {
        // It opens nothing; that it is there still means that keys are wanted.
        spdlog::error("{} ({})", key.error().message, key.error().detail);
        continue;
      }
      Held& held = held_[key->id];
      if (!held.account) {
        held = {.account = std::make_shared<keys::Account>(key->rights.limits, now), .limits = key->rights.limits};
        if (is_sharing_) held.account->begin_sharing(now);
      }
      key->account = held.account;
      there.insert(key->id);
      all.push_back(std::make_shared<const keys::Key>(std::move(*key)));
    }
    std::erase_if(held_, [&](const auto& held) { return !there.contains(held.first); });
    all_ = all;
    has_rows_ = !rows.empty();
  }
  table_.publish(keys::Table(std::move(all)));
  decide();
}

// What came since the last time. Of a day that has ended meanwhile its last second is lost, and no limit needs it.
Result<void> Keys::write_usage() {
  const keys::Moment now = keys::now_by(clock_);
  std::vector<storage::KeyStore::Added> added;
  std::vector<std::pair<std::string, keys::Usage>> written;
  {
    const std::scoped_lock lock(mutex_);
    for (const auto& [id, held] : held_) {
      const keys::Usage usage = held.account->usage(now);
      const keys::Usage& before = held.written;
      const bool is_same_day = usage.day == before.day;
      const bool is_new = usage.used_at != before.used_at || usage.tokens != (is_same_day ? before.tokens : 0) ||
                          usage.requests != (is_same_day ? before.requests : 0);
      if (!is_new) continue;
      storage::StoredUsage row = usage_row(id, usage);
      if (is_same_day) {
        row.requests -= before.requests;
        row.tokens -= before.tokens;
      }
      added.push_back({.usage = std::move(row)});
      if (usage.used_at != before.used_at) added.back().used_at = rfc3339(usage.used_at);
      written.emplace_back(id, usage);
    }
  }
  if (added.empty()) return {};
  if (auto kept = rows_.add_usage(added); !kept) return kept;
  const std::scoped_lock lock(mutex_);
  for (const auto& [id, usage] : written) {
    if (const auto held = held_.find(id); held != held_.end()) held->second.written = usage;
  }
  return {};
}

ListedKey Keys::with_usage(ListedKey key) {
  const keys::Moment now = keys::now_by(clock_);
  const std::scoped_lock lock(mutex_);
  const auto held = held_.find(key.id);
  if (held == held_.end()) return key;
  const keys::Usage usage = held->second.account->usage(now);
  key.requests_today = usage.requests;
  key.tokens_today = usage.tokens;
  if (usage.used_at > key.last_used_at.value_or(WallTime{})) key.last_used_at = usage.used_at;
  return key;
}

}  // namespace gbgreg::services
