#include "fleet/fleet.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>

#include <fstream>
#include <random>

#include "fleet/test_fleet.h"
#include "fleet/test_port.h"

namespace gbgreg::fleet {
namespace {

using testing::_;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

TEST_F(FleetTest, StartsNothingBeforeItIsTold) {
  add_worker("technical");
  make_fleet();
  EXPECT_EQ(view().id, "technical/model");
  EXPECT_EQ(view().state, BackendState::stopped);
  EXPECT_FALSE(view().process_id);
}

TEST_F(FleetTest, BringsItsWorkersUpAndSaysWhereTheyRun) {
  add_worker("technical");
  add_worker("documentation");
  start_fleet();
  ASSERT_TRUE(until([&] { return view(0).state == BackendState::ready && view(1).state == BackendState::ready; }));
  EXPECT_EQ(view().placement.device, "CPU");
  EXPECT_EQ(view().slots_free, 2);
  EXPECT_EQ(view().detail, "");
  EXPECT_NE(view(0).process_id, view(1).process_id);
  struct stat status{};
  ASSERT_EQ(::stat(options_.run_folder.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & ALLPERMS, static_cast<mode_t>(S_IRWXU));
}

TEST_F(FleetTest, GivesAModelOnACardLargeBatches) {
  add_card_module();
  add_worker("technical", "card");
  watch_arguments("technical");
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::ready));
  EXPECT_EQ(view().placement.device, "CUDA0");
  EXPECT_THAT(arguments_of("technical"), ElementsAre(HasSubstr(" -b 2048 -ub 512 ")));
}

// Its first life is no crash, and nobody who waits is sent away.
TEST_F(FleetTest, LoadsAModelOnceMoreThatIsNotOnTheCard) {
  add_card_module();
  add_worker("technical");
  watch_arguments("technical");
  make_fleet();
  ASSERT_TRUE(lease("technical/model"));
  // The lease comes before the picture that shows its worker.
  ASSERT_TRUE(until([&] { return view().loads == 2 && view().state == BackendState::ready; }));
  EXPECT_EQ(view().placement.device, "CPU");
  EXPECT_EQ(view().restarts, 0);
  EXPECT_THAT(arguments_of("technical"), ElementsAre(HasSubstr(" -b 2048 -ub 512 "), HasSubstr(" -b 64 -ub 64 ")));
  ASSERT_EQ(::kill(*view().process_id, SIGKILL), 0);
  ASSERT_TRUE(until([&] { return view().restarts == 1 && view().state == BackendState::ready; }));
  EXPECT_THAT(arguments_of("technical"), ElementsAre(_, _, HasSubstr(" -b 64 -ub 64 "))) << "it has learnt";
}

TEST_F(FleetTest, GivesAModelSmallBatchesWhereThereIsNoModuleForACard) {
  add_worker("technical");
  watch_arguments("technical");
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::ready));
  EXPECT_THAT(arguments_of("technical"), ElementsAre(HasSubstr(" -b 64 -ub 64 ")));
}

