#include "app/doctor.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/json.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <optional>

#include "app/models.h"
#include "fleet/process.h"
#include "intake/jail.h"
#include "models/library.h"
#include "net/client.h"
#include "net/io_thread.h"
#include "protocols/native.h"

namespace gbgreg::app {
namespace {

namespace json = boost::json;

constexpr std::size_t kAnswerBytesMax = 4 * 1024 * 1024;
constexpr std::chrono::milliseconds kConnectTimeout{300};
constexpr std::chrono::milliseconds kAnswerTimeout{8'000};
constexpr std::size_t kLineWidth = 100;
// When the models have had time to load, and so that a loss is noticed within half a minute.
constexpr std::chrono::milliseconds kFirstRoundAfter{5'000};
constexpr std::chrono::milliseconds kRoundEvery{20'000};
constexpr std::chrono::milliseconds kRoundEveryMax{600'000};  // While the driver hangs.
// At the kernel's log alone: with the driver's own time, a hang is named within ten seconds.
constexpr std::chrono::milliseconds kLookEvery{2'500};

// "http://127.0.0.1:3333" as the client takes it; one with TLS is not asked.
std::optional<std::string> as_client_takes_it(std::string address) {
  if (address.starts_with("https://")) return std::nullopt;
  if (address.starts_with("http://")) address.erase(0, std::string_view("http://").size());
  return address;
}

Task<std::optional<std::string>> ask(net::IoThread& io, std::string address, std::string_view target) {
  // A gateway that asks for keys tells only an admin.
  const char* key = std::getenv("GBGREG_KEY");  // NOLINT(concurrency-mt-unsafe): nobody sets any.
  const net::ClientRequest request{.method = "GET",
                                   .target = target,
                                   .bearer = key != nullptr ? std::string_view(key) : std::string_view(),
                                   .head_timeout = kAnswerTimeout};
  auto answer = co_await net::send(io, {.text = std::move(address)}, request);
  if (!answer || (*answer)->status() != 200) co_return std::nullopt;
  auto body = co_await (*answer)->read_all(kAnswerBytesMax);
  co_return body ? std::optional(std::move(*body)) : std::nullopt;
}

// What the gateway that runs here answers: its doctor has seen the models, too.
std::optional<std::string> ask_running_gateway(const config::Config& config, std::string_view target) {
  net::Options options = config.net;
  options.connect_timeout = kConnectTimeout;
  for (const std::string& listen : config.listen) {
    const auto address = as_client_takes_it(listen);
    if (!address) continue;
    net::IoThread io(0, options);
    std::optional<std::string> said;
    asio::co_spawn(io.executor(), ask(io, *address, target),
                   [&](const std::exception_ptr&, std::optional<std::string> body) {
                     said = std::move(body);
                     io.context().stop();
                   });
    io.context().run();
    if (said) return said;
  }
  return std::nullopt;
}

// Where no key is needed to ask.
bool is_a_gateway_running(const config::Config& config) {
  const auto said = ask_running_gateway(config, "/");
  return said && said->starts_with("gbgreg");
}

// Those that a gateway is to have, when none has them: one with TLS is not asked, and one that is asked too much at the
// moment answers / all the same.
std::vector<std::string> addresses_to_be_free(const config::Config& config) {
  if (is_a_gateway_running(config)) return {};
  std::vector<std::string> addresses = config.listen;
  std::erase_if(addresses, [](const std::string& address) { return !as_client_takes_it(address); });
  return addresses;
}

// ---- For people.

// Breaks at blanks, each line under the first word of the one before.
std::string wrapped(std::string_view text, std::size_t indent) {
  std::string out;
  std::size_t column = indent;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (column > indent && column + 1 + word.size() > kLineWidth) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  return out;
}

// Whose diagnosis it is: that of the gateway that runs here, or our own, because none does or it wants a key.
enum class Asked : std::uint8_t { running, own, closed };

void print(const services::Diagnosis& diagnosis, Asked asked) {
  std::cout << wrapped(diagnosis.summary, 0) << "\n";
  for (const gpu::Finding& finding : diagnosis.findings) {
    std::cout << fmt::format("\n{:8} {}\n", gpu::severity_name(finding.severity), finding.code);
    std::cout << "         " << wrapped(finding.message, 9) << "\n";
    for (const std::string& line : finding.evidence) std::cout << "  seen   " << wrapped(line, 9) << "\n";
    std::cout << "  do     " << wrapped(finding.fix, 9) << "\n";
  }
  if (diagnosis.findings.empty()) std::cout << "All is well.\n";
  if (asked != Asked::running) {
    std::cout << "\n"
              << wrapped(asked == Asked::closed
                             ? "The gateway that runs here wants an admin's key, so where the models' layers are could "
                               "not be looked at: put one into GBGREG_KEY and ask again."
                             : "No gateway runs here, so where the models' layers are could not be looked at: start "
                               "it by gbgreg serve and ask again.",
                         0)
              << "\n";
  }
  std::cout << std::flush;
}

gpu::Severity severity_named(std::string_view name) {
  for (const auto severity : {gpu::Severity::info, gpu::Severity::warning}) {
    if (name == gpu::severity_name(severity)) return severity;
  }
  return gpu::Severity::error;
}

// What a gateway of another version may say, too: only what is printed is read. Absent when it is no diagnosis.
std::optional<services::Diagnosis> read_diagnosis(const std::string& body) {
  boost::system::error_code error;
  const json::value value = json::parse(body, error);
  if (error || !value.is_object() || !value.get_object().contains("findings")) return std::nullopt;
  try {
    services::Diagnosis diagnosis{.summary = json::value_to<std::string>(value.at("summary"))};
    for (const json::value& one : value.at("findings").as_array()) {
      diagnosis.findings.push_back({.code = json::value_to<std::string>(one.at("code")),
                                    .severity = severity_named(one.at("severity").as_string()),
                                    .message = json::value_to<std::string>(one.at("message")),
                                    .evidence = json::value_to<std::vector<std::string>>(one.at("evidence")),
                                    .fix = json::value_to<std::string>(one.at("fix"))});
    }
    return diagnosis;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

int exit_status_of(std::string_view status) { return status == "error" ? 2 : status == "warning" ? 1 : 0; }

std::string as_json(const services::Diagnosis& diagnosis) {
  return protocols::native::write_doctor({.status = services::status_of(diagnosis),
                                          .summary = diagnosis.summary,
                                          .findings = diagnosis.findings,
                                          .devices = diagnosis.devices,
                                          .duration_ms = diagnosis.duration_ms});
}

// The owner's folders become "~".
std::string without_home(std::string text) {
  const char* home = std::getenv("HOME");  // NOLINT(concurrency-mt-unsafe): before any thread is started.
  const std::string_view folder = home != nullptr ? home : "";
  if (folder.size() < 2) return text;
  for (std::size_t at = text.find(folder); at != std::string::npos; at = text.find(folder, at + 1)) {
    text.replace(at, folder.size(), "~");
  }
  return text;
}

bool write_report(const DoctorCommand& command, const std::string& diagnosis, const std::string& facts,
                  const std::optional<std::string>& health) {
  std::ofstream file(command.report);
  file << without_home("{\"gbgreg\":\"" + command.version + "\",\"diagnosis\":" + diagnosis + ",\"facts\":" + facts +
                       ",\"health\":" + health.value_or("null") + "}\n")
       << std::flush;
  return file.good();
}

}  // namespace

services::DoctorOptions doctor_options(const config::Config& config) {
  // Shared with the options, which go their own ways.
  struct Stores {
    storage::Disk disk;
    models::Library library;
    explicit Stores(const models::Options& options) : library(options, disk) {}
  };
  const auto stores = std::make_shared<Stores>(config.stores);
  auto find_model = [stores](const std::string& model) -> Result<fleet::StoredFiles> {
    return with_stored_models({}, {stores, &stores->library}).find_model(model);
  };
  return {.engine = config.fleet.engine,
          .data = config.data,
          .database_url = config.database,
          .find_model = std::move(find_model),
          .workers = config.fleet.workers,
          .jail = intake::folder_of_own_program(),
          .upload_bytes_max = config.http.upload_bytes_max};
}

DoctorRounds::DoctorRounds(IoContext& context, services::Doctor& doctor, fleet::Fleet& fleet)
    : timer_(context.get_executor()),
      doctor_(doctor),
      fleet_(fleet),
      pause_(kRoundEvery),
      due_(std::chrono::steady_clock::now() + kFirstRoundAfter) {
  spawn(context.get_executor(), "doctor", go_round());
}

Task<void> DoctorRounds::go_round() {
  for (;;) {
    const bool is_due = co_await until_next_look();
    if (is_due) co_await doctor_.run();
    seen_ = doctor_.latest();
    if (seen_) {
      tell_news(*seen_);
      spare_the_driver(*seen_);
      share_out_the_cards(*seen_);
      if (!seen_->has_card) co_return;
    }
    due_ = std::chrono::steady_clock::now() + pause_;
  }
}

// Until an examination is due: its time has come, or the kernel has told of a hang that it had not told of before. Or,
// and then the answer is false, until somebody else had one made.
Task<bool> DoctorRounds::until_next_look() {
  for (;;) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= due_) co_return true;
    timer_.expires_at(std::min(due_, now + kLookEvery));
    auto [error] = co_await timer_.async_wait(use_tuple);
    if (error) co_return false;
    const std::string hang = co_await doctor_.newest_hang();
    const bool is_news = hang != hang_ && !hang.empty();
    hang_ = hang;
    if (is_news) co_return true;
    if (doctor_.latest() != seen_) co_return false;
  }
}

// Nothing is started that would ask a driver that hangs, and the next look at it is later each time.
void DoctorRounds::spare_the_driver(const services::Diagnosis& diagnosis) {
  const gpu::Finding* hangs = services::driver_hangs(diagnosis);
  if (hangs == nullptr) {
    pause_ = kRoundEvery;
    fleet_.hold_gpu(std::nullopt);
    return;
  }
  pause_ = std::min(2 * pause_, kRoundEveryMax);
  fleet_.hold_gpu(hangs->message + " No model is started on it until it answers; gbgreg doctor says what to do (" +
                  hangs->code + ").");
}

// As it is now: other programs come and go on a card.
void DoctorRounds::share_out_the_cards(const services::Diagnosis& diagnosis) {
  if (!diagnosis.card_memory) return;
  fleet_.set_card_budget(diagnosis.card_memory->bytes, diagnosis.card_memory->figures);
}

void DoctorRounds::tell_news(const services::Diagnosis& diagnosis) {
  std::vector<std::string> codes;
  for (const gpu::Finding& finding : diagnosis.findings) {
    codes.push_back(finding.code);
    if (std::ranges::find(told_, finding.code) != told_.end()) continue;
    spdlog::warn("doctor: {}: {} What to do: {}", finding.code, finding.message, finding.fix);
  }
  told_ = std::move(codes);
}

int examine(const config::Config& config, const DoctorCommand& command) {
  const bool is_own_machine = command.root == "/";
  const auto said = is_own_machine ? ask_running_gateway(config, "/api/doctor") : std::nullopt;
  auto diagnosis = said ? read_diagnosis(*said) : std::nullopt;
  const bool is_of_running = diagnosis.has_value();
  std::string facts;
  if (!diagnosis || !command.report.empty()) {
    services::DoctorOptions options = doctor_options(config);
    options.probe.root = command.root;
    if (!is_of_running) options.listen = addresses_to_be_free(config);
    auto own = services::diagnose(options, nullptr, fleet::own_environment());
    facts = own.facts_json;
    if (!diagnosis) diagnosis = std::move(own);
  }
  const std::string as_told = is_of_running ? *said : as_json(*diagnosis);
  if (command.as_json) {
    std::cout << as_told << std::endl;
  } else {
    const bool is_closed = !is_of_running && is_own_machine && is_a_gateway_running(config);
    print(*diagnosis, is_of_running ? Asked::running : is_closed ? Asked::closed : Asked::own);
  }
  if (!command.report.empty()) {
    const auto health = is_of_running ? ask_running_gateway(config, "/health") : std::nullopt;
    if (!write_report(command, as_told, facts, health)) {
      std::cerr << "gbgreg: the report could not be written to " << command.report.string() << ": "
                << std::strerror(errno) << std::endl;
      return 2;
    }
    if (!command.as_json)
      std::cout << "The report is in " << command.report.string() << ". Read it before you hand it on.\n";
  }
  return exit_status_of(services::status_of(*diagnosis));
}

}  // namespace gbgreg::app
