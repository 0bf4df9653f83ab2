#include "app/reload.h"

#include <spdlog/spdlog.h>

#include <exception>
#include <utility>

#include "app/doctor.h"
#include "app/listeners.h"
#include "core/log.h"

namespace gbgreg::app {
namespace {

using protocols::native::ReloadReport;

std::string list_text(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text.append(text.empty() ? "" : ", ").append(item);
  return text.empty() ? "none" : text;
}

std::unexpected<Error> stopping() {
  return std::unexpected(Error{.kind = Kind::unavailable,
                               .code = "stopping",
                               .message = "The gateway is stopping, and takes no other configuration any more.",
                               .retry_after_seconds = 5});
}

bool is_same(const std::optional<net::CertificateFiles>& one, const std::optional<net::CertificateFiles>& other) {
  if (!one || !other) return one.has_value() == other.has_value();
  return one->certificate == other->certificate && one->key == other->key;
}

// Whoever asks over the network learns the file's name, and not where it lies.
std::string without_folder(std::string message, const std::optional<std::string>& file) {
  if (file && message.starts_with(*file)) {
    message.replace(0, file->size(), std::filesystem::path(*file).filename().string());
  }
  return message;
}

}  // namespace

std::vector<std::string> needs_restart(const config::Config& running, const config::Config& fresh) {
  std::vector<std::string> keys;
  if (running.listen != fresh.listen) keys.emplace_back("listen");
  if (!is_same(running.tls, fresh.tls)) keys.emplace_back("tls");
  if (running.data != fresh.data) keys.emplace_back("data");
  if (running.database != fresh.database) keys.emplace_back("database");
  if (running.fleet.engine != fresh.fleet.engine) keys.emplace_back("engine");
  if (running.net.threads != fresh.net.threads) keys.emplace_back("threads");
  if (running.net.connections_max != fresh.net.connections_max) keys.emplace_back("limits.connections_max");
  if (running.archives != fresh.archives) keys.emplace_back("limits.archive_…_max");
  if (running.images != fresh.images) keys.emplace_back("limits.image_…_max");
  if (running.screenshots_queued_max != fresh.screenshots_queued_max) {
    keys.emplace_back("limits.screenshots_queued_max");
  }
  if (running.records != fresh.records) keys.emplace_back("records");
  if (running.tracing != fresh.tracing) keys.emplace_back("tracing");
  return keys;
}

std::vector<std::string> changes_in_place(const config::Config& running, const config::Config& fresh) {
  std::vector<std::string> changes;
  const auto number = [&](const char* key, auto before, auto after) {
    if (before == after) return;
    changes.push_back(std::string(key) + " is " + std::to_string(after) + " instead of " + std::to_string(before) +
                      ".");
  };
  const auto list = [&](const char* key, const auto& before, const auto& after) {
    if (before == after) return;
    changes.push_back(std::string(key) + " is now " + list_text(after) + ".");
  };
  number("limits.upload_bytes_max", running.http.upload_bytes_max, fresh.http.upload_bytes_max);
  number("limits.json_bytes_max", running.http.json_bytes_max, fresh.http.json_bytes_max);
  number("limits.pull_stall_seconds", running.stores.fetch.stall_timeout.count(),
         fresh.stores.fetch.stall_timeout.count());
  if (running.http.unknown_binaries_allowed != fresh.http.unknown_binaries_allowed) {
    changes.push_back(std::string("uploads.allow_unknown_binaries is now ") +
                      (fresh.http.unknown_binaries_allowed ? "true." : "false."));
  }
  list("hosts", running.http.hosts, fresh.http.hosts);
  list("origins", running.http.origins, fresh.http.origins);
  list("registries", running.stores.registries, fresh.stores.registries);
  // Clients learn of no folder.
  if (running.stores.other_folders != fresh.stores.other_folders) changes.emplace_back("model_stores has changed.");
  if (running.keys.required != fresh.keys.required) changes.emplace_back("auth.required has changed.");
  if (running.log_level != fresh.log_level) changes.push_back("log_level is now " + fresh.log_level + ".");
  return changes;
}

config::Config as_it_can_be(const config::Config& running, config::Config fresh) {
  fresh.listen = running.listen;
  fresh.tls = running.tls;
  fresh.insecure = running.insecure;
  fresh.data = running.data;
  fresh.database = running.database;
  fresh.stores.folder = running.stores.folder;
  fresh.fleet.engine = running.fleet.engine;
  fresh.net.threads = running.net.threads;
  fresh.net.connections_max = running.net.connections_max;
  fresh.archives = running.archives;
  fresh.images = running.images;
  fresh.screenshots_queued_max = running.screenshots_queued_max;
  fresh.tracing = running.tracing;
  return fresh;
}

Reload::Reload(config::Source source, config::Config running, FleetGround ground, storage::Disk& disk,
               OutsideBackends& outside)
    : source_(std::move(source)),
      running_(std::move(running)),
      ground_(std::move(ground)),
      disk_(disk),
      outside_(outside) {}

Reload::~Reload() { stop(); }

void Reload::stop() {
  is_stopped_ = true;
  thread_.join();
}

Task<Result<ReloadReport>> Reload::reload() {
  if (is_stopped_) co_return stopping();
  if (++waiting_ > kWaitingMax) {
    --waiting_;
    co_return std::unexpected(Error{.kind = Kind::busy,
                                    .code = "too_many_reloads",
                                    .message = "Too many wait for a reload already; ask again in a moment.",
                                    .retry_after_seconds = 1});
  }
  auto work = [this] {
    auto report = run();
    --waiting_;
    return report;
  };
  co_return co_await offload(thread_, std::move(work));
}

void Reload::reload_soon() {
  if (++waiting_ > kWaitingMax) {
    --waiting_;  // Those before it will read the file that this one would.
    return;
  }
  asio::post(thread_, [this] {
    note_signal(run());
    --waiting_;
  });
}

void Reload::note_signal(const Result<ReloadReport>& report) {
  if (!rooms_) return;
  services::Deed deed{.actor = std::string(storage::kSignal), .actor_name = "SIGHUP", .action = "config.reload"};
  if (!report) {
    deed.status = http_status(report.error().kind);
    deed.error_code = report.error().code;
  }
  rooms_->audit.note(deed);
}

// Whatever it comes to is logged here, so that a signal's outcome is known as well. What a failure left half done, the
// next reload does.
Result<ReloadReport> Reload::run() {
  if (is_stopped_ || !rooms_) return stopping();
  Result<ReloadReport> report;
  try {
    auto fresh = config::load(source_);
    auto checked = fresh ? check_addresses(*fresh, rooms_->keys.has_active() ? Lock::has_key : Lock::has_none)
                         : std::unexpected(std::move(fresh.error()));
    if (checked) checked = outside_.adopt(fresh->fleet.servers);
    if (!checked) {
      Error& error = checked.error();
      spdlog::error("the configuration was not reloaded, and nothing has changed: {}", error.message);
      return fail(Kind::refused, std::move(error.code),
                  without_folder(std::move(error.message), config::file_of(source_)) +
                      " Nothing has changed; mend that and reload again.");
    }
    for (const std::string& warning : fresh->warnings) spdlog::warn("{}", warning);
    report = take(std::move(*fresh));
  } catch (const std::exception& failure) {
    report = fail(Kind::internal, "reload_failed", "The reload broke off; the gateway's log says why. Try it again.",
                  failure.what());
  }
  if (!report) {
    spdlog::error("the configuration was not reloaded: {} {}", report.error().message, report.error().detail);
    return report;
  }
  spdlog::info("the configuration was reloaded; {} changes", report->changed.size());
  for (const std::string& change : report->changed) spdlog::info("reload: {}", change);
  if (!report->needs_restart.empty()) {
    spdlog::warn("reload: a restart is needed for {}", list_text(report->needs_restart));
  }
  return report;
}

// The fleet first, which alone may refuse.
Result<ReloadReport> Reload::take(config::Config fresh) {
  ReloadReport report{.needs_restart = needs_restart(running_, fresh)};
  config::Config next = as_it_can_be(running_, std::move(fresh));
  const auto library = std::make_shared<const models::Library>(next.stores, disk_);
  auto taken = rooms_->fleet.reconfigure(fleet_options(next, ground_, library));
  if (!taken) return std::unexpected(std::move(taken.error()));
  report.changed = std::move(taken->changed);
  report.unchanged = std::move(taken->unchanged);
  for (std::string& change : changes_in_place(running_, next)) report.changed.push_back(std::move(change));

  rooms_->models.adopt(library, next.stores, next.fleet.workers);
  rooms_->doctor.adopt(doctor_options(next));
  rooms_->health.set_upload_bytes_max(next.http.upload_bytes_max);
  rooms_->uploads.set_upload_bytes_max(next.http.upload_bytes_max);
  rooms_->intake.allow_unknown_binaries(next.http.unknown_binaries_allowed);
  rooms_->json.set_bytes_max(next.http.json_bytes_max);
  rooms_->pipeline.guard_by(next.http);
  rooms_->keys.adopt(next.keys);
  set_log_level(next.log_level);
  running_ = std::move(next);
  return report;
}

}  // namespace gbgreg::app