TEST_F(FleetTest, TellsWhatAnEngineHasSaidOfItselfOfALifeThatEndedToo) {
  add_worker("technical", "broken");
  add_worker("documentation");
  fs::copy_file(RECORDED_MEMORY "/llama-3.2-1b.header", options_.workers[1].model_file,
                fs::copy_options::overwrite_existing);
  start_fleet();
  ASSERT_TRUE(until([&] { return view(0).state == BackendState::failed && view(1).state == BackendState::ready; }));
  const auto words = fleet_->engine_words();
  ASSERT_EQ(words.size(), 2U);
  EXPECT_EQ(words[0].id, "technical/model");
  EXPECT_THAT(words[0].complaints, Contains(HasSubstr("is no GGUF file")));
  EXPECT_EQ(words[0].card_bytes_needed, 0);
  EXPECT_THAT(words[1].complaints, IsEmpty());
  EXPECT_GT(words[1].card_bytes_needed, 1'000'000'000);
  EXPECT_FALSE(words[1].tokens_per_second_best);
}

// By the header of a model of 1.3 GB, whose weights are not asked for.
TEST_F(FleetTest, RefusesWhatTheCardsDoNotHoldInTheDriversWordsAndThinksAgainWhenTheyHoldMore) {
  add_card_module();
  add_worker("technical");
  options_.workers[0].device = gpu::DevicePolicy::require_gpu;
  fs::copy_file(RECORDED_MEMORY "/llama-3.2-1b.header", options_.workers[0].model_file,
                fs::copy_options::overwrite_existing);
  watch_arguments("technical");
  make_fleet().set_card_budget(1'000'000'000, "the driver says 16 GB, and others hold 15");
  fleet_->start();
  const auto refused = lease("technical/model");
  ASSERT_FALSE(refused);
  EXPECT_THAT(
      refused.error().message,
      testing::ContainsRegex("needs [0-9.]+ GB of the card's memory, and models may have 1.00 GB .the driver says "
                             "16 GB, and others hold 15.: .*end other programs"));
  EXPECT_THAT(arguments_of("technical"), IsEmpty());
  fleet_->set_card_budget(1'100'000'000, "not enough yet");
  EXPECT_FALSE(lease("technical/model"));
  EXPECT_THAT(arguments_of("technical"), IsEmpty());
  fleet_->set_card_budget(9'000'000'000, "the others have gone");
  EXPECT_TRUE(until([&] { return !arguments_of("technical").empty(); })) << "without anybody's asking";
}

TEST_F(FleetTest, TakesTheConfigurationsWordForTheCardsMemoryBeforeTheDrivers) {
  add_card_module();
  add_worker("technical");
  options_.workers[0].device = gpu::DevicePolicy::require_gpu;
  options_.memory.budget.card = 1'000'000'000;
  fs::copy_file(RECORDED_MEMORY "/llama-3.2-1b.header", options_.workers[0].model_file,
                fs::copy_options::overwrite_existing);
  make_fleet().set_card_budget(9'000'000'000, "the driver says 9");
  fleet_->start();
  EXPECT_THAT(lease("technical/model").error().message, HasSubstr("may have 1.00 GB: "));
}

TEST_F(FleetTest, ShowsWhichOfItsModelsEmbed) {
  add_worker("texts");
  add_worker("vectors");
  options_.workers[1].embeds = true;
  options_.workers[1].is_demo = true;
  options_.workers[1].dimensions_min = 8;
  options_.workers[1].context_tokens = 300;
  make_fleet();
  const auto views = fleet_->snapshot();
  EXPECT_FALSE(views->at(0).embeds);
  EXPECT_TRUE(views->at(1).embeds);
  EXPECT_EQ(views->at(1).dimensions_min, 8);
  EXPECT_EQ(views->at(1).context_tokens, 300);
  EXPECT_THAT(views->at(1).detail, HasSubstr("its vectors"));
}

TEST_F(FleetTest, LeasesASlotWithTheAddressAndKeyOfTheWorker) {
  add_worker("technical");
  start_fleet();
  auto lease_result = lease("technical/model");
  ASSERT_TRUE(lease_result) << lease_result.error().message;
  EXPECT_EQ(fake(*lease_result).address, "unix:" + (options_.run_folder / "w0-1.sock").string());
  EXPECT_EQ(fake(*lease_result).bearer.size(), 64U);
  EXPECT_TRUE(until_free(1));
  *lease_result = Lease();
  EXPECT_TRUE(until_free(2));
}

TEST_F(FleetTest, AWorkerWithAPortIsSpokenToThere) {
  const FreePort port;
  add_worker("technical");
  options_.workers[0].port = port.number();
  start_fleet();
  EXPECT_EQ(view().port, port.number());
  const auto lease_result = lease("technical/model");
  ASSERT_TRUE(lease_result) << lease_result.error().message;
  EXPECT_EQ(fake(*lease_result).address, "127.0.0.1:" + std::to_string(port.number()));
  EXPECT_EQ(fake(*lease_result).bearer.size(), 64U);
}

TEST_F(FleetTest, AWorkerWhosePortIsTakenSaysSoAndStartsWhenItIsFree) {
  FreePort port;
  port.listen();
  add_worker("technical");
  options_.workers[0].port = port.number();
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::failed));
  EXPECT_THAT(view().detail, HasSubstr("Port " + std::to_string(port.number()) + " of the role technical is taken"));
  port.close();
  EXPECT_TRUE(until_state(BackendState::ready));
}

TEST_F(FleetTest, KnowsOnlyItsOwnBackends) {
  add_worker("technical");
  start_fleet();
  EXPECT_EQ(lease("technical/other").error().kind, Kind::not_found);
}

TEST_F(FleetTest, StartsAStoppedWorkerForARequest) {
  add_worker("technical");
  make_fleet();
  EXPECT_TRUE(lease("technical/model"));
}

TEST_F(FleetTest, LetsARequestWaitForASlot) {
  add_worker("technical", "ready", 1);
  start_fleet();
  auto first = lease("technical/model");
  ASSERT_TRUE(first);
  Ask second(*fleet_, ios_[1], "technical/model", Priority::batch);
  ASSERT_TRUE(until_queued(1));
  Ask third(*fleet_, ios_[0], "technical/model");
  ASSERT_TRUE(until_queued(2));
  EXPECT_FALSE(second.is_answered());
  *first = Lease();
  auto served = third.answer();  // Interactive goes first.
  ASSERT_TRUE(served);
  EXPECT_FALSE(second.is_answered());
  *served = Lease();
  EXPECT_TRUE(second.answer());
}

TEST_F(FleetTest, RefusesWhenTheQueueIsFullAndWhenTimeIsUp) {
  options_.queue_max = 1;
  add_worker("technical", "ready", 1);
  start_fleet();
  const auto first = lease("technical/model");
  ASSERT_TRUE(first);
  Ask hurried(*fleet_, ios_[0], "technical/model", Priority::interactive, milliseconds(200));
  EXPECT_EQ(hurried.answer().error().kind, Kind::timed_out);
  Ask waiting(*fleet_, ios_[0], "technical/model");
  ASSERT_TRUE(until_queued(1));
  const auto refused = lease("technical/model");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::busy);
  EXPECT_TRUE(refused.error().retry_after_seconds);
  waiting.cancel();
  EXPECT_EQ(waiting.answer().error().kind, Kind::cancelled);
}

TEST_F(FleetTest, TakesARequestThatWasCancelledOutOfTheQueue) {
  add_worker("technical", "ready", 1);
  start_fleet();
  auto first = lease("technical/model");
  ASSERT_TRUE(first);
  Ask leaving(*fleet_, ios_[1], "technical/model");
  Ask staying(*fleet_, ios_[1], "technical/model");
  ASSERT_TRUE(until_queued(2));
  leaving.cancel();
  EXPECT_EQ(leaving.answer().error().kind, Kind::cancelled);
  EXPECT_TRUE(until_queued(1));
  *first = Lease();
  EXPECT_TRUE(staying.answer());
}

TEST_F(FleetTest, LosesNoSlotWhenGrantsAndCancellationsCross) {
  add_worker("technical", "ready", 4);
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::ready));
  std::mt19937 random(11);
  for (int round = 0; round < 150; ++round) {
    constexpr std::size_t kAsks = 12;
    std::vector<std::unique_ptr<Ask>> asks;
    asks.reserve(kAsks);
    for (std::size_t i = 0; i < kAsks; ++i) {
      asks.push_back(std::make_unique<Ask>(*fleet_, ios_[i % 2], "technical/model"));
    }
    for (auto& ask : asks) {
      if (random() % 2 == 0) ask->cancel();
    }
    // Whoever has been served gives its slot back at once, in whatever order that happens.
    ASSERT_TRUE(until([&] {
      std::erase_if(asks, [](const auto& ask) {
        if (!ask->is_answered()) return false;
        const auto answer = ask->answer();
        EXPECT_TRUE(answer || answer.error().kind == Kind::cancelled) << answer.error().code;
        return true;
      });
      return asks.empty();
    }));
  }
  EXPECT_TRUE(until_free(4));
  EXPECT_TRUE(until_queued(0));
}

