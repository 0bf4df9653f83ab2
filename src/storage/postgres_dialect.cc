#include <libpq-fe.h>
#include <poll.h>
#include <soci/postgresql/soci-postgresql.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "storage/answer_watch.h"
#include "storage/database_url.h"
#include "storage/dialect.h"

namespace gbgreg::storage {
namespace {

// Whoever writes holds this lock of the database until the end of his transaction: one writer at a time, as on SQLite.
// The number is "gbgreg" in ASCII.
constexpr long long kWriteLock = 0x676267726567;

// How long a migration, or a copy, waits for one that another gateway makes.
constexpr std::chrono::minutes kMigrationWaitMax{10};

// libpq takes anything below two seconds for two.
constexpr std::chrono::seconds kConnectTimeoutMin{2};

using Settings = std::map<std::string, std::string>;

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { ::PQconninfoFree(options); }
};

// What a URL says, by libpq's names. Nothing when libpq does not understand it.
std::optional<Settings> settings_in(const std::string& url) {
  char* complaint = nullptr;  // Not shown: it may quote any part of the URL.
  const std::unique_ptr<PQconninfoOption, FreeOptions> parsed(::PQconninfoParse(url.c_str(), &complaint));
  if (complaint != nullptr) ::PQfreemem(complaint);
  if (!parsed) return std::nullopt;
  Settings settings;
  for (const PQconninfoOption* option = parsed.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) settings[option->keyword] = option->val;
  }
  return settings;
}

// Every wait of libpq's is bounded. What the URL says itself goes over it, but for what makes a wait endless.
void add_bounds(Settings& settings, const Options& options) {
  const auto connect_timeout =
      std::max(kConnectTimeoutMin, std::chrono::duration_cast<std::chrono::seconds>(options.database_connect_timeout));
  const auto silence = options.database_silence_max;
  const auto half_silence = std::chrono::duration_cast<std::chrono::seconds>(silence) / 2;
  const std::pair<const char*, std::string> bounds[] = {
      {"connect_timeout", std::to_string(connect_timeout.count())},
      {"application_name", "gbgreg"},
      {"keepalives", "1"},
      {"keepalives_idle", std::to_string(half_silence.count())},
      {"keepalives_interval", std::to_string(std::max<std::int64_t>(1, half_silence.count() / 3))},
      {"keepalives_count", "3"},
      {"tcp_user_timeout", std::to_string(silence.count())},
  };
  for (const auto& [name, value] : bounds) settings.try_emplace(name, value);
  if (settings["connect_timeout"] == "0") settings["connect_timeout"] = std::to_string(connect_timeout.count());
  settings["client_encoding"] = "UTF8";
}

// As libpq reads it: name='value', with a backslash before what it must not take for its own.
std::string as_text(const Settings& settings) {
  std::string text;
  for (const auto& [name, value] : settings) {
    if (!text.empty()) text += ' ';
    text.append(name).append("='");
    for (const char c : value) {
      if (c == '\'' || c == '\\') text += '\\';
      text += c;
    }
    text += '\'';
  }
  return text;
}

// One command more or less is no matter, so all bounds of the server are set by one.
std::string set_bounds(const Options& options) {
  const auto set = [](const char* name, std::int64_t value) {
    return std::string("set_config('") + name + "', '" + std::to_string(value) + "', false)";
  };
  // A commit survives a loss of power; what a server has beyond that, for its replicas, stays.
  return "SELECT " + set("statement_timeout", options.database_statement_timeout.count()) + ", " +
         set("lock_timeout", options.database_busy_timeout.count()) + ", " +
         // One that was stopped in the midst of a transaction does not hold the others up for ever.
         set("idle_in_transaction_session_timeout", options.database_statement_timeout.count()) +
         ", set_config('client_min_messages', 'warning', false)"
         ", set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'"
         " ELSE current_setting('synchronous_commit') END, false)";
}

PGconn* connection_of(soci::session& session) {
  const auto* backend = static_cast<soci::postgresql_session_backend*>(session.get_backend());
  return backend != nullptr ? backend->conn_ : nullptr;
}

// Each statement has the whole time for its answer.
class NextQuery final : public soci::logger_impl {
 public:
  NextQuery(AnswerWatch& watch, int socket) : watch_(watch), socket_(socket) {}
  void start_query(const std::string&) override { watch_.go_on(socket_); }

 private:
  soci::logger_impl* do_clone() const override { return new NextQuery(watch_, socket_); }

  AnswerWatch& watch_;
  int socket_;
};

