// How long the questions of analytics take, of as many requests as one likes (docs/benchmarks/records.md).
//
//   build/release/bin/bench_records [--database sqlite|postgresql] [--rows 10000000] [--runs 50]
//
// Ten million rows are of thirty days; fewer are of as many days less, so that a minute has as many.
// Everything lies in a folder under TMPDIR, 0.9 GB for a million rows, and is removed at the end, however that comes.
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <thread>

#include "core/ids.h"
#include "fill.h"
#include "questions.h"
#include "traffic.h"

namespace gbgreg::bench {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

struct Wanted {
  std::string database = "sqlite";
  std::int64_t rows = 200'000;
  int runs = 50;
  int live = 2'000;  // Rows a second while it is asked once more.
  int uploads = 100'000;
};

constexpr std::int64_t kRateRows = 200'000;
constexpr std::int64_t kRowsOfADay = 333'333;
constexpr std::int64_t kDaysMax = 30;
constexpr int kForgottenAtOnce = 2'000;  // As the upkeep does.
constexpr int kForgottenTimes = 100;

struct Times {
  double p50 = 0, p95 = 0, most = 0;
};

Times times_of(std::vector<double> all) {
  if (all.empty()) return {};
  std::ranges::sort(all);
  const auto at = [&](double part) {
    return all[static_cast<std::size_t>(std::lround(part * static_cast<double>(all.size() - 1)))];
  };
  return {.p50 = at(0.5), .p95 = at(0.95), .most = all.back()};
}

template <class Work>
double timed(Work work) {
  const auto began = Steady::now();
  work();
  return std::chrono::duration<double, std::milli>(Steady::now() - began).count();
}

struct Line {
  std::string name;
  std::size_t given = 0;
  double from_disk = 0, new_connection = 0;
  Times idle, live;
};

// Records as fast as it is told until it goes.
class Asking {
 public:
  Asking(records::Recorder& recorder, const Clock& clock, int a_second)
      : thread_([this, &recorder, &clock, a_second] { run(recorder, clock, a_second); }) {}
  ~Asking() {
    is_over_ = true;
    thread_.join();
  }
  Asking(const Asking&) = delete;
  Asking& operator=(const Asking&) = delete;

 private:
  void run(records::Recorder& recorder, const Clock& clock, int a_second) {
    Traffic traffic(clock.wall(), clock.wall() + 1min, 1);
    const auto began = Steady::now();
    for (std::int64_t asked = 0; !is_over_; std::this_thread::sleep_for(10ms)) {
      const auto due = std::chrono::duration_cast<std::chrono::milliseconds>(Steady::now() - began).count() * a_second;
      for (; asked < due / 1'000; ++asked) {
        const auto row = traffic.row();
        recorder.record(0, {.at = clock.wall(), .row = records::view_of(row)});
      }
    }
  }