TEST_F(FleetTest, ServesTheWaitingWithANewLifeWhenItsWorkerIsKilled) {
  add_worker("technical", "ready", 1);
  start_fleet();
  auto old_life = lease("technical/model");
  ASSERT_TRUE(old_life);
  Ask waiting(*fleet_, ios_[1], "technical/model");
  ASSERT_TRUE(until_queued(1));
  ASSERT_EQ(::kill(*view().process_id, SIGKILL), 0);
  auto new_life = waiting.answer();
  ASSERT_TRUE(new_life) << new_life.error().message;
  EXPECT_EQ(fake(*new_life).address, "unix:" + (options_.run_folder / "w0-2.sock").string());
  EXPECT_NE(fake(*new_life).bearer, fake(*old_life).bearer);
  EXPECT_TRUE(until([&] { return view().restarts == 1 && view().slots_free == 0; }));

  *old_life = Lease();  // Of a life that is over: it frees nothing.
  Ask next(*fleet_, ios_[0], "technical/model");
  ASSERT_TRUE(until_queued(1));
  EXPECT_FALSE(next.is_answered());
  *new_life = Lease();
  EXPECT_TRUE(next.answer());
}

TEST_F(FleetTest, SendsARequestThatFoundItsWorkerDeadToTheNextLife) {
  add_worker("technical", "ready", 1);
  start_fleet();
  auto first = lease("technical/model");
  ASSERT_TRUE(first);
  ASSERT_EQ(::kill(*view().process_id, SIGKILL), 0);
  first->report_failure(failure());  // Perhaps before the fleet knows; the old lease is still held.
  const auto again = lease("technical/model");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_THAT(fake(*again).address, HasSubstr("w0-2.sock"));
}

