#include "storage/database.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "storage/cutting_proxy.h"
#include "storage/each_database.h"
#include "storage/failing_disk.h"

namespace gbgreg::storage {
namespace {

// What holds on every database.
class DatabaseTest : public EachDatabase {
 protected:
  Options options(int connections = 2) const {
    return {.database_url = url_,
            .uploads_folder = {},
            .database_connections = connections,
            .database_busy_timeout = std::chrono::milliseconds(10)};
  }

  TestFolder folder_;
  std::string url_ = new_database(GetParam(), folder_.path());
};

class SqliteTest : public testing::Test {
 protected:
  std::filesystem::path path() const { return folder_.path() / "a b" / "gbgreg.db"; }
  Options options() const {
    return {.database_url = "sqlite://" + path().string(),
            .uploads_folder = {},
            .database_connections = 2,
            .database_busy_timeout = std::chrono::milliseconds(10)};
  }
  void SetUp() override { std::filesystem::create_directory(folder_.path() / "a b"); }

  TestFolder folder_;
};

std::string text(Database& database, const std::string& sql) {
  return database
      .with_connection([&](soci::session& session) -> Result<std::string> {
        std::string value;
        session << sql, soci::into(value);
        return value;
      })
      .value();
}

Result<void> run(Database& database, const std::string& sql) {
  return database.with_connection([&](soci::session& session) -> Result<void> {
    session << sql;
    return {};
  });
}

// Soon at least: with little patience and on a busy machine, not each time.
bool goes_well(Database& database) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!run(database, "SELECT 'well'")) {
    if (std::chrono::steady_clock::now() > until) return false;
  }
  return true;
}

TEST_F(SqliteTest, IsDurableAndLetsReadersGoOn) {
  auto database = std::move(Database::open(options()).value());
  EXPECT_EQ(text(*database, "PRAGMA journal_mode"), "wal");
  EXPECT_EQ(text(*database, "PRAGMA synchronous"), "2");
  EXPECT_EQ(text(*database, "PRAGMA foreign_keys"), "1");
  EXPECT_EQ(text(*database, "PRAGMA busy_timeout"), "10");
}

TEST(DatabaseUrls, ThatItDoesNotSpeakAreRefusedAndNotShown) {
  for (const std::string url : {"", "sqlite", "sqlite://", "sqlite:///", "sqlite://relative.db", "mysql://x:secret@y",
                                "/var/lib/x.db", "sqlite:///a\"b", "postgresql", "postgresql://u:secret%zz@h/d",
                                "postgresql://u:secret@h/d?no_such=1", "postgresql://[::1/d?password=secret"}) {
    SCOPED_TRACE(url);
    const auto refused = Database::open({.database_url = url, .uploads_folder = {}});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, "database_url");
    EXPECT_EQ((refused.error().message + refused.error().detail).find("secret"), std::string::npos);
  }
}

TEST_F(SqliteTest, MakesAFileThatOnlyItsOwnerReads) {
  auto database = std::move(Database::open(options()).value());
  EXPECT_EQ(std::filesystem::status(path()).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_EQ(database->kind(), "sqlite");
  EXPECT_EQ(database->place(), options().database_url);
}

TEST_F(SqliteTest, AFolderThatIsNotThereIsUnavailable) {
  Options elsewhere = options();
  elsewhere.database_url = "sqlite:///proc/no/such/folder/x.db";
  EXPECT_EQ(Database::open(elsewhere).error().code, "storage_failed");
}

TEST_F(SqliteTest, AFileThatIsNoDatabaseIsUnavailableAndStaysAsItIs) {
  std::ofstream(path()) << "I am a diary, and not a database at all.";
  const auto database = Database::open(options());
  ASSERT_FALSE(database);
  EXPECT_EQ(database.error().kind, Kind::unavailable);
  EXPECT_EQ(std::filesystem::file_size(path()), 40U);
}

TEST_P(DatabaseTest, AFailedTransactionLeavesNothingAndTheConnectionIsUsable) {
  auto database = std::move(Database::open(options()).value());
  ASSERT_TRUE(run(*database, "CREATE TABLE t (a integer PRIMARY KEY)"));
  for (int round = 0; round < 4; ++round) {
    const auto refused = database->in_transaction([](soci::session& session) -> Result<void> {
      session << "INSERT INTO t VALUES (1)";
      return fail(Kind::refused, "changed_my_mind", "No.");
    });
    EXPECT_EQ(refused.error().code, "changed_my_mind");
    const auto broken = database->in_transaction([](soci::session& session) -> Result<void> {
      session << "INSERT INTO t VALUES (1)";
      session << "INSERT INTO t VALUES (1)";
      return {};
    });
    EXPECT_EQ(broken.error().code, "database_failed");
    EXPECT_EQ(broken.error().kind, Kind::internal);
  }
  EXPECT_EQ(text(*database, "SELECT count(*) FROM t"), "0");
}

TEST_P(DatabaseTest, AnErrorShowsNoSqlToTheClient) {
  auto database = std::move(Database::open(options()).value());
  const auto broken = run(*database, "SELECT secrets FROM nowhere");
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().message.find("nowhere"), std::string::npos);
  EXPECT_NE(broken.error().detail.find("nowhere"), std::string::npos);
}

