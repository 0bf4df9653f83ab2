#include "routing/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace gbgreg::routing {
namespace {

using testing::HasSubstr;

std::vector<llm::BackendView> four_roles() {
  std::vector<llm::BackendView> backends;
  for (const std::string role : {"coordinator", "technical", "documentation", "vision"}) {
    backends.push_back({.id = role + "/m",
                        .role = role,
                        .model = role + ":1b",
                        .state = llm::BackendState::ready,
                        .sees_images = role == "vision",
                        .slots_total = 2,
                        .slots_free = 2});
  }
  return backends;
}

llm::BackendView& of_role(std::vector<llm::BackendView>& backends, std::string_view role) {
  for (auto& backend : backends) {
    if (backend.role == role) return backend;
  }
  throw std::logic_error("no such role in this test");
}

Result<llm::Decision> decide(std::string_view prompt, std::string_view asked = "auto", int images = 0) {
  const auto backends = four_roles();
  return choose(read_features(prompt, images), asked, backends);
}

struct Labelled {
  const char* prompt;
  const char* role;
};

constexpr Labelled kLabelled[] = {
    // Small things, in several languages.
    {"Hello", "coordinator"},
    {"hey, how are you today?", "coordinator"},
    {"good evening!", "coordinator"},
    {"thanks, that helped", "coordinator"},
    {"", "coordinator"},
    {"what is the capital of Norway?", "coordinator"},
    {"who painted the Night Watch", "coordinator"},
    {"how many legs does a spider have?", "coordinator"},
    {"wake me with an alarm at seven", "coordinator"},
    {"remind me to water the plants tomorrow", "coordinator"},
    {"what's the weather like in Lyon", "coordinator"},
    {"tell me a joke", "coordinator"},
    {"what is 18 + 24?", "coordinator"},
    {"when is my electricity bill due", "coordinator"},
    {"Bonjour, ça va ?", "coordinator"},
    {"Wie hoch ist der Brocken?", "coordinator"},
    {"¿Quién escribió el Quijote?", "coordinator"},
    {"Guten Morgen", "coordinator"},
    {"как тебя зовут?", "coordinator"},
    {"你叫什么名字？", "coordinator"},
    {"おはようございます", "coordinator"},
    {"안녕하세요, 잘 지내?", "coordinator"},
    // Code and machines.
    {"Write a Python function that merges two sorted lists.", "technical"},
    {"how do I undo the last git commit but keep my changes?", "technical"},
    {"nginx answers 504 behind the load balancer, where do I look?", "technical"},
    {"select name from users where id = 3; -- too slow, which index?", "technical"},
    {"docker compose up fails with exit code 137", "technical"},
    {"TypeError: Cannot read properties of undefined (reading 'map')", "technical"},
    {"fn main() {\n    let v = vec![1, 2, 3];\n    for i in v { println!(\"{i}\"); }\n    println!(\"{:?}\", v);\n}",
     "technical"},
    {"what does this print?\n```js\nconsole.log([] + {})\n```", "technical"},
    {"explain the difference between a mutex and a semaphore in C++", "technical"},
    {"regex for an ISO date", "technical"},
    {"cron line for every first Monday", "technical"},
    {"$ tar -xzf a.tgz\ntar: Error is not recoverable: exiting now", "technical"},
    {"my Makefile rebuilds everything on each run", "technical"},
    {"create a React component with a sortable table", "technical"},
    {"Wie sortiere ich eine Liste in Java absteigend?", "technical"},
    {"Comment lire un fichier CSV avec pandas ?", "technical"},
    {"¿Cómo elimino duplicados de una lista en Python?", "technical"},
    {"Как в JavaScript проверить, что массив пуст?", "technical"},
    {"用Python写一个读取JSON文件的函数", "technical"},
    {"파이썬으로 파일을 읽는 코드를 알려줘", "technical"},
    {"配列を逆順にする関数をJavaScriptで書いて", "technical"},
    // Texts, explanations, reasoning.
    {"Write a short story about a lighthouse keeper who is afraid of the dark.", "documentation"},
    {"Draft a letter to my landlord asking for a new boiler.", "documentation"},
    {"Summarise the following passage in two sentences: The river had been rising for days, and the farmers had "
     "already moved their cattle to the hills, when the dam above the village began to leak.",
     "documentation"},
    {"Translate into French: the meeting has been moved to Thursday afternoon.", "documentation"},
    {"Explain why the Roman Republic fell, and discuss which of the causes mattered most.", "documentation"},
    {"Compare the economic policies of two countries of your choice and discuss the consequences.", "documentation"},
    {"A cyclist rides 45 km in 2 hours and then 30 km in 3 hours. What was her average speed? Show your working step "
     "by "
     "step.",
     "documentation"},
    {"Prove that the sum of two odd numbers is even.", "documentation"},
    {"Write a poem about autumn rain.", "documentation"},
    {"Compose a farewell speech for a teacher who retires after thirty years.", "documentation"},
    {"What if the printing press had never been invented?", "documentation"},
    {"Schreibe einen Aufsatz über die Bedeutung der Freundschaft.", "documentation"},
    {"Rédige une lettre de motivation pour un poste de libraire.", "documentation"},
    {"Escribe un cuento sobre un gato que viaja a la luna.", "documentation"},
    {"Напиши сочинение о весне на двести слов.", "documentation"},
    {"请写一篇关于家乡的散文，八百字左右。", "documentation"},
    {"秋についての短い物語を書いてください。", "documentation"},
    {"겨울에 대한 짧은 시를 써 줘", "documentation"},
};

TEST(Choose, PicksTheRoleThatAPersonWouldPick) {
  for (const auto& item : kLabelled) {
    SCOPED_TRACE(item.prompt);
    const auto decision = decide(item.prompt);
    ASSERT_TRUE(decision);
    EXPECT_EQ(decision->role, item.role) << decision->reason;
  }
}

TEST(Choose, GivesReasonsThatCanBeRead) {
  const auto decision = decide("How do I read a file in Kotlin?");
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->reason, "Taken as a technical prompt: it speaks of programming or system administration.");
  EXPECT_EQ(decision->backend, "technical/m");
  EXPECT_EQ(decision->model, "technical:1b");
  EXPECT_GT(decision->confidence, 0.5);
  EXPECT_LE(decision->confidence, 1);
  ASSERT_EQ(decision->alternatives.size(), 3U);
  EXPECT_GE(decision->alternatives[0].score, decision->alternatives[1].score);
  std::map<std::string, std::string> why_not;
  for (const auto& other : decision->alternatives) why_not[other.role] = other.why_not;
  EXPECT_EQ(why_not["vision"], "there is no image");
  bool seen = false;
  for (const auto& signal : decision->signals) seen = seen || (signal.name == "tech_strong" && signal.weight > 0);
  EXPECT_TRUE(seen);
}

