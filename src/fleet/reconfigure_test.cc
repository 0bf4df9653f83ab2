#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "fleet/test_fleet.h"

namespace gbgreg::fleet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;
using testing::UnorderedElementsAre;

constexpr const char* kTechnical = "technical/model";

// What a fake worker says it takes is 4.23 MiB: one has room in this, and no second one beside it.
constexpr std::int64_t kRoomForOne = 5'000'000;
constexpr std::int64_t kRoomForNone = 2'000'000;

class ReconfigureTest : public FleetTest {
 protected:
  // Takes `options_` as they are now.
  Reconfigured reconfigure() {
    auto done = fleet_->reconfigure(options_);
    EXPECT_TRUE(done) << done.error().message;
    return done.value_or(Reconfigured{});
  }
  // A file "NAME.gguf" whose engine loads until go(NAME).
  void make_waiting_model(const std::string& name) {
    const fs::path file = base_ / (name + ".gguf");
    std::ofstream(file) << "waits\n";
    ASSERT_EQ(::mkfifo((file.string() + ".go").c_str(), S_IRUSR | S_IWUSR), 0);
  }
  void go(const std::string& name) { std::ofstream(base_ / (name + ".gguf.go")) << "go\n"; }
  WorkerOptions& worker(std::size_t index = 0) { return options_.workers.at(index); }
  int process(std::size_t index = 0) { return view(index).process_id.value_or(0); }
  bool until_gone(pid_t process) {
    return until([&] { return ::kill(process, 0) == -1; });
  }
  static bool lives(pid_t process) { return ::kill(process, 0) == 0; }
  bool until_all_ready() {
    return until([&] {
      const auto views = fleet_->views();
      return std::ranges::all_of(views, [](const BackendView& one) { return one.state == BackendState::ready; });
    });
  }
};

TEST_F(ReconfigureTest, LeavesAloneWhatIsTheSame) {
  add_worker("technical");
  add_worker("documentation");
  start_fleet();
  ASSERT_TRUE(until_all_ready());
  auto held = lease(kTechnical);
  ASSERT_TRUE(held);
  held->report_success({.completion_tokens = 50, .generation_ms = 500}, {.slot_ms = 520, .total_ms = 620});
  ASSERT_TRUE(until([&] { return view().tokens_per_second.has_value(); }));
  const int first = process(0), second = process(1);

  const Reconfigured done = reconfigure();
  EXPECT_THAT(done.changed, IsEmpty());
  EXPECT_THAT(done.unchanged, ElementsAre("technical", "documentation"));
  EXPECT_EQ(process(0), first);
  EXPECT_EQ(process(1), second);
  EXPECT_DOUBLE_EQ(*view().tokens_per_second, 100);
  EXPECT_EQ(view().slots_free, 1);
  *held = Lease();
  EXPECT_TRUE(until_free(2));
}

TEST_F(ReconfigureTest, StartsWhatIsNewInTheOrderOfTheConfiguration) {
  add_worker("technical");
  start_fleet();
  ASSERT_TRUE(until_all_ready());
  const int before = process();
  add_worker("documentation");
  std::swap(options_.workers[0], options_.workers[1]);
  const Reconfigured done = reconfigure();
  EXPECT_THAT(done.changed, ElementsAre("documentation: model is new."));
  EXPECT_THAT(done.unchanged, ElementsAre("technical"));
  EXPECT_EQ(view(0).role, "documentation");
  ASSERT_TRUE(until_all_ready());
  EXPECT_TRUE(lease("documentation/model"));
  EXPECT_EQ(process(1), before);
}

TEST_F(ReconfigureTest, StartsNothingBeforeItsFleet) {
  add_worker("technical");
  make_fleet();
  add_worker("documentation");
  reconfigure();
  EXPECT_EQ(view(0).state, BackendState::stopped);
  EXPECT_EQ(view(1).state, BackendState::stopped);
  fleet_->start();
  EXPECT_TRUE(until_all_ready());
}