// The hash of a key is such a value, and what an error says is logged.
TEST_P(DatabaseTest, AnErrorDoesNotQuoteWhatWasBound) {
  auto database = std::move(Database::open(options()).value());
  ASSERT_TRUE(run(*database, "CREATE TABLE t (hash text PRIMARY KEY, n integer NOT NULL)"));
  const std::string hash = "abad1dea";
  const auto insert = [&](const char* sql) {
    return database->in_transaction([&](soci::session& session) -> Result<void> {
      session << sql, soci::use(hash, "hash");
      return {};
    });
  };
  ASSERT_TRUE(insert("INSERT INTO t (hash, n) VALUES (:hash, 1)"));
  for (const char* sql : {"INSERT INTO t (hash, n) VALUES (:hash, 1)", "INSERT INTO t (hash, n) VALUES (:hash, NULL)",
                          "SELECT nothing FROM t WHERE hash = :hash"}) {
    SCOPED_TRACE(sql);
    const auto refused = insert(sql);
    ASSERT_FALSE(refused);
    EXPECT_FALSE(refused.error().detail.empty());
    EXPECT_EQ((refused.error().message + refused.error().detail).find(hash), std::string::npos)
        << refused.error().detail;
  }
}

TEST_P(DatabaseTest, AMistakeOfOursIsNotTakenForADatabaseThatIsAway) {
  auto database = std::move(Database::open(options()).value());
  const auto broken = database->with_connection([](soci::session& session) -> Result<int> {
    int number = 0;
    session << "SELECT NULL", soci::into(number);  // SOCI wants to be told where a NULL may be.
    return number;
  });
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().kind, Kind::internal);
  EXPECT_EQ(broken.error().code, "database_failed");
}

TEST_P(DatabaseTest, ALockedDatabaseIsBusyAndNotBroken) {
  auto database = std::move(Database::open(options()).value());
  ASSERT_TRUE(run(*database, "CREATE TABLE t (a integer)"));
  const auto outer = database->in_transaction([&](soci::session&) -> Result<void> {
    const auto inner = database->in_transaction([](soci::session&) -> Result<void> { return {}; });
    EXPECT_EQ(inner.error().code, "database_busy");
    EXPECT_EQ(inner.error().retry_after_seconds, 1);
    return {};
  });
  EXPECT_TRUE(outer);
}

TEST_F(SqliteTest, AFullDatabaseSaysSoAndRecovers) {
  auto database = std::move(
      Database::open({.database_url = options().database_url, .uploads_folder = {}, .database_connections = 1})
          .value());
  ASSERT_TRUE(run(*database, "CREATE TABLE t (a text)"));
  ASSERT_TRUE(run(*database, "PRAGMA max_page_count = 4"));
  auto insert = [](soci::session& session) -> Result<void> {
    session << "INSERT INTO t VALUES (hex(zeroblob(100000)))";
    return {};
  };
  EXPECT_EQ(database->in_transaction(insert).error().code, "storage_full");
  ASSERT_TRUE(run(*database, "PRAGMA max_page_count = 1000000"));
  EXPECT_TRUE(database->in_transaction(insert));
}