  std::atomic<bool> is_over_ = false;
  std::thread thread_;
};

void say(const char* what, const std::vector<double>& milliseconds) {
  const Times times = times_of(milliseconds);
  std::printf("| %s | %zu | %.1f | %.1f | %.1f |\n", what, milliseconds.size(), times.p50, times.p95, times.most);
}

void say_rate(const char* what, const Filled& filled) {
  const Times writes = times_of(filled.writes);
  std::printf("| %s | %lld | %lld | %.1f | %.0f | %.1f | %.1f |\n", what, static_cast<long long>(filled.rows),
              static_cast<long long>(filled.sums), filled.seconds, static_cast<double>(filled.rows) / filled.seconds,
              writes.p95, writes.most);
}

// How fast rows and their sums are written into nothing, in two minutes' and in one second's portions.
void measure_writing(const Wanted& wanted, const fs::path& folder) {
  std::printf(
      "| written | rows | sums | s | rows/s | transaction p95, ms | max, ms |\n"
      "| --- | --- | --- | --- | --- | --- | --- |\n");
  for (const std::size_t at_once : {4'096, 500}) {
    const fs::path place = folder / ("rate-" + std::to_string(at_once));
    fs::create_directories(place);
    const House house(wanted.database, place);
    Calendar calendar;
    Gateway gateway(house, calendar);
    const WallTime from = WallTime(20'000 * 24h);
    const auto filled =
        fill(gateway.requests(), calendar,
             {.from = from, .to = from + 2min, .rows = kRateRows, .at_once = at_once, .keeps_up = false});
    say_rate(at_once == 500 ? "2 minutes, 500 at once" : "2 minutes, 4,096 at once", filled);
  }
}

// What a server does by itself in the course of a month.
void settle(storage::Database& database) {
  if (database.kind() != "postgresql") return;
  for (const char* statement : {"VACUUM ANALYZE", "CHECKPOINT"}) {
    need(database.with_connection([&](soci::session& session) -> Result<void> {
      session << "SET statement_timeout = 0";
      session << statement;
      return {};
    }));
  }
}

std::vector<double> ask_again(Gateway& gateway, const Question& question, int runs) {
  std::vector<double> milliseconds;
  milliseconds.reserve(static_cast<std::size_t>(runs));
  for (int i = 0; i < runs; ++i) milliseconds.push_back(timed([&] { question.ask(gateway); }));
  return milliseconds;
}

// Writers while rows go, and while none do.
void measure_forgetting(Gateway& gateway, const Calendar& calendar, WallTime from) {
  std::vector<double> deletions, alone, beside;
  Traffic traffic(calendar.wall(), calendar.wall() + 24h, 10'000'000);
  const auto write = [&](std::vector<double>& times) {
    constexpr int kRows = 500;
    std::vector<storage::RequestRow> rows;
    rows.reserve(kRows);
    for (int i = 0; i < kRows; ++i) rows.push_back(*traffic.next());
    times.push_back(timed([&] { need(gateway.requests().write(rows, {}, 0)); }));
  };
  for (int i = 0; i < kForgottenTimes; ++i) write(alone);
  std::atomic<bool> is_over = false;
  std::thread writer([&] {
    while (!is_over) write(beside);
  });
  const std::string below = first_uuid_of(from + (calendar.wall() - from) / 3);
  for (int i = 0; i < kForgottenTimes; ++i) {
    deletions.push_back(timed([&] { need(gateway.requests().forget_rows(below, kForgottenAtOnce)); }));
  }
  is_over = true;
  writer.join();
  say("500 rows written", alone);
  say("500 rows written, while others go", beside);
  say("2,000 rows deleted, while others come", deletions);
}

void measure(const Wanted& wanted, const fs::path& folder) {
  measure_writing(wanted, folder);
  const fs::path place = folder / "month";
  fs::create_directories(place);
  House house(wanted.database, place);
  Calendar calendar;
  const WallTime to = std::chrono::floor<std::chrono::minutes>(std::chrono::system_clock::now());
  const auto days = std::clamp<std::int64_t>(wanted.rows / kRowsOfADay, 1, kDaysMax);
  const WallTime from = to - days * 24h + 2h;  // So that none is too old while it is asked for.
  std::vector<Line> lines;
  const std::vector<Question> questions = all_questions(from, to);
  Filled filled;
  {
    Gateway gateway(house, calendar);
    const Plan plan{.from = from, .to = to, .rows = wanted.rows};
    filled = fill(gateway.requests(), calendar, plan);
    fill_uploads(gateway.database(), from, to, wanted.uploads);
    say_rate((std::to_string(days) + " days, 4,096 at once, with hours and days").c_str(), filled);
    std::fflush(stdout);
    settle(gateway.database());
  }
  const double gigabytes = house.gigabytes(), filling_megabytes = House::megabytes_at_most();
  calendar.let_go();

  house.forget_caches();
  {
    Gateway gateway(house, calendar);
    for (const Question& question : questions) {
      Line& line = lines.emplace_back();
      line.name = question.name;
      line.from_disk = timed([&] { line.given = question.ask(gateway); });
    }
  }
  for (std::size_t i = 0; i < questions.size(); ++i) {
    Gateway gateway(house, calendar);
    lines[i].new_connection = timed([&] { questions[i].ask(gateway); });
  }
  Gateway gateway(house, calendar);
  for (std::size_t i = 0; i < questions.size(); ++i) {
    lines[i].idle = times_of(ask_again(gateway, questions[i], wanted.runs));
  }
  gateway.recorder().start();
  {
    const Asking asking(gateway.recorder(), calendar, wanted.live);
    std::this_thread::sleep_for(2s);
    for (std::size_t i = 0; i < questions.size(); ++i) {
      lines[i].live = times_of(ask_again(gateway, questions[i], wanted.runs));
    }
  }
  gateway.recorder().stop();

  std::printf(
      "\n| question | given | from the disk, ms | new connection, ms | p50, ms | p95, ms | max, ms | p50 | p95 | max, "
      "while %d rows/s come |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
      wanted.live);
  for (const Line& line : lines) {
    std::printf("| %s | %zu | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f |\n", line.name.c_str(), line.given,
                line.from_disk, line.new_connection, line.idle.p50, line.idle.p95, line.idle.most, line.live.p50,
                line.live.p95, line.live.most);
  }
  std::printf("\n| upkeep | times | p50, ms | p95, ms | max, ms |\n| --- | --- | --- | --- | --- |\n");
  say("an hour put together, once an hour", filled.upkeep);
  measure_forgetting(gateway, calendar, from);
  std::printf("\n%.1f GB on the disk; %.0f MB of memory at most while filling, %.0f MB in all; %llu records dropped.\n",
              gigabytes, filling_megabytes, House::megabytes_at_most(),
              static_cast<unsigned long long>(gateway.recorder().dropped()));
}

int run(const Wanted& wanted, const fs::path& folder) {
  try {
    spdlog::set_level(spdlog::level::warn);
    measure(wanted, folder);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

// The work is done by a child, so that the folder goes whatever becomes of that.
int run_in_child(const Wanted& wanted) {
  std::string made = (fs::temp_directory_path() / "gbgreg-records-XXXXXX").string();
  if (::mkdtemp(made.data()) == nullptr) return 1;
  const fs::path folder = made;
  ::chmod(made.c_str(), 0755);  // PostgreSQL's server is another user's where this is root's.
  ::setenv("TMPDIR", made.c_str(), 1);
  sigset_t waited;
  ::sigemptyset(&waited);
  for (const int number : {SIGCHLD, SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&waited, number);
  ::sigprocmask(SIG_BLOCK, &waited, nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::sigprocmask(SIG_UNBLOCK, &waited, nullptr);
    const int code = run(wanted, folder);
    std::fflush(nullptr);
    ::_exit(code);
  }
  int status = 1;
  while (child > 0) {
    const int number = ::sigwaitinfo(&waited, nullptr);
    if (number != SIGCHLD) ::kill(child, SIGKILL);
    if (::waitpid(child, &status, number == SIGCHLD ? WNOHANG : 0) == child) break;
  }
  // A server that ends a moment later still writes there.
  std::error_code error;
  for (int tries = 0; tries < 100 && fs::exists(folder, error); ++tries) {
    fs::remove_all(folder, error);
    std::this_thread::sleep_for(20ms);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace
}  // namespace gbgreg::bench

int main(int count, char** words) {
  gbgreg::bench::Wanted wanted;
  CLI::App app("How long the questions of analytics take.");
  app.add_option("--database", wanted.database, "sqlite or postgresql")
      ->check(CLI::IsMember({"sqlite", "postgresql"}))
      ->capture_default_str();
  app.add_option("--rows", wanted.rows)->check(CLI::Range(1'000L, 100'000'000L))->capture_default_str();
  app.add_option("--runs", wanted.runs, "how often each question is asked")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  app.add_option("--live", wanted.live, "rows a second that come meanwhile")
      ->check(CLI::Range(0, 100'000))
      ->capture_default_str();
  app.add_option("--uploads", wanted.uploads)->check(CLI::Range(0, 10'000'000))->capture_default_str();
  CLI11_PARSE(app, count, words);
  return gbgreg::bench::run_in_child(wanted);
}