TEST(Choose, TheScoresOfAllRolesAddUpToOne) {
  const auto decision = decide("Write a haiku about Docker");
  ASSERT_TRUE(decision);
  double total = decision->confidence;
  for (const auto& other : decision->alternatives) total += other.score;
  EXPECT_NEAR(total, 1, 1e-9);
}

TEST(Choose, AnImageGoesToVisionWhateverTheTextSays) {
  for (const char* prompt : {"", "Write a Python function", "hello"}) {
    const auto decision = decide(prompt, "auto", 1);
    ASSERT_TRUE(decision);
    EXPECT_EQ(decision->role, "vision");
    EXPECT_EQ(decision->signals.front().name, "image");
  }
}

TEST(Choose, AnImageGoesToAnyModelThatSeesWhenTheVisionModelHasFailed) {
  auto backends = four_roles();
  of_role(backends, "vision").state = llm::BackendState::failed;
  of_role(backends, "technical").sees_images = true;
  const auto decision = choose(read_features("what is this", 1), "", backends);
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->role, "technical");
  EXPECT_THAT(decision->reason, HasSubstr("failed"));
}

TEST(Choose, AnImageWithoutAnyModelThatSeesIsRefused) {
  auto backends = four_roles();
  backends.pop_back();
  const auto decision = choose(read_features("what is this", 1), "auto", backends);
  ASSERT_FALSE(decision);
  EXPECT_EQ(decision.error().code, "no_vision_model");
  EXPECT_EQ(decision.error().kind, Kind::refused);
}

TEST(Choose, TakesARoleOrAModelByName) {
  auto backends = four_roles();
  of_role(backends, "documentation").model = "llama3.2:latest";
  const Features features = read_features("Hello");
  EXPECT_EQ(choose(features, "documentation", backends)->role, "documentation");
  EXPECT_EQ(choose(features, "technical:1b", backends)->role, "technical");
  EXPECT_EQ(choose(features, "llama3.2", backends)->role, "documentation") << "a name without a tag means :latest";
  EXPECT_EQ(choose(features, "llama3.2:latest", backends)->role, "documentation");
  EXPECT_EQ(choose(features, "technical", backends)->confidence, 1);
  EXPECT_THAT(choose(features, "technical", backends)->reason, HasSubstr("\"technical\""));
}

TEST(Choose, AnUnknownNameIsNotFoundAndListsTheKnownOnes) {
  const auto decision = decide("Hello", "gpt-9");
  ASSERT_FALSE(decision);
  EXPECT_EQ(decision.error().kind, Kind::not_found);
  EXPECT_EQ(decision.error().code, "model_not_found");
  EXPECT_EQ(decision.error().details_json,
            R"({"known":["auto","coordinator","technical","documentation","vision","coordinator:1b","technical:1b",)"
            R"("documentation:1b","vision:1b"]})");
  EXPECT_THAT(decision.error().message, HasSubstr("\"gpt-9\""));
}

