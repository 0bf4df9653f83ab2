// A real fleet for tests, of workers whose engine is a script, and the requests of clients.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "fleet/fleet.h"

namespace gbgreg::fleet {

inline Error failure() { return {.kind = Kind::backend_failed, .code = "backend_failed", .message = "It broke."}; }

namespace fs = std::filesystem;
using llm::BackendState;
using llm::BackendView;
using llm::Priority;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline constexpr auto kPatience = seconds(30);

// Speaks the part of llama-server that the fleet listens to. What it does is the first word of its "model".
inline constexpr const char* kFakeEngine = R"(#!/bin/sh
model=$2
read -r mode < "$model"
say() { printf '%s\n' "$1"; }  # Unlike echo it leaves the \n of the JSON alone.
state() { say ""; say "cmd_child_to_router:state:{\"state\":\"$1\",\"payload\":$2}"; }
state loading '{"stages":["text_model"],"current":"text_model","value":0.0}'
[ -e "$model.arguments" ] && say "$*" >> "$model.arguments"
case $mode in
  broken) say '{"type":"log","time":1,"level":"error","msg":"'"$model"' is no GGUF file\n"}'; exit 1;;
  endless) exec sleep 1000;;
  waits) read -r _ < "$model.go";;
esac
say '{"type":"log","time":2,"level":"info","msg":"load_tensors: loading model tensors, this can take a while...\n"}'
if [ "$mode" = card ]; then
  say '{"type":"log","time":3,"level":"info","msg":"load_tensors: offloaded 3/3 layers to GPU\n"}'
  say '{"type":"log","time":3,"level":"info","msg":"load_tensors:        CUDA0 model buffer size =     4.23 MiB\n"}'
else
  say '{"type":"log","time":3,"level":"info","msg":"load_tensors:   CPU_Mapped model buffer size =     4.23 MiB\n"}'
fi
state ready '{}'
while read -r line; do
  [ "$mode" != deaf ] && [ "$line" = cmd_router_to_child:exit ] && exit 0
done
exit 1
)";

class FakeBackend final : public backends::Backend {
 public:
  FakeBackend(std::string address, std::string bearer, bool hangs)
      : address(std::move(address)), bearer(std::move(bearer)), hangs(hangs) {}
  Task<Result<llm::Completion>> generate(net::IoThread&, const llm::Request&, llm::Sink&) override {
    co_return llm::Completion{};
  }
  Task<Result<int>> count_tokens(net::IoThread&, const llm::Request&) override { co_return 0; }
  Task<Result<llm::EmbedBatch>> embed(net::IoThread&, std::span<const llm::EmbedInput>, SteadyTime,
                                      std::string_view) override {
    co_return llm::EmbedBatch{};
  }
  Task<Result<llm::TokenIds>> tokens(net::IoThread&, std::string_view, SteadyTime) override {
    co_return llm::TokenIds{};
  }
  Task<Result<void>> post(net::IoThread&, const backends::Post&, backends::ByteSink&) override {
    co_return Result<void>{};
  }
  Task<Result<protocols::ServerModels>> check(net::IoThread&, SteadyTime) override {
    if (hangs) co_return fail(Kind::timed_out, "backend_silent", "");
    co_return protocols::ServerModels{};
  }
  std::string address, bearer;
  bool hangs;
};

inline const FakeBackend& fake(const Lease& lease) { return dynamic_cast<const FakeBackend&>(lease.backend()); }

// One request of a client, on an I/O thread; it can be cancelled as a session does it.
class Ask {
 public:
  Ask(Fleet& fleet, IoContext& io, std::string id, Priority priority = Priority::interactive,
      milliseconds patience = kPatience, Attempt attempt = Attempt::first)
      : io_(io), signal_(std::make_shared<asio::cancellation_signal>()) {
    std::promise<Result<Lease>> promise;
    answer_ = promise.get_future();
    // co_spawn takes the slot when it is called, so it is called where it is emitted.
    asio::post(io_, [this, &fleet, id = std::move(id), priority, patience, attempt, promise = std::move(promise),
                     signal = signal_]() mutable {
      const SteadyTime deadline = std::chrono::steady_clock::now() + patience;
      auto task = ask(fleet, std::move(id), priority, deadline, attempt, std::move(promise));
      // The task looks at its signal to its very end, which comes after the answer that ends this object.
      auto ended = [signal](const std::exception_ptr&) {};
      asio::co_spawn(io_.get_executor(), std::move(task),
                     asio::bind_cancellation_slot(signal->slot(), std::move(ended)));
    });
  }
  void cancel() {
    asio::post(io_, [signal = signal_] { signal->emit(asio::cancellation_type::terminal); });
  }
  bool is_answered() const { return answer_.wait_for(seconds(0)) == std::future_status::ready; }
  Result<Lease> answer() {
    if (answer_.wait_for(kPatience) != std::future_status::ready) return fail(Kind::internal, "no_answer", "");
    return answer_.get();
  }