TEST_F(ReconfigureTest, LetsAWorkerThatIsTakenOutFinishWhatItDoes) {
  add_worker("documentation");
  add_worker("technical", "ready", 1);
  start_fleet();
  ASSERT_TRUE(until_all_ready());
  auto held = lease(kTechnical);
  ASSERT_TRUE(held);
  Ask waiting(*fleet_, ios_[1], kTechnical);
  ASSERT_TRUE(until([&] { return view(1).queued == 1; }));
  const int before = process(1);

  options_.workers.pop_back();
  const Reconfigured done = reconfigure();
  EXPECT_THAT(done.changed, ElementsAre("technical: model was taken out."));
  EXPECT_EQ(fleet_->views().size(), 1U);
  const auto told = waiting.answer();
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().kind, Kind::not_found);
  EXPECT_EQ(told.error().code, kModelRemoved);
  EXPECT_THAT(told.error().message, StartsWith("The model model was taken out of the configuration while"));
  EXPECT_EQ(lease(kTechnical).error().code, kModelRemoved);
  EXPECT_FALSE(fleet_->try_lease(kTechnical));

  EXPECT_TRUE(lives(before));
  held->report_success({}, {});
  *held = Lease();
  EXPECT_TRUE(until_gone(before));
}

TEST_F(ReconfigureTest, TellsThosePictureFirstWhoHaveToChooseAgain) {
  add_worker("documentation");
  add_worker("technical", "ready", 1);
  start_fleet();
  auto held = lease(kTechnical);
  ASSERT_TRUE(held);
  std::vector<std::unique_ptr<Ask>> waiting;
  waiting.reserve(8);
  for (int i = 0; i < 8; ++i) waiting.push_back(std::make_unique<Ask>(*fleet_, ios_[1], kTechnical));
  ASSERT_TRUE(until([&] { return view(1).queued == 8; }));
  options_.workers.pop_back();
  std::thread reconfiguring([&] { reconfigure(); });
  EXPECT_EQ(waiting.front()->answer().error().code, kModelRemoved);
  EXPECT_EQ(fleet_->snapshot()->size(), 1U);
  reconfiguring.join();
}

TEST_F(ReconfigureTest, ReplacesAWorkerWhenItsSuccessorIsReady) {
  add_worker("technical", "ready", 1);
  start_fleet();
  auto old_one = lease(kTechnical);
  ASSERT_TRUE(old_one);
  const int before = process();
  make_waiting_model("next");
  worker().model_file = base_ / "next.gguf";
  const Reconfigured done = reconfigure();
  EXPECT_THAT(done.changed, ElementsAre("technical: model starts anew with file next.gguf instead of technical.gguf."));
  EXPECT_THAT(done.unchanged, IsEmpty());
  ASSERT_TRUE(until([&] { return !view().detail.empty(); }));
  EXPECT_EQ(view().detail, "It goes on with its former settings until it is ready with the new ones.");
  EXPECT_EQ(view().state, BackendState::ready);

  // Until then the old one serves.
  *old_one = Lease();
  old_one = lease(kTechnical);
  ASSERT_TRUE(old_one);
  EXPECT_THAT(fake(*old_one).address, HasSubstr("w0-1.sock"));
  Ask waiting(*fleet_, ios_[1], kTechnical);
  ASSERT_TRUE(until_queued(1));

  go("next");
  auto new_one = waiting.answer();
  ASSERT_TRUE(new_one) << new_one.error().message;
  EXPECT_THAT(fake(*new_one).address, HasSubstr("w1-1.sock"));
  EXPECT_TRUE(until([&] { return process() != before; }));
  EXPECT_EQ(view().detail, "");
  EXPECT_TRUE(lives(before));

  // What comes back to the old one frees nothing of the new one, though both are in their first life.
  *old_one = Lease();
  EXPECT_TRUE(until_gone(before));
  Ask next(*fleet_, ios_[0], kTechnical);
  ASSERT_TRUE(until_queued(1));
  EXPECT_FALSE(next.is_answered());
  *new_one = Lease();
  EXPECT_TRUE(next.answer());
}