class PostgresDialect final : public Dialect {
 public:
  PostgresDialect(const Settings& settings, const Options& options)
      : watch_(options.database_statement_timeout + options.database_answer_grace),
        connection_(as_text(settings)),
        set_bounds_(set_bounds(options)) {
    for (const char* secret : {"password", "sslpassword"}) {
      const auto found = settings.find(secret);
      if (found != settings.end() && !found->second.empty()) secrets_.push_back(found->second);
    }
    place_ = "postgresql://" + value_of(settings, "user", "", "@") + value_of(settings, "host", "", "") +
             value_of(settings, "port", ":", "") + "/" + value_of(settings, "dbname", "", "");
    hide_secrets(place_);
  }

  std::string_view name() const override { return "postgresql"; }
  std::string place() const override { return place_; }

  void connect(soci::session& session) const override {
    session.open(soci::postgresql, connection_);
    // Without the details of a message, which quote rows.
    ::PQsetErrorVerbosity(connection_of(session), PQERRORS_TERSE);
    const int socket = ::PQsocket(connection_of(session));
    session.set_logger(new NextQuery(watch_, socket));  // NOLINT(cppcoreguidelines-owning-memory): SOCI takes it.
    const AnswerWatch::Watched watched(watch_, socket);
    const char* encoding = ::PQparameterStatus(connection_of(session), "server_encoding");
    if (encoding == nullptr || std::string_view(encoding) != "UTF8") {
      throw soci::soci_error("The database's encoding is not UTF8: make one with CREATE DATABASE … ENCODING 'UTF8'.");
    }
    session << set_bounds_;
  }

  // A server that went has said so on the socket, so a look at that is enough, and costs no journey.
  bool is_usable(soci::session& session) const override {
    PGconn* connection = connection_of(session);
    constexpr int kLooksMax = 8;  // What there is to read beside the end: a farewell, a changed setting.
    for (int looks = 0; looks < kLooksMax; ++looks) {
      if (connection == nullptr || ::PQstatus(connection) != CONNECTION_OK) return false;
      if (::PQtransactionStatus(connection) != PQTRANS_IDLE) return false;
      pollfd watched{.fd = ::PQsocket(connection), .events = POLLIN, .revents = 0};
      if (::poll(&watched, 1, 0) <= 0) return true;
      if (::PQconsumeInput(connection) == 0) return false;
    }
    return true;
  }

  void begin_use(soci::session& session) const override { watch_.begin(::PQsocket(connection_of(session))); }
  void end_use(soci::session& session) const override {
    if (PGconn* connection = connection_of(session)) watch_.end(::PQsocket(connection));
  }

  // Read committed: once the lock is there, every statement sees what those who had it before have committed.
  void begin(soci::session& session, TransactionKind kind) const override {
    if (kind == TransactionKind::snapshot) {
      session << "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    } else {
      session << "BEGIN ISOLATION LEVEL READ COMMITTED";
    }
    if (kind != TransactionKind::write) {
      watch_.end(::PQsocket(connection_of(session)));  // It may take as long as it takes.
      session << "SET LOCAL statement_timeout = 0";
      session << "SET LOCAL idle_in_transaction_session_timeout = 0";
      session << "SET LOCAL lock_timeout = " << std::chrono::milliseconds(kMigrationWaitMax).count();
    }
    if (kind != TransactionKind::snapshot) session << "SELECT pg_advisory_xact_lock(" << kWriteLock << ")";
  }

  // COMMIT of a transaction that has failed rolls it back and calls that a success.
  void commit(soci::session& session) const override {
    if (::PQtransactionStatus(connection_of(session)) != PQTRANS_INTRANS) {
      throw soci::soci_error("A transaction that has failed was to be committed.");
    }
    session << "COMMIT";
  }

  // What was prepared within a transaction that failed could not be given back in it.
  void roll_back(soci::session& session) const override {
    session << "ROLLBACK";
    session << "DEALLOCATE ALL";
  }

  Error explain(const soci::soci_error& error, soci::session& session) const override {
    const auto* said = dynamic_cast<const soci::postgresql_soci_error*>(&error);
    const std::string state = said != nullptr ? said->sqlstate() : "";
    PGconn* connection = connection_of(session);
    const bool is_lost = connection == nullptr || ::PQstatus(connection) != CONNECTION_OK;
    return explain(state, is_lost, without_secrets(error.get_error_message()));
  }
  Error explain_away(const soci::soci_error& error) const override {
    return database_away(without_secrets(error.get_error_message()));
  }