TEST_P(DatabaseTest, ASnapshotIsOfOneMomentAndOnlyReads) {
  auto database = std::move(Database::open(options()).value());
  ASSERT_TRUE(run(*database, "CREATE TABLE t (a integer)"));
  const auto read = [](soci::session& session) {
    int rows = -1;
    session << "SELECT count(*) FROM t", soci::into(rows);
    return rows;
  };
  const auto outcome = database->in_transaction(
      [&](soci::session& session) -> Result<void> {
        EXPECT_EQ(read(session), 0);
        EXPECT_TRUE(run(*database, "INSERT INTO t VALUES (1)"));
        EXPECT_EQ(read(session), 0);
        return {};
      },
      TransactionKind::snapshot);
  EXPECT_TRUE(outcome);
  EXPECT_EQ(text(*database, "SELECT count(*) FROM t"), "1");
}

GBGREG_ON_EACH_DATABASE(DatabaseTest);

class PostgresTest : public testing::Test {
 protected:
  Options options(const std::string& url = PrivatePostgres::instance().new_place()) const {
    return {.database_url = url,
            .uploads_folder = {},
            .database_connections = 2,
            .database_busy_timeout = std::chrono::milliseconds(10)};
  }
};

TEST_F(PostgresTest, IsDurableAndBounded) {
  auto database = std::move(
      Database::open(options(PrivatePostgres::instance().new_place() + "%20-csynchronous_commit%3Doff")).value());
  EXPECT_EQ(text(*database, "SHOW synchronous_commit"), "on");
  EXPECT_EQ(text(*database, "SHOW statement_timeout"), "15s");
  EXPECT_EQ(text(*database, "SHOW lock_timeout"), "10ms");
  EXPECT_EQ(text(*database, "SHOW idle_in_transaction_session_timeout"), "15s");
  EXPECT_EQ(text(*database, "SHOW application_name"), "gbgreg");
  EXPECT_EQ(text(*database, "SHOW client_encoding"), "UTF8");
  EXPECT_EQ(database->kind(), "postgresql");
}

TEST_F(PostgresTest, AStatementThatTakesTooLongLeavesTheConnectionUsable) {
  Options impatient = options();
  impatient.database_statement_timeout = std::chrono::milliseconds(20);
  auto database = std::move(Database::open(impatient).value());
  EXPECT_EQ(run(*database, "SELECT pg_sleep(60)").error().code, "database_busy");
  EXPECT_TRUE(goes_well(*database));
}

TEST_F(PostgresTest, AnErrorIsWhatItsNumberSays) {
  auto database = std::move(Database::open(options()).value());
  const std::pair<const char*, const char*> cases[] = {
      {"53100", "storage_full"},   {"53300", "storage_failed"},  {"40001", "database_busy"},
      {"40P01", "database_busy"},  {"55P03", "database_busy"},   {"08006", "storage_failed"},
      {"58030", "storage_failed"}, {"XX001", "storage_failed"},  {"25006", "storage_failed"},
      {"42501", "storage_failed"}, {"22012", "database_failed"}, {"XX000", "database_failed"}};
  for (const auto& [state, code] : cases) {
    SCOPED_TRACE(state);
    const std::string raise = std::string("DO $$ BEGIN RAISE SQLSTATE '") + state + "'; END $$";
    EXPECT_EQ(run(*database, raise).error().code, code);
  }
}

// COMMIT would roll it back and say that all is well.
TEST_F(PostgresTest, ATransactionInWhichAnErrorWasOverlookedIsNotCommitted) {
  auto database = std::move(Database::open(options()).value());
  ASSERT_TRUE(run(*database, "CREATE TABLE t (a integer PRIMARY KEY)"));
  const auto outcome = database->in_transaction([](soci::session& session) -> Result<void> {
    session << "INSERT INTO t VALUES (1)";
    try {
      session << "INSERT INTO t VALUES (1)";
    } catch (const soci::soci_error&) {
      return {};
    }
    return {};
  });
  EXPECT_EQ(outcome.error().code, "database_failed");
  EXPECT_EQ(text(*database, "SELECT count(*) FROM t"), "0");
}

