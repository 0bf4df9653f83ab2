#include "http/audit_note.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "http/fake_exchange.h"
#include "http/pipeline.h"
#include "net/io_thread.h"
#include "storage/failing_disk.h"
#include "storage/test_stores.h"

namespace gbgreg::http {
namespace {

using testing::IsEmpty;

TEST(IsAudited, WhatWasDoneOrRefusedOrMayHaveBeenDone) {
  for (const int status : {200, 202, 401, 403, 409, 422, 499, 500, 502, 503, 504}) EXPECT_TRUE(is_audited(status));
  for (const int status : {400, 404, 405, 408, 413, 414, 415, 416, 429, 431}) EXPECT_FALSE(is_audited(status));
}

class AuditNoteTest : public testing::Test {
 protected:
  AuditNoteTest() { EXPECT_TRUE(keys_.load()); }
  void TearDown() override { pool_.join(); }

  struct Made {
    std::string id;
    std::string secret;
  };
  Made made(const keys::Rights& rights = {}) {
    const auto key = services::make_key({.name = "ada", .rights = rights}, clock_.wall());
    EXPECT_TRUE(stores_.keys.insert(key->row));
    EXPECT_TRUE(keys_.look());
    return {key->row.id, key->secret};
  }

  // What the trail has of one request, which `work` answers.
  std::vector<storage::AuditRow> rows_of(const std::string& method, const std::string& path, const Handle& work,
                                         std::vector<net::Field> fields = {}) {
    FakeExchange exchange(method, std::move(fields), "", "");
    exchange.mutable_head().path = path;
    exchange.thread = &io_;
    exchange.peer_text = "192.0.2.7:50312";
    std::vector<Route> routes{{"POST", "/things", work, Dialect::native, Access::admin, "thing.create"},
                              {"DELETE", "/things/{id}", work, Dialect::native, Access::admin, "thing.delete"},
                              {"GET", "/things", work, Dialect::native, Access::admin},
                              {"POST", "/ask", work}};
    metrics::Registry registry(1);
    Pipeline pipeline(std::move(routes), {}, registry, clock_, &gate_, nullptr, &audit_);
    spawn(io_.executor(), "test", pipeline.handle(exchange));
    io_.context().restart();
    io_.context().run();
    EXPECT_TRUE(audit_.look());
    auto page = stores_.audit.list({.limit = 1'000});
    EXPECT_TRUE(page);
    std::erase_if(page->rows, [&](const storage::AuditRow& row) { return !seen_.insert(row.id).second; });
    return std::move(page->rows);
  }

  SystemClock clock_;
  storage::TestFolder folder_;
  storage::Disk disk_;
  storage::TestStores stores_{folder_.path(), disk_, clock_};
  asio::thread_pool pool_{1};
  services::Keys keys_{pool_, stores_.keys, clock_, 1};
  KeyGate gate_{keys_, clock_};
  net::Options net_options_;
  net::IoThread io_{0, net_options_};
  metrics::Registry registry_{1};
  services::Audit audit_{pool_, stores_.audit, registry_, clock_};
  std::set<std::string> seen_;  // The rows of requests before.
};

Task<Result<void>> do_it(Call& call) { return call.exchange.respond(200, "text/plain", "done", {}); }

TEST_F(AuditNoteTest, SaysWhoDidWhatFromWhere) {
  const Made key = made({.roles = {}, .limits = {}, .expires_at = {}, .is_admin = true});
  const std::string bearer = "Bearer " + key.secret;
  const Handle create = [](Call& call) -> Task<Result<void>> {
    call.target = {.id = "t1", .name = "a thing"};
    return do_it(call);
  };
  const auto rows =
      rows_of("POST", "/things", create, {{.name = "Authorization", .value = bearer}, {"X-Request-Id", "theirs"}});
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].actor, key.id);
  EXPECT_EQ(rows[0].actor_name, "ada");
  EXPECT_EQ(rows[0].peer, "192.0.2.7");
  EXPECT_EQ(rows[0].action, "thing.create");
  EXPECT_EQ(rows[0].target_kind, "thing");
  EXPECT_EQ(rows[0].target_id, "t1");
  EXPECT_EQ(rows[0].target_name, "a thing");
  EXPECT_EQ(rows[0].status, 200);
  EXPECT_EQ(rows[0].error_code, "");
  EXPECT_EQ(rows[0].request_id, "theirs");
}

TEST_F(AuditNoteTest, TakesWhatStandsInThePathForTheTarget) {
  const auto rows = rows_of("DELETE", "/things/a%20b", do_it);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].actor, "");
  EXPECT_EQ(rows[0].target_id, "a b");
}