  // Text is compared by its bytes, as SQLite does, whatever the language of the database: ids, paths and digests are
  // cut into pages by that.
  std::string definition(std::string_view statement) const override {
    constexpr std::string_view kText = "text", kInOrder = " WITHOUT ROWID";
    if (statement.ends_with(kInOrder)) statement.remove_suffix(kInOrder.size());
    const auto is_of_a_name = [](char c) { return (c >= 'a' && c <= 'z') || c == '_' || (c >= '0' && c <= '9'); };
    std::string made;
    for (std::size_t at = 0; at < statement.size();) {
      const std::size_t end = at + kText.size();
      const bool is_word = statement.substr(at).starts_with(kText) && (at == 0 || !is_of_a_name(statement[at - 1])) &&
                           (end == statement.size() || !is_of_a_name(statement[end]));
      if (is_word) made.append(kText).append(" COLLATE \"C\"");
      if (!is_word) made += statement[at];
      at = is_word ? end : at + 1;
    }
    return made;
  }

  std::vector<std::string> tables(soci::session& session) const override {
    return texts(session,
                 "SELECT CAST(table_name AS text) FROM information_schema.tables WHERE table_schema = current_schema()"
                 " AND table_type = 'BASE TABLE' AND table_name LIKE :name ORDER BY table_name COLLATE \"C\"",
                 "gbgreg%");
  }
  std::vector<std::string> columns(soci::session& session, const std::string& table) const override {
    return texts(session,
                 "SELECT CAST(column_name AS text) FROM information_schema.columns WHERE table_schema ="
                 " current_schema() AND table_name = :name ORDER BY ordinal_position",
                 table);
  }
  std::vector<std::string> primary_key(soci::session& session, const std::string& table) const override {
    return texts(session,
                 "SELECT CAST(k.column_name AS text) FROM information_schema.table_constraints c"
                 " JOIN information_schema.key_column_usage k ON k.constraint_schema = c.constraint_schema"
                 " AND k.constraint_name = c.constraint_name AND k.table_name = c.table_name"
                 " WHERE c.table_schema = current_schema() AND c.table_name = :name"
                 " AND c.constraint_type = 'PRIMARY KEY' ORDER BY k.ordinal_position",
                 table);
  }
  std::string exact(const std::string& column) const override { return column; }
  std::string now() const override { return "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"; }

 private:
  static std::string value_of(const Settings& settings, const char* name, const char* before, const char* behind) {
    const auto found = settings.find(name);
    return found == settings.end() || found->second.empty() ? "" : before + found->second + behind;
  }

  void hide_secrets(std::string& text) const {
    constexpr std::string_view kHidden = "***";
    for (const std::string& secret : secrets_) {
      for (std::size_t at = text.find(secret); at != text.npos; at = text.find(secret, at + kHidden.size())) {
        text.replace(at, secret.size(), kHidden);
      }
    }
  }
  std::string without_secrets(std::string text) const {
    hide_secrets(text);
    return text;
  }

  // By SQLSTATE, https://www.postgresql.org/docs/15/errcodes-appendix.html.
  static Error explain(std::string_view state, bool is_lost, std::string detail) {
    constexpr std::array kBusy = {"40001", "40P01", "55P03", "57014"};
    // Of classes: no connection, no right to one or to a table, no resources, shut down, disk, damage; and a server
    // that has become one that only reads.
    constexpr std::array kAway = {"08", "28", "42501", "53", "57P", "58", "XX001", "XX002", "25006"};
    const auto begins_so = [&](const char* front) { return state.starts_with(front); };
    if (state.starts_with("53100")) {
      Error full = database_away(std::move(detail));
      full.code = "storage_full";
      full.message = "The disk of the gateway's database is full. Free some space on it, then send the request again.";
      full.retry_after_seconds = 30;
      return full;
    }
    if (is_lost || std::ranges::any_of(kAway, begins_so)) return database_away(std::move(detail));
    if (std::ranges::any_of(kBusy, begins_so)) return database_busy(std::move(detail));
    return database_refused(std::move(detail));
  }

  mutable AnswerWatch watch_;
  std::string connection_;  // Has the password in it.
  std::string set_bounds_;
  std::vector<std::string> secrets_;
  std::string place_;
};

}  // namespace

bool has_password(const std::string& url) {
  const auto settings = is_postgres_url(url) ? settings_in(url) : std::nullopt;
  return settings && (settings->contains("password") || settings->contains("sslpassword"));
}

bool is_postgres_url(std::string_view url) {
  return url.starts_with("postgresql://") || url.starts_with("postgres://");
}

Result<std::unique_ptr<Dialect>> postgres_dialect(const Options& options) {
  auto settings = settings_in(options.database_url);
  if (!settings) {
    return fail(Kind::malformed, "database_url",
                "The database URL is none of PostgreSQL's. It is postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with "
                "what is no letter or digit in a name or password written as % and two digits.");
  }
  add_bounds(*settings, options);
  return std::make_unique<PostgresDialect>(*settings, options);
}

}  // namespace gbgreg::storage