 private:
  static Task<void> ask(Fleet& fleet, std::string id, Priority priority, SteadyTime deadline, Attempt attempt,
                        std::promise<Result<Lease>> promise) {
    promise.set_value(co_await fleet.lease(std::move(id), priority, deadline, attempt));
  }

  IoContext& io_;
  std::shared_ptr<asio::cancellation_signal> signal_;  // Shared with the posts that are on their way.
  std::future<Result<Lease>> answer_;
};

class FleetTest : public testing::Test {
 public:
  FleetTest() {
    std::string name = fs::temp_directory_path() / "gbgreg-XXXXXX";
    base_ = ::mkdtemp(name.data());
    options_.engine = base_ / "fake_engine.sh";
    std::ofstream(options_.engine) << kFakeEngine;
    fs::permissions(options_.engine, fs::perms::owner_all);
    options_.run_folder = base_ / "run";
    options_.restart_delay_min = milliseconds(1);
    options_.restart_delay_max = milliseconds(20);
    for (std::size_t i = 0; i < threads_.size(); ++i) {
      threads_[i] = std::thread([&io = ios_[i]] { io.run(); });
    }
  }
  ~FleetTest() override {
    fleet_.reset();
    guards_.clear();
    for (std::thread& thread : threads_) thread.join();
    fs::remove_all(base_);
  }

 protected:
  // A worker "role/model" whose engine behaves as `mode` says; an empty mode makes no model file.
  void add_worker(const std::string& role, const std::string& mode = "ready", int slots = 2) {
    WorkerOptions worker{.role = role, .model = "model", .model_file = base_ / (role + ".gguf")};
    worker.slots = slots;
    if (!mode.empty()) std::ofstream(worker.model_file) << mode << "\n";
    options_.workers.push_back(std::move(worker));
  }
  Fleet& make_fleet() {
    auto make_backend = [this](const std::string& address, const std::string& bearer) {
      if (backend_throws_) throw std::runtime_error("no more memory");
      const bool hangs = first_life_hangs_ && address.ends_with("-1.sock");
      return std::make_shared<FakeBackend>(address, bearer, hangs);
    };
    auto make_outside = [](const ServerOptions& server, const OutsideModelOptions& model) {
      return std::make_shared<FakeBackend>(server.url.authority + "/" + model.served_as, server.key, false);
    };
    fleet_ = std::make_unique<Fleet>(options_, clock_, make_backend, make_outside);
    return *fleet_;
  }
  Fleet& start_fleet() {
    make_fleet().start();
    return *fleet_;
  }
  // Beside the engine, so that it may be on a card.
  void add_card_module() { std::ofstream(base_ / "libggml-cuda.so").flush(); }
  // The engine of the role writes down what it is told, from now on.
  void watch_arguments(const std::string& role) { std::ofstream(base_ / (role + ".gguf.arguments")).flush(); }
  std::vector<std::string> arguments_of(const std::string& role) {
    std::ifstream file(base_ / (role + ".gguf.arguments"));
    std::vector<std::string> lives;
    for (std::string line; std::getline(file, line);) lives.push_back(line);
    return lives;
  }
  BackendView view(std::size_t index = 0) { return fleet_->views().at(index); }

  template <class Condition>
  bool until(Condition condition) {
    const auto give_up = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      std::this_thread::sleep_for(milliseconds(1));
    }
    return true;
  }
  bool until_state(BackendState state) {
    return until([&] { return view().state == state; });
  }
  bool until_free(int slots) {
    return until([&] { return view().slots_free == slots; });
  }
  bool until_queued(int requests) {
    return until([&] { return view().queued == requests; });
  }
  Result<Lease> lease(const std::string& id) {
    Ask ask(*fleet_, ios_[0], id);
    return ask.answer();
  }

  fs::path base_;
  SystemClock clock_;
  Options options_;
  bool first_life_hangs_ = false;
  std::atomic<bool> backend_throws_ = false;
  std::array<IoContext, 2> ios_;
  std::vector<asio::executor_work_guard<Executor>> guards_{asio::make_work_guard(ios_[0]),
                                                           asio::make_work_guard(ios_[1])};
  std::array<std::thread, 2> threads_;
  std::unique_ptr<Fleet> fleet_;
};

}  // namespace gbgreg::fleet
