// Takes another configuration while the gateway runs: POST /api/reload and SIGHUP.
//
// The file is read again by a thread of its own, with the flags and the environment that the gateway was started with.
// That thread hands each room what concerns it; so two reloads come one after the other, and no request waits for one.
// A faulty file changes nothing. What cannot change while the gateway runs is named.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/fleet_setup.h"
#include "app/outside.h"
#include "config/config.h"
#include "core/core.h"
#include "fleet/fleet.h"
#include "http/handlers/uploads.h"
#include "http/json_reading.h"
#include "http/pipeline.h"
#include "services/audit.h"
#include "services/doctor.h"
#include "services/health.h"
#include "services/intake.h"
#include "services/keys.h"
#include "services/models.h"
#include "services/reloading.h"
#include "storage/disk.h"

namespace gbgreg::app {

// What takes new settings while it runs.
struct Reloadable {
  services::Audit& audit;
  fleet::Fleet& fleet;
  services::Doctor& doctor;
  services::Health& health;
  services::Intake& intake;
  services::Keys& keys;
  services::Models& models;
  http::JsonReading& json;
  http::UploadHandlers& uploads;
  http::Pipeline& pipeline;
};

class Reload final : public services::Reloading {
 public:
  static constexpr int kWaitingMax = 16;

  // The disk and the backends outlive this.
  Reload(config::Source source, config::Config running, FleetGround ground, storage::Disk& disk,
         OutsideBackends& outside);
  // As stop().
  ~Reload() override;
  Reload(const Reload&) = delete;
  Reload& operator=(const Reload&) = delete;

  // Once, before the first reload: who is told. All of it is there until stop().
  void begin(const Reloadable& rooms) { rooms_ = std::make_unique<Reloadable>(rooms); }

  Task<Result<protocols::native::ReloadReport>> reload() override;
  // The same for a signal: what comes of it is in the log, as always, and in the audit trail.
  void reload_soon();
  // None is begun any more; waits for the one under way.
  void stop();

 private:
  Result<protocols::native::ReloadReport> run();
  void note_signal(const Result<protocols::native::ReloadReport>& report);
  Result<protocols::native::ReloadReport> take(config::Config fresh);

  const config::Source source_;
  config::Config running_;  // Touched by its own thread alone, as all that follows.
  const FleetGround ground_;
  storage::Disk& disk_;
  OutsideBackends& outside_;
  std::unique_ptr<Reloadable> rooms_;
  std::atomic<int> waiting_ = 0;
  std::atomic<bool> is_stopped_ = false;
  asio::thread_pool thread_{1};
};

// The keys of which the file has other values than the running gateway, which it takes only at its next start. Pure.
std::vector<std::string> needs_restart(const config::Config& running, const config::Config& fresh);

// The sentences for what requests carry and who may ask: all that neither the fleet nor a restart is needed for. Pure.
std::vector<std::string> changes_in_place(const config::Config& running, const config::Config& fresh);

// `fresh`, but for what needs a restart, of which it has the running one's. Pure.
config::Config as_it_can_be(const config::Config& running, config::Config fresh);

}  // namespace gbgreg::app
