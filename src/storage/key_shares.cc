#include "storage/key_shares.h"

#include <algorithm>

namespace gbgreg::storage {
namespace {

using keys::Bucket;
using Micros = Bucket::Micros;

long long micros(Micros time) { return time.count(); }

long long now_by(soci::session& session, const Dialect& dialect) {
  long long now = 0;
  session << "SELECT " << dialect.now(), soci::into(now);
  return now;
}

struct Row {
  long long requests_full_at = 0;
  long long tokens_full_at = 0;
  long long wanted_at = 0;
  std::string wanted_by;
};

std::optional<Row> share_of(soci::session& session, const std::string& key_id) {
  Row row;
  session << "SELECT requests_full_at, tokens_full_at, wanted_at, wanted_by FROM gbgreg_key_shares WHERE key_id = :id",
      soci::into(row.requests_full_at), soci::into(row.tokens_full_at), soci::into(row.wanted_at),
      soci::into(row.wanted_by), soci::use(key_id, "id");
  if (!session.got_data()) return std::nullopt;
  return row;
}

void write_share(soci::session& session, const std::string& key_id, const Row& row) {
  session << "INSERT INTO gbgreg_key_shares (key_id, requests_full_at, tokens_full_at, wanted_at, wanted_by) VALUES "
             "(:id, :requests, :tokens, :wanted_at, :wanted_by) ON CONFLICT (key_id) DO UPDATE SET requests_full_at = "
             "excluded.requests_full_at, tokens_full_at = excluded.tokens_full_at, wanted_at = excluded.wanted_at, "
             "wanted_by = excluded.wanted_by",
      soci::use(key_id, "id"), soci::use(row.requests_full_at, "requests"), soci::use(row.tokens_full_at, "tokens"),
      soci::use(row.wanted_at, "wanted_at"), soci::use(row.wanted_by, "wanted_by");
}

void write_lease(soci::session& session, const std::string& key_id, const std::string& gateway, const std::string& day,
                 const keys::Amounts& lease) {
  if (lease == keys::Amounts{}) {
    session << "DELETE FROM gbgreg_key_leases WHERE key_id = :key AND gateway_id = :gateway", soci::use(key_id, "key"),
        soci::use(gateway, "gateway");
    return;
  }
  const long long requests = lease.requests, tokens = lease.tokens, tokens_today = lease.tokens_today;
  session << "INSERT INTO gbgreg_key_leases (key_id, gateway_id, requests, tokens, day, tokens_today) VALUES (:key, "
             ":gateway, :requests, :tokens, :day, :tokens_today) ON CONFLICT (key_id, gateway_id) DO UPDATE SET "
             "requests = excluded.requests, tokens = excluded.tokens, day = excluded.day, tokens_today = "
             "excluded.tokens_today",
      soci::use(key_id, "key"), soci::use(gateway, "gateway"), soci::use(requests, "requests"),
      soci::use(tokens, "tokens"), soci::use(day, "day"), soci::use(tokens_today, "tokens_today");
}

// What gateways hold of a key: this one, and all others.
void read_leases(soci::session& session, const std::string& key_id, const std::string& gateway, const std::string& day,
                 keys::Shared& shared) {
  const soci::rowset<soci::row> rows =
      (session.prepare << "SELECT gateway_id, requests, tokens, day, tokens_today FROM gbgreg_key_leases WHERE key_id "
                          "= :key",
       soci::use(key_id, "key"));
  for (const soci::row& row : rows) {
    keys::Amounts& held = row.get<std::string>("gateway_id") == gateway ? shared.own : shared.others;
    held.requests += row.get<long long>("requests");
    held.tokens += row.get<long long>("tokens");
    if (row.get<std::string>("day") == day) held.tokens_today += row.get<long long>("tokens_today");
  }
}

struct Counted {
  long long requests = 0;
  long long tokens = 0;
};

Counted counted_on(soci::session& session, const std::string& key_id, const std::string& day) {
  Counted counted;
  session << "SELECT requests, tokens FROM gbgreg_key_usage WHERE key_id = :key AND day = :day",
      soci::into(counted.requests), soci::into(counted.tokens), soci::use(key_id, "key"), soci::use(day, "day");
  return session.got_data() ? counted : Counted{};
}

// What a gateway held that does not live any more may have been used until now.
void bury(soci::session& session, const std::string& gateway, long long now) {
  struct Held {
    std::string key_id, day;
    long long requests, tokens, tokens_today;
  };
  std::vector<Held> all;
  {
    const soci::rowset<soci::row> rows =
        (session.prepare << "SELECT key_id, requests, tokens, day, tokens_today FROM gbgreg_key_leases WHERE "
                            "gateway_id = :gateway",
         soci::use(gateway, "gateway"));
    for (const soci::row& row : rows) {
      all.push_back({.key_id = row.get<std::string>("key_id"),
                     .day = row.get<std::string>("day"),
                     .requests = row.get<long long>("requests"),
                     .tokens = row.get<long long>("tokens"),
                     .tokens_today = row.get<long long>("tokens_today")});
    }
  }
  for (const Held& held : all) {
    soci::indicator has_requests = soci::i_null, has_tokens = soci::i_null;
    long long requests = 0, tokens = 0;
    session << "SELECT requests_per_minute, tokens_per_minute FROM gbgreg_keys WHERE id = :id",
        soci::into(requests, has_requests), soci::into(tokens, has_tokens), soci::use(held.key_id, "id");
    const bool is_there = session.got_data();
    auto row = share_of(session, held.key_id);
    const auto keep_room = [&](long long per_minute, long long amount, long long full_at) {
      Bucket bucket(per_minute, SteadyTime{});
      bucket.restore(Micros{full_at - now}, SteadyTime{});
      bucket.keep_room(amount);
      return now + micros(bucket.until_full(SteadyTime{}));
    };
    if (row && is_there && has_requests == soci::i_ok) {
      row->requests_full_at = keep_room(requests, held.requests, row->requests_full_at);
    }
    if (row && is_there && has_tokens == soci::i_ok) {
      row->tokens_full_at = keep_room(tokens, held.tokens, row->tokens_full_at);
    }
    if (row) write_share(session, held.key_id, *row);
    if (held.tokens_today > 0) {
      session << "UPDATE gbgreg_key_usage SET tokens = tokens + :tokens WHERE key_id = :key AND day = :day",
          soci::use(held.tokens_today, "tokens"), soci::use(held.key_id, "key"), soci::use(held.day, "day");
    }
  }
  session << "DELETE FROM gbgreg_key_leases WHERE gateway_id = :gateway", soci::use(gateway, "gateway");
  session << "DELETE FROM gbgreg_gateways WHERE id = :gateway", soci::use(gateway, "gateway");
}

struct Others {
  int all = 0;
  int sharing = 0;
};

// Those who live; the others are buried.
Others others_of(soci::session& session, const std::string& gateway, long long now) {
  const long long gone_before = now - micros(KeyShares::kGoneAfter);
  std::vector<std::string> gone;
  {
    const soci::rowset<std::string> rows =
        (session.prepare << "SELECT id FROM gbgreg_gateways WHERE seen_at < :before AND id <> :id",
         soci::use(gone_before, "before"), soci::use(gateway, "id"));
    gone.assign(rows.begin(), rows.end());
  }
  for (const std::string& id : gone) bury(session, id, now);
  Others others;
  session << "SELECT count(*), coalesce(sum(is_sharing), 0) FROM gbgreg_gateways WHERE id <> :id",
      soci::into(others.all), soci::into(others.sharing), soci::use(gateway, "id");
  return others;
}

void write_gateway(soci::session& session, const KeyShares::Gateway& gateway, long long now, bool is_sharing) {
  const int sharing = is_sharing ? 1 : 0;
  session << "INSERT INTO gbgreg_gateways (id, run, seen_at, is_sharing) VALUES (:id, :run, :now, :sharing) ON "
             "CONFLICT (id) DO UPDATE SET run = excluded.run, seen_at = excluded.seen_at, is_sharing = "
             "excluded.is_sharing",
      soci::use(gateway.id, "id"), soci::use(gateway.run, "run"), soci::use(now, "now"), soci::use(sharing, "sharing");
}

struct Meeting {
  soci::session& session;
  const KeyShares::Gateway& gateway;
  long long now;
  Others others;
  bool has_just_begun;  // To share: what it had of the buckets is to be told to the others.
};

// One who counted by itself until now has taken so much out of the bucket. What nobody has told of is full.
long long full_at(long long known, Micros until_full, const Meeting& meeting) {
  const long long begun = std::max(known, meeting.now);
  return meeting.has_just_begun ? begun + micros(until_full) : begun;
}

keys::Leased lease(const Meeting& meeting, const KeyShares::Told& told) {
  soci::session& session = meeting.session;
  const std::string& key_id = told.used.usage.key_id;
  const std::string& day = told.used.usage.day;
  Row row = share_of(session, key_id).value_or(Row{});
  row.requests_full_at = full_at(row.requests_full_at, told.requests_until_full, meeting);
  row.tokens_full_at = full_at(row.tokens_full_at, told.tokens_until_full, meeting);

  const Counted counted = counted_on(session, key_id, day);
  const bool is_wanted =
      row.wanted_by != meeting.gateway.id && row.wanted_at > meeting.now - micros(KeyShares::kWantedFor);
  keys::Shared shared{.requests_until_full = Micros{row.requests_full_at - meeting.now},
                      .tokens_until_full = Micros{row.tokens_full_at - meeting.now},
                      .used_today = counted.tokens,
                      .gateways = 1 + meeting.others.all,
                      .is_wanted = is_wanted};
  read_leases(session, key_id, meeting.gateway.id, day, shared);

  // As long as another one counts by itself, nobody knows what is left.
  const bool is_known = meeting.others.sharing == meeting.others.all;
  keys::Asking asking = *told.asking;
  if (!is_known) asking.requests_needed = asking.tokens_needed = 0;
  keys::Leased leased = keys::share_out(told.limits, shared, asking);
  if (!is_known) {
    leased.lacks_requests = told.asking->requests_needed > 0;
    leased.lacks_tokens = told.asking->tokens_needed > 0;
    leased.elsewhere = {.requests = 1, .tokens = 1, .tokens_today = 1};
  }
  leased.requests_today = counted.requests;
  leased.tokens_today = counted.tokens;

  row.requests_full_at = meeting.now + micros(leased.requests_until_full);
  row.tokens_full_at = meeting.now + micros(leased.tokens_until_full);
  const bool is_lacking = leased.lacks_requests || leased.lacks_tokens;
  if (is_lacking) row.wanted_at = meeting.now;
  if (is_lacking) row.wanted_by = meeting.gateway.id;
  if (!is_lacking && row.wanted_by == meeting.gateway.id) row.wanted_at = 0;
  write_share(session, key_id, row);
  write_lease(session, key_id, meeting.gateway.id, day, leased.lease);
  return leased;
}

}  // namespace

Result<KeyShares::Entered> KeyShares::enter(const Gateway& gateway) {
  return database_.in_transaction([&](soci::session& session) -> Result<Entered> {
    const long long now = now_by(session, database_.dialect());
    bury(session, gateway.id, now);
    Entered entered{.others = others_of(session, gateway.id, now).all};
    write_gateway(session, gateway, now, entered.others > 0);
    if (entered.others > 0) return entered;
    {
      const soci::rowset<soci::row> rows =
          (session.prepare << "SELECT key_id, requests_full_at, tokens_full_at FROM gbgreg_key_shares");
      for (const soci::row& row : rows) {
        entered.left.push_back({.key_id = row.get<std::string>("key_id"),
                                .requests_until_full = Micros{row.get<long long>("requests_full_at") - now},
                                .tokens_until_full = Micros{row.get<long long>("tokens_full_at") - now}});
      }
    }
    session << "DELETE FROM gbgreg_key_shares";
    return entered;
  });
}

Result<KeyShares::Met> KeyShares::meet(const Gateway& gateway, Sharing sharing, std::span<const Told> told) {
  return database_.in_transaction([&](soci::session& session) -> Result<Met> {
    const long long now = now_by(session, database_.dialect());
    std::string run;
    int was_sharing = 0;
    session << "SELECT run, is_sharing FROM gbgreg_gateways WHERE id = :id", soci::into(run), soci::into(was_sharing),
        soci::use(gateway.id, "id");
    const bool was_there = session.got_data();
    if (was_there && run != gateway.run) {
      return fail(Kind::conflict, "gateway_twice", "Another gateway on this database goes by the same id.", gateway.id);
    }
    const Others others = others_of(session, gateway.id, now);
    const bool ends = sharing == Sharing::ended && others.all == 0;
    write_gateway(session, gateway, now, sharing != Sharing::no && !ends);
    const Meeting meeting{.session = session,
                          .gateway = gateway,
                          .now = now,
                          .others = others,
                          .has_just_begun = sharing != Sharing::no && !(was_there && was_sharing != 0)};
    Met met{.others = others.all};
    met.leased.reserve(told.size());
    for (const Told& one : told) {
      if (one.has_used) add_usage(session, one.used.usage);
      if (one.used.used_at) note_use(session, one.used.usage.key_id, *one.used.used_at);
      if (one.asking) met.leased.push_back(lease(meeting, one));
    }
    if (ends) session << "DELETE FROM gbgreg_key_shares";
    return met;
  });
}

Result<void> KeyShares::leave(const Gateway& gateway) {
  return database_.in_transaction([&](soci::session& session) -> Result<void> {
    session << "DELETE FROM gbgreg_key_leases WHERE gateway_id = :id", soci::use(gateway.id, "id");
    session << "DELETE FROM gbgreg_gateways WHERE id = :id AND run = :run", soci::use(gateway.id, "id"),
        soci::use(gateway.run, "run");
    return {};
  });
}

}  // namespace gbgreg::storage