TEST_F(FleetTest, GivesASlotToTheNextRetryWhenTheOneBeforeItIsDone) {
  add_worker("technical");
  start_fleet();
  Ask first(*fleet_, ios_[0], "technical/model", Priority::interactive, kPatience, Attempt::retry);
  auto running = first.answer();
  ASSERT_TRUE(running);
  Ask second(*fleet_, ios_[0], "technical/model", Priority::interactive, kPatience, Attempt::retry);
  ASSERT_TRUE(until_queued(1));
  EXPECT_TRUE(lease("technical/model"));  // The other slot is free, but not for it.
  EXPECT_FALSE(second.is_answered());
  Lease moved = std::move(*running);  // It knows what it is wherever it goes.
  moved.report_failure(failure());
  EXPECT_TRUE(second.answer());
}

TEST_F(FleetTest, RestartsAWorkerThatFailsRequestAfterRequest) {
  options_.failures_until_restart = 2;
  add_worker("technical");
  start_fleet();
  for (int i = 0; i < 2; ++i) {
    auto failed = lease("technical/model");
    ASSERT_TRUE(failed);
    failed->report_failure(failure());
  }
  EXPECT_TRUE(until([&] { return view().restarts == 1 && view().state == BackendState::ready; }));
}

TEST_F(FleetTest, RestartsAWorkerThatHangsAndServesTheWaitingWithTheNextLife) {
  options_.check_interval = milliseconds(1);
  first_life_hangs_ = true;
  add_worker("technical", "ready", 1);
  start_fleet();
  const auto hanging = lease("technical/model");
  ASSERT_TRUE(hanging);
  const auto next = lease("technical/model");
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_THAT(fake(*next).address, HasSubstr("w0-2.sock"));
  EXPECT_TRUE(until([&] { return view().restarts == 1; }));
}

TEST_F(FleetTest, CountsARequestThatFailedSeveralTimesOnce) {
  options_.failures_until_restart = 2;
  add_worker("technical");
  start_fleet();
  auto first = lease("technical/model");
  ASSERT_TRUE(first);
  first->report_failure(failure());
  for (int i = 0; i < 3; ++i) {
    auto again = lease("technical/model");
    ASSERT_TRUE(again);
    again->report_repeated_failure(failure());
  }
  EXPECT_THAT(fake(*lease("technical/model")).address, HasSubstr("w0-1.sock"));
  EXPECT_EQ(view().restarts, 0);
}

TEST_F(FleetTest, ShowsTheFiguresOfItsAnswers) {
  add_worker("technical");
  start_fleet();
  auto answered = lease("technical/model");
  ASSERT_TRUE(answered);
  answered->report_success({.completion_tokens = 50, .generation_ms = 500}, {.slot_ms = 520, .total_ms = 620});
  ASSERT_TRUE(until([&] { return view().tokens_per_second.has_value(); }));
  EXPECT_DOUBLE_EQ(*view().tokens_per_second, 100);
  EXPECT_DOUBLE_EQ(*view().total_p95_ms, 620);
}