TEST_F(ReconfigureTest, KeepsTheTurnsOfThoseWhoWaitAndCanBeCancelled) {
  add_worker("technical", "ready", 1);
  start_fleet();
  auto held = lease(kTechnical);
  ASSERT_TRUE(held);
  Ask batch(*fleet_, ios_[1], kTechnical, Priority::batch);
  ASSERT_TRUE(until_queued(1));
  Ask leaving(*fleet_, ios_[1], kTechnical);
  ASSERT_TRUE(until_queued(2));
  Ask interactive(*fleet_, ios_[0], kTechnical);
  ASSERT_TRUE(until_queued(3));
  const int before = process();
  worker().threads = 3;
  reconfigure();
  auto first = leaving.answer();
  ASSERT_TRUE(first);
  ASSERT_TRUE(until([&] { return process() != before && view().queued == 2; }));
  interactive.cancel();
  EXPECT_EQ(interactive.answer().error().kind, Kind::cancelled);
  EXPECT_FALSE(batch.is_answered());
  *first = Lease();
  EXPECT_TRUE(batch.answer());
}

TEST_F(ReconfigureTest, DrainsTheOldOneFirstWhereThereIsNoRoomForBoth) {
  options_.memory.budget.host = kRoomForNone;  // It is known only when it is loaded.
  add_worker("technical", "ready", 2);
  start_fleet();
  auto held = lease(kTechnical);
  ASSERT_TRUE(held);
  ASSERT_TRUE(until([&] { return view().memory_bytes > kRoomForNone; }));
  const int before = process();
  worker().slots = 1;
  reconfigure();
  // Until then the old one may still give its free slot away.
  ASSERT_TRUE(until([&] { return !view().process_id; }));
  Ask waiting(*fleet_, ios_[1], kTechnical);
  ASSERT_TRUE(until_queued(1));
  EXPECT_EQ(view().state, BackendState::loading);
  EXPECT_TRUE(lives(before));
  *held = Lease();
  const auto served = waiting.answer();
  ASSERT_TRUE(served) << served.error().message;
  EXPECT_THAT(fake(*served).address, HasSubstr("w1-1.sock"));
  EXPECT_TRUE(until_gone(before));
}

TEST_F(ReconfigureTest, DrainsTheOldOneFirstOnACardWhoseMemoryNobodyCounts) {
  options_.has_gpu = true;
  add_worker("technical");
  worker().allow_cpu = true;
  start_fleet();
  auto held = lease(kTechnical);
  ASSERT_TRUE(held);
  const int before = process();
  worker().threads = 3;
  reconfigure();
  Ask waiting(*fleet_, ios_[1], kTechnical);
  ASSERT_TRUE(until_queued(1));
  EXPECT_FALSE(view().process_id);
  EXPECT_TRUE(lives(before));
  *held = Lease();
  EXPECT_TRUE(waiting.answer());
}

TEST_F(ReconfigureTest, GoesOnWithTheOldOneWhenTheNewOneDoesNotStart) {
  add_worker("technical");
  start_fleet();
  ASSERT_TRUE(until_all_ready());
  const int before = process();
  const fs::path good = worker().model_file;
  worker().model_file = base_ / "missing.gguf";
  reconfigure();
  ASSERT_TRUE(until([&] { return view().detail.contains("missing.gguf"); }));
  EXPECT_EQ(view().detail,
            "It goes on with its former settings, because with the new ones it does not start: The model file "
            "missing.gguf is missing or not readable: put it back, or name another one in the configuration.");
  EXPECT_EQ(process(), before);
  EXPECT_TRUE(lease(kTechnical));

  worker().model_file = good;
  const Reconfigured done = reconfigure();
  EXPECT_THAT(done.changed,
              ElementsAre("technical: model starts anew with file technical.gguf instead of missing.gguf."));
  EXPECT_EQ(view().detail, "");
  EXPECT_EQ(process(), before);
  EXPECT_THAT(reconfigure().changed, IsEmpty());
}