TEST_F(PostgresTest, AFailedTransactionLeavesNoStatementBehind) {
  Options single = options();
  single.database_connections = 1;
  auto database = std::move(Database::open(single).value());
  const auto outcome = database->in_transaction([](soci::session& session) -> Result<void> {
    soci::statement statement = (session.prepare << "SELECT 1 / 0");
    statement.execute(true);
    return {};
  });
  EXPECT_FALSE(outcome);
  EXPECT_EQ(text(*database, "SELECT count(*) FROM pg_prepared_statements"), "0");
}

TEST_F(PostgresTest, APasswordIsShownNowhere) {
  const std::string parameters[] = {"&password=pa%3Ass'w%20rd", "&sslpassword=pa%3Ass'w%20rd"};
  for (const std::string& parameter : parameters) {
    // A database of this name makes the server itself say the word.
    std::string url = PrivatePostgres::instance().url(parameter);
    url.replace(url.find("/postgres?"), 10, "/pa%3Ass'w%20rd?");
    const auto away = Database::open(options(url));
    ASSERT_FALSE(away);
    EXPECT_EQ(away.error().code, "storage_failed");
    EXPECT_EQ((away.error().message + away.error().detail).find("pa:ss"), std::string::npos) << away.error().detail;
  }
  auto database = std::move(Database::open(options(PrivatePostgres::instance().url(parameters[0]))).value());
  EXPECT_EQ(database->place().find("pa"), std::string::npos) << database->place();
  EXPECT_EQ(database->place().find("ss'w"), std::string::npos);
  const auto said = run(*database, "SELECT 'pa:ss''w rd', \"pa:ss'w rd\"");
  EXPECT_EQ(said.error().detail.find("\"pa:ss'w rd\""), std::string::npos) << said.error().detail;
}

TEST_F(PostgresTest, AServerThatIsNotThereIsUnavailable) {
  const auto away = Database::open(options("postgresql://gbgreg@/x?host=/nowhere"));
  ASSERT_FALSE(away);
  EXPECT_EQ(away.error().kind, Kind::unavailable);
  EXPECT_EQ(away.error().code, "storage_failed");
}

TEST_F(PostgresTest, ADatabaseThatIsNotOfUnicodeIsRefused) {
  auto maker = std::move(Database::open(options(PrivatePostgres::instance().url())).value());
  ASSERT_TRUE(
      run(*maker, "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"));
  std::string url = PrivatePostgres::instance().url();
  url.replace(url.find("/postgres?"), 10, "/latin?");
  const auto refused = Database::open(options(url));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().detail.find("UTF8"), std::string::npos);
}