TEST(Choose, ALongUnknownNameIsShownInPart) {
  const auto decision = decide("Hello", std::string(10'000, 'x'));
  ASSERT_FALSE(decision);
  EXPECT_LT(decision.error().message.size(), 200U);
}

TEST(Choose, AnImageForAModelThatCannotSeeNamesOneThatCan) {
  for (const char* asked : {"technical", "technical:1b"}) {
    const auto decision = decide("what is this", asked, 1);
    ASSERT_FALSE(decision);
    EXPECT_EQ(decision.error().kind, Kind::malformed);
    EXPECT_EQ(decision.error().code, "model_cannot_see");
    EXPECT_THAT(decision.error().message, HasSubstr("vision:1b"));
  }
}

TEST(Choose, AFailedRoleGivesWayToTheNextBest) {
  auto backends = four_roles();
  of_role(backends, "technical").state = llm::BackendState::failed;
  const auto decision = choose(read_features("How do I read a file in Kotlin?"), "auto", backends);
  ASSERT_TRUE(decision);
  EXPECT_NE(decision->role, "technical");
  EXPECT_NE(decision->role, "vision");
  EXPECT_THAT(decision->reason, HasSubstr("has failed"));
  bool told = false;
  for (const auto& other : decision->alternatives)
    told = told || (other.role == "technical" && other.why_not == "it has failed");
  EXPECT_TRUE(told);
}

TEST(Choose, AStoppedRoleIsStillChosenBecauseARequestStartsIt) {
  auto backends = four_roles();
  of_role(backends, "technical").state = llm::BackendState::stopped;
  EXPECT_EQ(choose(read_features("How do I read a file in Kotlin?"), "auto", backends)->role, "technical");
}

TEST(Choose, WhenEverythingHasFailedTheRightRoleIsNamed) {
  auto backends = four_roles();
  for (auto& backend : backends) backend.state = llm::BackendState::failed;
  const auto decision = choose(read_features("How do I read a file in Kotlin?"), "auto", backends);
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->role, "technical");
}

TEST(Choose, AModelAskedForByNameIsChosenEvenWhenItHasFailed) {
  auto backends = four_roles();
  of_role(backends, "technical").state = llm::BackendState::failed;
  EXPECT_EQ(choose(read_features("Hello"), "technical", backends)->role, "technical");
}

TEST(Choose, AmongBackendsOfARoleTheOneThatAnswersFirstIsTaken) {
  auto backends = four_roles();
  llm::BackendView second = of_role(backends, "coordinator");
  second.id = "coordinator/second";
  backends.push_back(second);
  of_role(backends, "coordinator").slots_free = 0;
  EXPECT_EQ(choose(read_features("Hello"), "auto", backends)->backend, "coordinator/second");
  backends.back().state = llm::BackendState::loading;
  EXPECT_EQ(choose(read_features("Hello"), "auto", backends)->backend, "coordinator/m");
}

TEST(Choose, RolesOfTheOwnersOwnServeWhenThereAreNoOthers) {
  std::vector<llm::BackendView> backends = {
      {.id = "general/m", .role = "general", .model = "m", .state = llm::BackendState::ready}};
  const auto decision = choose(read_features("Write a poem"), "auto", backends);
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->role, "general");
  EXPECT_TRUE(decision->signals.empty());
}

TEST(Choose, WithoutAnyModelItIsUnavailable) {
  const auto decision = choose(read_features("Hello"), "auto", {});
  ASSERT_FALSE(decision);
  EXPECT_EQ(decision.error().kind, Kind::unavailable);
  EXPECT_TRUE(decision.error().retry_after_seconds);
}

TEST(Choose, PredictsNothingBeforeTheFirstMeasuredAnswer) {
  const auto decision = decide("Hello");
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->predicted.total_ms, 0);
  EXPECT_EQ(decision->predicted.queue_ms, 0);
  EXPECT_GT(decision->predicted.tokens, 0);
}

TEST(Choose, PredictsFromTheMeasuredSpeedAndTheQueue) {
  auto backends = four_roles();
  auto& backend = of_role(backends, "coordinator");
  backend.tokens_per_second = 10;
  auto decision = choose(read_features("Hello"), "auto", backends);
  EXPECT_EQ(decision->predicted.ttft_ms, 100);
  EXPECT_EQ(decision->predicted.total_ms, decision->predicted.tokens * 100.0);
  backend.slots_free = 0;
  backend.queued = 3;
  decision = choose(read_features("Hello"), "auto", backends);
  EXPECT_EQ(decision->predicted.queue_ms, 4.0 / 2 * 200 * 100);
  EXPECT_GT(decision->predicted.total_ms, decision->predicted.queue_ms);
}

}  // namespace
}  // namespace gbgreg::routing