TEST_F(ReconfigureTest, TakesTheSuccessorsPlaceByANewerOne) {
  add_worker("technical");
  start_fleet();
  ASSERT_TRUE(until_all_ready());
  const int before = process();
  make_waiting_model("slow");
  worker().model_file = base_ / "slow.gguf";
  reconfigure();
  EXPECT_THAT(reconfigure().changed, IsEmpty());
  worker().model_file = base_ / "fast.gguf";
  std::ofstream(worker().model_file) << "ready\n";
  reconfigure();
  ASSERT_TRUE(until([&] { return process() != before && view().state == BackendState::ready; }));
  EXPECT_THAT(fake(*lease(kTechnical)).address, HasSubstr("w2-1.sock"));
}

TEST_F(ReconfigureTest, ReplacesAtOnceWhatDoesNotAnswer) {
  add_worker("technical", "");
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::failed));
  worker().model_file = base_ / "there.gguf";
  std::ofstream(worker().model_file) << "ready\n";
  reconfigure();
  EXPECT_TRUE(lease(kTechnical));
}

TEST_F(ReconfigureTest, AModelOfAnotherNameTakesThePlaceOfItsRoles) {
  add_worker("technical", "ready", 1);
  start_fleet();
  auto held = lease(kTechnical);
  ASSERT_TRUE(held);
  make_waiting_model("other");
  worker().model = "other";
  worker().model_file = base_ / "other.gguf";
  const Reconfigured done = reconfigure();
  EXPECT_THAT(done.changed, ElementsAre("technical: other takes the place of model."));
  Ask waiting(*fleet_, ios_[1], kTechnical);
  ASSERT_TRUE(until_queued(1));
  EXPECT_THAT(reconfigure().changed, IsEmpty());
  go("other");
  EXPECT_EQ(waiting.answer().error().code, kModelRemoved);
  EXPECT_EQ(view().id, "technical/other");
  EXPECT_TRUE(lease("technical/other"));
}

TEST_F(ReconfigureTest, TakesWhatItsProcessNeedNotKnowInPlace) {
  add_worker("technical", "ready", 1);
  start_fleet();
  const auto held = lease(kTechnical);
  ASSERT_TRUE(held);
  const int before = process();
  worker().objective_ms = 700;
  worker().preference = 2;
  worker().keep_alive = seconds(3600);
  options_.queue_max = 1;
  const Reconfigured done = reconfigure();
  EXPECT_THAT(done.changed,
              ElementsAre("limits.queue_max is 1 instead of 64.",
                          "technical: model has objective_ms 700 instead of 5000, keep_alive 3600 instead of -1, place "
                          "in its role 3 instead of 1."));
  EXPECT_EQ(view().objective_ms, 700);
  EXPECT_EQ(view().preference, 2);
  EXPECT_EQ(view().queue_max, 1);
  EXPECT_EQ(process(), before);
  Ask waits(*fleet_, ios_[0], kTechnical);
  ASSERT_TRUE(until_queued(1));
  EXPECT_EQ(lease(kTechnical).error().code, "queue_full");
}

TEST_F(ReconfigureTest, LetsAWorkerSleepBySoonerKeepAlive) {
  add_worker("technical");
  start_fleet();
  ASSERT_TRUE(until_all_ready());
  worker().keep_alive = milliseconds(0);
  reconfigure();
  EXPECT_TRUE(until_state(BackendState::sleeping));
}

TEST_F(ReconfigureTest, TriesAgainWhereTheProcessorIsAllowedNow) {
  options_.has_gpu = true;
  options_.restart_delay_max = kPatience;  // By itself it would try again only then.
  add_worker("technical");
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::failed));
  worker().allow_cpu = true;
  reconfigure();
  EXPECT_TRUE(until_state(BackendState::ready));
  worker().allow_cpu = false;
  reconfigure();
  EXPECT_TRUE(until_state(BackendState::failed));
}

