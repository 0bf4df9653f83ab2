#include "storage/private_postgres.h"

#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace gbgreg::storage {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kStartMax{60};
constexpr std::chrono::milliseconds kBetweenLooks{5};

[[noreturn]] void give_up(const std::string& why) { throw std::runtime_error("No PostgreSQL for tests: " + why); }

fs::path find_programs() {
  std::error_code error;
  for (fs::directory_iterator version("/usr/lib/postgresql", error), end; !error && version != end;
       version.increment(error)) {
    if (fs::exists(version->path() / "bin/initdb") && fs::exists(version->path() / "bin/postgres")) {
      return version->path() / "bin";
    }
  }
  give_up("initdb and postgres are not in /usr/lib/postgresql. Install Debian's package postgresql.");
}

std::string text_of(const fs::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Another process as `user`, that ends with this one. Its output goes into `log`.
pid_t begin(std::vector<std::string> words, uid_t user, gid_t group, const fs::path& log) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) give_up("fork failed.");
  if (child > 0) return child;
  const bool is_other = user != ::geteuid();
  if (is_other && (::setgroups(0, nullptr) != 0 || ::setgid(group) != 0 || ::setuid(user) != 0)) ::_exit(126);
  ::prctl(PR_SET_PDEATHSIG, SIGQUIT);  // For postgres: at once, and without leaving anything in shared memory.
  if (::getppid() != parent) ::_exit(125);
  const int output = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  const int input = ::open("/dev/null", O_RDONLY);
  if (output < 0 || input < 0) ::_exit(123);
  ::dup2(input, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  if (::chdir(log.parent_path().c_str()) != 0) ::_exit(124);
  ::execv(arguments.front(), arguments.data());
  ::_exit(127);
}

struct Finish {
  void operator()(PGconn* connection) const { ::PQfinish(connection); }
};

void run_sql(const std::string& url, const std::string& sql) {
  const std::unique_ptr<PGconn, Finish> connection(::PQconnectdb(url.c_str()));
  PGresult* result = ::PQexec(connection.get(), sql.c_str());
  const bool is_done = ::PQresultStatus(result) == PGRES_COMMAND_OK;
  ::PQclear(result);
  if (!is_done) give_up(::PQerrorMessage(connection.get()));
}

}  // namespace

PrivatePostgres& PrivatePostgres::instance() {
  static PrivatePostgres server(Settings::fast);
  return server;
}

PrivatePostgres::PrivatePostgres(Settings settings)
    : settings_(settings), programs_(find_programs()), user_(::geteuid()), group_(::getegid()) {
  make_folder();
  make_databases();
  start();
}

void PrivatePostgres::make_folder() {
  std::string path = (fs::temp_directory_path() / "gbgreg-postgres-XXXXXX").string();
  if (::mkdtemp(path.data()) == nullptr) give_up("there is no place for temporary files.");
  folder_ = path;
  if (user_ != 0) return;
  for (const char* name : {"postgres", "nobody"}) {
    const passwd* found = ::getpwnam(name);  // NOLINT(concurrency-mt-unsafe): the tests have one thread here.
    if (found == nullptr) continue;
    user_ = found->pw_uid;
    group_ = found->pw_gid;
    if (::chown(folder_.c_str(), user_, group_) == 0) return;
  }
  give_up("root may not run it, and there is no user postgres or nobody that could.");
}

void PrivatePostgres::make_databases() {
  const pid_t child = begin({programs_ / "initdb", "--pgdata", folder_ / "data", "--username", "gbgreg", "--auth",
                             "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--locale-provider", "icu",
                             "--icu-locale", "en", "--no-sync", "--no-instructions"},
                            user_, group_, folder_ / "log");
  int status = 0;
  if (::waitpid(child, &status, 0) != child || status != 0) give_up("initdb failed: " + text_of(folder_ / "log"));
}

void PrivatePostgres::start() {
  std::vector<std::string> words{programs_ / "postgres", "-D", folder_ / "data", "-k", folder_, "-c",
                                 "listen_addresses="};
  if (settings_ == Settings::fast) {
    for (const char* setting :
         {"fsync=off", "full_page_writes=off", "shared_buffers=16MB", "max_connections=50", "autovacuum=off"}) {
      words.insert(words.end(), {"-c", setting});
    }
  }
  server_ = begin(std::move(words), user_, group_, folder_ / "log");
  const auto until = std::chrono::steady_clock::now() + kStartMax;
  while (::PQping(url().c_str()) != PQPING_OK) {
    const bool has_ended = ::waitpid(server_, nullptr, WNOHANG) == server_;
    if (has_ended) server_ = 0;
    if (has_ended || std::chrono::steady_clock::now() > until) give_up(text_of(folder_ / "log"));
    std::this_thread::sleep_for(kBetweenLooks);
  }
}

void PrivatePostgres::stop() {
  if (server_ <= 0) return;
  ::kill(server_, SIGQUIT);
  ::waitpid(server_, nullptr, 0);
  server_ = 0;
}

PrivatePostgres::~PrivatePostgres() {
  stop();
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

std::string PrivatePostgres::url(const std::string& parameters) const {
  return "postgresql://gbgreg@/postgres?host=" + folder_.string() + parameters;
}

std::string PrivatePostgres::new_place() {
  const std::string schema = "place_" + std::to_string(++places_);
  run_sql(url(), "CREATE SCHEMA " + schema);
  return url("&options=-csearch_path%3D" + schema);
}

}  // namespace gbgreg::storage