TEST_F(PostgresTest, AConnectionThatDiedIsOpenedAgainWhenItIsNextUsed) {
  auto database = std::move(Database::open(options()).value());
  auto other = std::move(Database::open(options(PrivatePostgres::instance().url())).value());
  ASSERT_TRUE(run(*database, "SELECT 1"));
  ASSERT_TRUE(run(*other,
                  "DO $$ BEGIN PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                  " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'; END $$"));
  EXPECT_EQ(text(*database, "SELECT 'well'"), "well");
  EXPECT_EQ(text(*database, "SHOW lock_timeout"), "10ms");
}

TEST_F(PostgresTest, AConnectionThatDiesInATransactionIsAnErrorOfItAlone) {
  auto database = std::move(Database::open(options()).value());
  ASSERT_TRUE(run(*database, "CREATE TABLE t (a integer)"));
  const auto lost = database->in_transaction([](soci::session& session) -> Result<void> {
    session << "INSERT INTO t VALUES (1)";
    session << "SELECT pg_terminate_backend(pg_backend_pid())";
    return {};
  });
  EXPECT_EQ(lost.error().code, "storage_failed");
  EXPECT_EQ(text(*database, "SELECT count(*) FROM t"), "0");
}

TEST_F(PostgresTest, AServerThatWentIsUnavailableUntilItIsBack) {
  auto database = std::move(Database::open(options()).value());
  ASSERT_TRUE(run(*database, "CREATE TABLE gbgreg_schema_migrations (a integer)"));
  PrivatePostgres::instance().stop();
  for (int use = 0; use < 5; ++use) {
    const auto away = database->check();
    ASSERT_FALSE(away);
    EXPECT_EQ(away.error().code, "storage_failed");
  }
  PrivatePostgres::instance().start();
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!database->check() && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  EXPECT_TRUE(database->check());
}

// A server that is stopped: its kernel still takes what it is sent.
TEST_F(PostgresTest, AServerThatDoesNotAnswerIsUnavailableAndNotWaitedForWithoutEnd) {
  Options impatient = options();
  impatient.database_connections = 1;
  // As impatient as the machine lets us be: a busy one may not even open it in so little time.
  std::unique_ptr<Database> database;
  pid_t server = 0;
  for (std::chrono::milliseconds bound{100}; server == 0 && bound < std::chrono::seconds(10); bound *= 2) {
    impatient.database_statement_timeout = 2 * bound;
    impatient.database_answer_grace = bound;
    auto opened = Database::open(impatient);
    if (!opened) continue;
    database = std::move(*opened);
    const auto pid = database->with_connection([](soci::session& session) -> Result<int> {
      int of_server = 0;
      session << "SELECT pg_backend_pid()", soci::into(of_server);
      return of_server;
    });
    server = pid.value_or(0);
  }
  ASSERT_GT(server, 0);
  ASSERT_EQ(::kill(server, SIGSTOP), 0);
  EXPECT_EQ(run(*database, "SELECT 1").error().code, "storage_failed");
  ASSERT_EQ(::kill(server, SIGCONT), 0);
  EXPECT_TRUE(goes_well(*database));
}

TEST_F(PostgresTest, WhatOnlyAcceptsIsUnavailable) {
  const int hole = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(hole, reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(hole, 16), 0);
  ASSERT_EQ(::getsockname(hole, reinterpret_cast<sockaddr*>(&address), &size), 0);
  Options patient = options("postgresql://gbgreg@127.0.0.1:" + std::to_string(::ntohs(address.sin_port)) + "/x");
  patient.database_connect_timeout = std::chrono::seconds(2);
  const auto away = Database::open(patient);
  ::close(hole);
  ASSERT_FALSE(away);
  EXPECT_EQ(away.error().code, "storage_failed");
  EXPECT_NE(away.error().detail.find("timeout"), std::string::npos) << away.error().detail;
}

// Whoever asked cannot know what became of it, and is told that it failed: nothing is sent twice by itself.
TEST_F(PostgresTest, ACommitWhoseConnectionIsCutFailsWhetherItHappenedOrNot) {
  using Cut = CuttingProxy::Cut;
  const TestFolder folder;
  std::string url = PrivatePostgres::instance().new_place();
  const std::size_t from = url.find("host=") + 5, to = url.find('&', from);
  const std::filesystem::path server = url.substr(from, to - from);
  CuttingProxy proxy(folder.path(), server);
  ASSERT_TRUE(proxy.is_listening());
  Options patient = options(url);
  patient.database_busy_timeout = std::chrono::seconds(60);
  auto direct = std::move(Database::open(patient).value());
  ASSERT_TRUE(run(*direct, "CREATE TABLE t (a integer)"));
  url.replace(from, to - from, folder.path().string());
  auto database = std::move(Database::open(options(url)).value());
  const auto insert = [&] {
    return database->in_transaction([](soci::session& session) -> Result<void> {
      session << "INSERT INTO t VALUES (1)";
      return {};
    });
  };
  const std::pair<Cut, const char*> cases[] = {{Cut::before_the_server, "0"}, {Cut::before_the_client, "1"}};
  for (const auto& [where, rows] : cases) {
    proxy.cut_at(std::string_view("COMMIT", sizeof "COMMIT"), where);  // With its end: READ COMMITTED is another.
    const auto lost = insert();
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, "storage_failed");
    EXPECT_EQ(lost.error().kind, Kind::unavailable);
    // The lock of the transaction that was cut is not there any more.
    EXPECT_TRUE(direct->in_transaction([](soci::session&) -> Result<void> { return {}; }));
    EXPECT_EQ(text(*direct, "SELECT count(*) FROM t"), rows);
  }
  EXPECT_TRUE(insert());
  EXPECT_EQ(text(*direct, "SELECT count(*) FROM t"), "2");
}

}  // namespace
}  // namespace gbgreg::storage