TEST_F(ReconfigureTest, OneThatWasRefusedForItsMemoryDoesNotPassThePlanWhenTheProcessorIsAllowed) {
  options_.has_gpu = true;
  options_.memory.budget = {.host = kRoomForNone, .card = 0};
  add_worker("technical");
  worker().allow_cpu = true;
  worker().keep_alive = milliseconds(0);
  start_fleet();
  ASSERT_TRUE(until([&] { return view().loads == 1 && view().state == BackendState::sleeping; }));
  EXPECT_THAT(lease(kTechnical).error().message, HasSubstr("models may have 0.00 GB"));
  ASSERT_TRUE(until_state(BackendState::failed));
  worker().allow_cpu = false;
  reconfigure();
  EXPECT_FALSE(lease(kTechnical));
  EXPECT_EQ(view().loads, 1);
}

TEST_F(ReconfigureTest, ASmallerBudgetSendsAwayWhoHasNothingToDo) {
  add_worker("technical");
  add_worker("documentation");
  start_fleet();
  ASSERT_TRUE(until_all_ready());
  auto held = lease(kTechnical);
  ASSERT_TRUE(held);
  options_.memory.budget.host = kRoomForOne;
  const Reconfigured done = reconfigure();
  EXPECT_THAT(done.changed, ElementsAre("memory.ram_bytes_max is 5000000 instead of without a bound."));
  EXPECT_TRUE(until([&] { return view(1).state == BackendState::sleeping; }));
  EXPECT_EQ(view(0).state, BackendState::ready);
}

TEST_F(ReconfigureTest, ALargerBudgetLetsInWhomASmallerOneRefused) {
  add_worker("technical");
  start_fleet();
  ASSERT_TRUE(until_all_ready());
  options_.memory.budget.host = kRoomForNone;
  worker().keep_alive = milliseconds(0);
  reconfigure();
  ASSERT_TRUE(until_state(BackendState::sleeping));
  EXPECT_THAT(lease(kTechnical).error().message, HasSubstr("models may have 0.00 GB"));
  ASSERT_TRUE(until_state(BackendState::failed));
  options_.memory.budget.host = kRoomForOne;
  worker().keep_alive.reset();
  reconfigure();
  EXPECT_TRUE(until_state(BackendState::ready));
}

TEST_F(ReconfigureTest, LosesNoRequestThoughItIsAskedForAgainAndAgain) {
  constexpr int kAskedAtOnce = 4;  // By two threads, who hold the first while they wait for the second.
  add_worker("technical", "ready", kAskedAtOnce);
  add_worker("documentation", "ready", 2);
  start_fleet();
  ASSERT_TRUE(until_all_ready());
  const int untouched = process(1);
  std::atomic<bool> is_over = false;
  std::thread reconfiguring([&] {
    for (int round = 0; !is_over; ++round) {
      options_.workers[0].slots = kAskedAtOnce + round % 5;
      options_.workers[0].objective_ms = 1000 + round;
      auto done = fleet_->reconfigure(options_);
      if (!done) break;
      // Sometimes it has followed, and sometimes the next one comes before.
      if (round % 3 == 0) until([&] { return view().slots_total == kAskedAtOnce + round % 5; });
    }
  });
  std::mutex mutex;
  std::vector<std::string> failures;
  const auto ask_for_slots = [&](std::size_t lane) {
    for (int i = 0; i < 2000; ++i) {
      Ask one(*fleet_, ios_[lane], i % 4 == 0 ? "documentation/model" : kTechnical);
      Ask other(*fleet_, ios_[1 - lane], kTechnical, Priority::batch);
      auto first = one.answer();
      auto second = other.answer();
      if (first) first->report_success({}, {});
      const std::lock_guard lock(mutex);
      if (!first) failures.push_back(first.error().code);
      if (!second) failures.push_back(second.error().code);
    }
  };
  std::thread asking([&] { ask_for_slots(0); });
  ask_for_slots(1);
  asking.join();
  is_over = true;
  reconfiguring.join();
  EXPECT_THAT(failures, IsEmpty());
  EXPECT_EQ(process(1), untouched);
  EXPECT_TRUE(until([&] { return view().state == BackendState::ready && view().slots_free == view().slots_total; }));
}