TEST_F(FleetTest, SaysWhyAModelDoesNotLoad) {
  options_.restart_delay_max = milliseconds(5);
  add_worker("technical", "broken");
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::failed));
  EXPECT_EQ(view().detail,
            "The engine exited with status 1 while loading technical.gguf; its last words: technical.gguf is no GGUF "
            "file.");
  const auto refused = lease("technical/model");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::unavailable);
  std::ofstream(base_ / "technical.gguf") << "ready\n";
  EXPECT_TRUE(until_state(BackendState::ready));
}

TEST_F(FleetTest, SaysWhichFileIsMissingAndHealsWhenItComes) {
  add_worker("technical", "");
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::failed));
  EXPECT_THAT(view().detail, StartsWith("The model file technical.gguf is missing"));
  std::ofstream(base_ / "new") << "ready\n";
  fs::rename(base_ / "new", base_ / "technical.gguf");
  EXPECT_TRUE(until_state(BackendState::ready));
  EXPECT_EQ(view().restarts, 0);
}

TEST_F(FleetTest, SaysThatTheEngineIsMissingOrNoProgram) {
  add_worker("technical");
  fs::remove(options_.engine);
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::failed));
  EXPECT_THAT(view().detail, StartsWith("The engine program fake_engine.sh is missing"));
  {
    std::ofstream(base_ / "text") << "no program";
    fs::permissions(base_ / "text", fs::perms::owner_all);
    fs::rename(base_ / "text", options_.engine);
  }
  EXPECT_TRUE(until([&] { return view().detail.starts_with("The engine program cannot be executed (Exec format"); }));
}

TEST_F(FleetTest, TriesAgainWhenStartingThrew) {
  backend_throws_ = true;
  add_worker("technical");
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::failed));
  EXPECT_THAT(view().detail, StartsWith("The engine could not be started"));
  EXPECT_FALSE(view().process_id);
  backend_throws_ = false;
  EXPECT_TRUE(until_state(BackendState::ready));
  EXPECT_EQ(view().restarts, 0);
}

TEST_F(FleetTest, EndsItsWorkersPolitelyAndRefusesEverybody) {
  options_.stop_timeout = kPatience;  // Would be noticed.
  add_worker("technical", "ready", 1);
  start_fleet();
  const auto held = lease("technical/model");
  ASSERT_TRUE(held);
  Ask waiting(*fleet_, ios_[1], "technical/model");
  ASSERT_TRUE(until_queued(1));
  const pid_t process = *view().process_id;
  fleet_->stop();
  EXPECT_EQ(::kill(process, 0), -1);
  EXPECT_EQ(waiting.answer().error().kind, Kind::unavailable);
  EXPECT_EQ(lease("technical/model").error().kind, Kind::unavailable);
  EXPECT_EQ(view().state, BackendState::stopped);
}

TEST_F(FleetTest, KillsAWorkerThatDoesNotListen) {
  options_.stop_timeout = milliseconds(50);
  add_worker("technical", "deaf");
  start_fleet();
  ASSERT_TRUE(until_state(BackendState::ready));
  const pid_t process = *view().process_id;
  fleet_->stop();
  EXPECT_EQ(::kill(process, 0), -1);
}

TEST_F(FleetTest, KillsAWorkerThatStillLoadsAtOnce) {
  options_.stop_timeout = kPatience;
  add_worker("technical", "endless");
  start_fleet();
  ASSERT_TRUE(until([&] { return view().process_id.has_value(); }));
  const pid_t process = *view().process_id;
  fleet_->stop();
  EXPECT_EQ(::kill(process, 0), -1);
}

TEST_F(FleetTest, EndsALoadThatGetsNowhere) {
  options_.load_timeout = milliseconds(50);
  add_worker("technical", "endless");
  start_fleet();
  EXPECT_TRUE(until_state(BackendState::failed));
  EXPECT_EQ(view().detail, "The engine did not get on with loading technical.gguf for 50 ms and was ended.");
}

TEST_F(FleetTest, MayBeOutlivedByALease) {
  add_worker("technical");
  start_fleet();
  auto held = lease("technical/model");
  ASSERT_TRUE(held);
  fleet_.reset();
  EXPECT_THAT(fake(*held).address, StartsWith("unix:"));
  held->report_failure(failure());
}

}  // namespace
}  // namespace gbgreg::fleet
