// A real fleet for tests, whose engine only says that it is ready, and whose backends the test makes.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "fleet/fleet.h"
#include "metrics/metrics.h"
#include "net/io_thread.h"
#include "storage/failing_disk.h"

namespace gbgreg::services {

// The time of day, and what a test adds to it.
class JumpingClock final : public Clock {
 public:
  SteadyTime steady() const override { return clock_.steady() + jumped_; }
  WallTime wall() const override { return clock_.wall(); }
  void jump(SteadyTime::duration duration) { jumped_ += duration; }
  void jump_to(SteadyTime time) { jump(std::max(SteadyTime::duration{0}, time - steady())); }

 private:
  SystemClock clock_;
  SteadyTime::duration jumped_{0};
};

class FleetTest : public testing::Test {
 protected:
  FleetTest() {
    options_.engine = folder_.path() / "engine.sh";
    std::ofstream(options_.engine) << kEngine;
    std::filesystem::permissions(options_.engine, std::filesystem::perms::owner_all);
    options_.run_folder = folder_.path() / "run";
  }

  fleet::WorkerOptions& add_worker(const std::string& role, const std::string& model) {
    const auto file = folder_.path() / (role + ".gguf");
    std::ofstream(file) << "model";
    options_.workers.push_back({.role = role, .model = model, .model_file = file});
    return options_.workers.back();
  }

  // It starts when it is first needed; the options are read then.
  fleet::Fleet& start_fleet() {
    if (fleet_) return *fleet_;
    auto make = [this](const std::string& address, const std::string&) { return make_backend(address); };
    fleet_ = std::make_unique<fleet::Fleet>(options_, clock_, make);
    fleet_->start();
    return *fleet_;
  }
  void become_ready() {
    start_fleet();
    while (fleet_->snapshot()->front().state != llm::BackendState::ready) std::this_thread::yield();
  }

  template <class T>
  T wait_for(std::optional<T>& result) {
    io_.context().restart();
    auto guard = asio::make_work_guard(io_.context());
    while (!result) io_.context().run_one();
    return std::move(*result);
  }

  // The line of the metrics that begins like this.
  std::string metric(const std::string& name) {
    const std::string text = registry_.prometheus_text();
    const std::size_t at = text.find("\n" + name + " ") + 1;
    return text.substr(at, text.find('\n', at) - at);
  }

  virtual std::shared_ptr<backends::Backend> make_backend(const std::string& address) = 0;

  storage::TestFolder folder_;
  SystemClock clock_;  // The fleet's, whose timers follow it.
  JumpingClock jumping_clock_;
  net::Options net_options_;
  net::IoThread io_{0, net_options_};
  metrics::Registry registry_{1};
  fleet::Options options_;
  std::unique_ptr<fleet::Fleet> fleet_;

 private:
  static constexpr const char* kEngine = R"(#!/bin/sh
printf 'cmd_child_to_router:state:{"state":"ready","payload":{}}\n'
while read -r line; do
  [ "$line" = cmd_router_to_child:exit ] && exit 0
done
exit 1
)";
};

}  // namespace gbgreg::services