TEST_F(ReconfigureTest, EndsThoseThatLeaveWithTheFleet) {
  add_worker("technical");
  add_worker("documentation");
  start_fleet();
  ASSERT_TRUE(until_all_ready());
  const auto held = lease("documentation/model");
  ASSERT_TRUE(held);
  const int before = process(1);
  options_.workers.pop_back();
  make_waiting_model("next");
  worker().model_file = base_ / "next.gguf";
  reconfigure();
  fleet_->stop();
  EXPECT_FALSE(lives(before));
  const auto refused = fleet_->reconfigure(options_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::unavailable);
}

class ReconfigureServersTest : public ReconfigureTest {
 protected:
  ServerOptions server(const std::string& name, std::vector<std::string> models, int slots = 1) {
    ServerOptions made{.name = name, .url = *net::parse_server_url("http://" + name + ":1"), .slots = slots};
    for (const std::string& model : models) {
      made.models.push_back({.role = "technical", .model = model, .served_as = model});
    }
    return made;
  }
};

TEST_F(ReconfigureServersTest, AddsAServerAndTakesItOutAgain) {
  add_worker("technical");
  start_fleet();
  ASSERT_TRUE(until_all_ready());
  options_.servers = {server("den", {"far", "near"})};
  EXPECT_THAT(reconfigure().changed, ElementsAre("technical: far on den is new.", "technical: near on den is new."));
  auto held = lease("technical/far@den");
  ASSERT_TRUE(held);
  Ask waiting(*fleet_, ios_[1], "technical/near@den");
  ASSERT_TRUE(until([&] { return view(2).queued == 1; }));

  options_.servers.clear();
  EXPECT_THAT(reconfigure().changed,
              ElementsAre("technical: far on den was taken out.", "technical: near on den was taken out."));
  const auto told = waiting.answer();
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().code, kModelRemoved);
  EXPECT_THAT(told.error().message, HasSubstr("The model near was taken out"));
  EXPECT_EQ(fake(*held).address, "den:1/far");
  held->report_failure(failure());  // Nobody is there any more to be told.
  EXPECT_EQ(fleet_->views().size(), 1U);
}

TEST_F(ReconfigureServersTest, GoesOnWithItsFiguresAndWhatItDoes) {
  options_.servers = {server("den", {"far", "near"})};
  start_fleet();
  auto held = lease("technical/far@den");
  ASSERT_TRUE(held);
  held->report_success({.completion_tokens = 50, .generation_ms = 500}, {.slot_ms = 520, .total_ms = 620});
  ASSERT_TRUE(until([&] { return view().tokens_per_second.has_value(); }));
  Ask for_near(*fleet_, ios_[1], "technical/near@den");
  Ask for_far(*fleet_, ios_[1], "technical/far@den");
  ASSERT_TRUE(until_queued(2));
  EXPECT_THAT(reconfigure().changed, IsEmpty());

  // A model goes, another comes, and one is called otherwise by its server.
  options_.servers[0].models[1] = {.role = "technical", .model = "new", .served_as = "new"};
  options_.servers[0].models[0].served_as = "far-1";
  EXPECT_THAT(reconfigure().changed,
              ElementsAre("technical: far on den has served_as far-1 instead of far.", "technical: new on den is new.",
                          "technical: near on den was taken out."));
  EXPECT_EQ(for_near.answer().error().code, kModelRemoved);
  EXPECT_FALSE(for_far.is_answered());
  *held = Lease();
  auto next = for_far.answer();
  ASSERT_TRUE(next);
  EXPECT_EQ(fake(*next).address, "den:1/far-1");
  EXPECT_DOUBLE_EQ(*view().tokens_per_second, 100);
}