TEST_F(AuditNoteTest, HasNothingOfWhatChangesNothing) {
  EXPECT_THAT(rows_of("GET", "/things", do_it), IsEmpty());
  EXPECT_THAT(rows_of("POST", "/ask", do_it), IsEmpty());
  EXPECT_THAT(rows_of("DELETE", "/nothing", do_it), IsEmpty());
  EXPECT_THAT(rows_of("OPTIONS", "/things", do_it), IsEmpty());
  const Handle unknown = [](Call&) -> Task<Result<void>> { co_return fail(Kind::not_found, "no_thing", "None."); };
  EXPECT_THAT(rows_of("DELETE", "/things/1", unknown), IsEmpty());
}

TEST_F(AuditNoteTest, AQuestionThatAsksForAChangeNamesIt) {
  const Handle unload = [](Call& call) -> Task<Result<void>> {
    call.action = "thing.unload";
    return do_it(call);
  };
  const auto rows = rows_of("POST", "/ask", unload);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].action, "thing.unload");
}

TEST_F(AuditNoteTest, HasWhatWasRefusedBecauseOfWhoAsks) {
  const Made key = made();
  const std::string bearer = "Bearer " + key.secret;
  const auto missing = rows_of("DELETE", "/things/1", do_it);
  ASSERT_EQ(missing.size(), 1U);
  EXPECT_EQ(missing[0].status, 401);
  EXPECT_EQ(missing[0].error_code, "key_missing");
  EXPECT_EQ(missing[0].actor, "");
  EXPECT_EQ(missing[0].target_id, "1");
  const auto plain = rows_of("POST", "/things", do_it, {{.name = "Authorization", .value = bearer}});
  ASSERT_EQ(plain.size(), 1U);
  EXPECT_EQ(plain[0].status, 403);
  EXPECT_EQ(plain[0].error_code, "admin_only");
  EXPECT_EQ(plain[0].actor, key.id);
  const auto page = rows_of("DELETE", "/things/2", do_it, {{.name = "Origin", .value = "https://evil.example"}});
  ASSERT_EQ(page.size(), 1U);
  EXPECT_EQ(page[0].status, 403);
  EXPECT_EQ(page[0].action, "thing.delete");
  EXPECT_EQ(page[0].target_id, "2");
  EXPECT_THAT(rows_of("GET", "/things", do_it), IsEmpty()) << "reading is not audited, refused or not";
}

TEST_F(AuditNoteTest, TellsWhatCameOfItAndNotWhatAnAnswerBeganWith) {
  const Handle breaks = [](Call& call) -> Task<Result<void>> {
    call.exchange.begin_sized(200, "text/plain", 9, {});
    co_await call.exchange.write("begun");
    co_return fail(Kind::backend_failed, "pull_failed", "It broke.");
  };
  const auto broken = rows_of("POST", "/things", breaks);
  ASSERT_EQ(broken.size(), 1U);
  EXPECT_EQ(broken[0].status, 502);
  const Handle left = [](Call&) -> Task<Result<void>> { co_return fail(Kind::cancelled, "client_left", "Gone."); };
  const auto gone = rows_of("POST", "/things", left);
  ASSERT_EQ(gone.size(), 1U);
  EXPECT_EQ(gone[0].status, 499);
}

}  // namespace
}  // namespace gbgreg::http