TEST_F(ReconfigureServersTest, TakesASlotBackWhoseModelIsGone) {
  options_.servers = {server("den", {"far", "near"})};
  start_fleet();
  auto held = lease("technical/near@den");
  ASSERT_TRUE(held);
  options_.servers[0].models.pop_back();
  reconfigure();
  Ask waiting(*fleet_, ios_[1], "technical/far@den");
  ASSERT_TRUE(until_queued(1));
  EXPECT_FALSE(waiting.is_answered());
  *held = Lease();
  EXPECT_TRUE(waiting.answer());
}

TEST_F(ReconfigureServersTest, HasMoreSlotsAtOnceAndFewerWhenTheyComeBack) {
  options_.servers = {server("den", {"far"})};
  start_fleet();
  auto first = lease("technical/far@den");
  ASSERT_TRUE(first);
  Ask waiting(*fleet_, ios_[1], "technical/far@den");
  ASSERT_TRUE(until_queued(1));
  options_.servers[0].slots = 2;
  EXPECT_THAT(reconfigure().changed, ElementsAre("server den: slots 2 instead of 1."));
  auto second = waiting.answer();
  ASSERT_TRUE(second);

  options_.servers[0].slots = 1;
  reconfigure();
  Ask third(*fleet_, ios_[1], "technical/far@den");
  ASSERT_TRUE(until_queued(1));
  *first = Lease();
  ASSERT_TRUE(until([&] { return view().slots_free == 0 && view().queued == 1; }));
  EXPECT_FALSE(third.is_answered());
  *second = Lease();
  EXPECT_TRUE(third.answer());
}

TEST_F(ReconfigureServersTest, AsksAServerAnewThatIsAnotherOrGetsAnotherKey) {
  options_.servers = {server("den", {"far"}, 4)};
  start_fleet();
  auto held = lease("technical/far@den");
  ASSERT_TRUE(held);
  const Error refused{.kind = Kind::backend_failed, .code = "backend_key_refused", .message = "The key is refused."};
  held->report_failure(refused);
  ASSERT_TRUE(until_state(BackendState::unreachable));
  auto late = lease("technical/far@den");
  EXPECT_FALSE(late);

  options_.servers[0].key = "right";
  EXPECT_THAT(reconfigure().changed, ElementsAre("server den: another key."));
  late = lease("technical/far@den");
  ASSERT_TRUE(late) << late.error().message;
  EXPECT_EQ(fake(*late).bearer, "right");

  // What fails at the former address says nothing of the present one.
  options_.servers[0].url = *net::parse_server_url("http://attic:1");
  EXPECT_THAT(reconfigure().changed, ElementsAre("server den: url http://attic:1 instead of http://den:1."));
  auto at_new_place = lease("technical/far@den");
  ASSERT_TRUE(at_new_place);
  EXPECT_EQ(fake(*at_new_place).address, "attic:1/far");
  late->report_failure(refused);
  *at_new_place = Lease();
  EXPECT_TRUE(until_free(4));
  EXPECT_EQ(view().state, BackendState::ready);
}

TEST_F(ReconfigureServersTest, LeavesTheOthersOfARoleAlone) {
  options_.servers = {server("den", {"far"}), server("attic", {"near"})};
  options_.servers[1].models[0].role = "documentation";
  start_fleet();
  options_.servers[1].slots = 3;
  const Reconfigured done = reconfigure();
  EXPECT_THAT(done.changed, ElementsAre("server attic: slots 3 instead of 1."));
  EXPECT_THAT(done.unchanged, UnorderedElementsAre("technical"));
}

}  // namespace
}  // namespace gbgreg::fleet
