#include "fleet/engine_command.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <thread>

namespace gbgreg::fleet {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;

const WorkerOptions kText{.role = "technical",
                          .model = "demo-technical",
                          .model_file = "/models/demo technical.gguf",
                          .context_tokens = 4096,
                          .slots = 4,
                          .threads = 1};
const EngineLife kLife{.socket = "/run/gbgreg/w0-1.sock", .key = "sesame"};

WorkerOptions embedder(int context_tokens) {
  WorkerOptions worker = kText;
  worker.embeds = true;
  worker.context_tokens = context_tokens;
  return worker;
}

std::string value_of(const Command& command, std::string_view flag) {
  const auto found = std::ranges::find(command.arguments, flag);
  return found == command.arguments.end() ? "" : *std::next(found);
}

TEST(EngineCommand, NamesEverythingThatTheEngineMustNotChooseItself) {
  const Command command = engine_command("/opt/llama-server", kText, kLife, {});
  // A thread for each slot, for each connection that an I/O thread may keep, and four.
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  const std::string http_threads = std::to_string(4 + 4 * cores + 4);
  EXPECT_EQ(command.program, "/opt/llama-server");
  EXPECT_THAT(command.arguments,
              ElementsAre("-m", "/models/demo technical.gguf", "--alias", "demo-technical", "--host",
                          "/run/gbgreg/w0-1.sock", "-c", "16384", "-np", "4", "-t", "1", "--threads-http", http_threads,
                          "-b", "64", "-ub", "64", "-cram", "0", "-lv", "4", "--log-jsonl", "--no-ui", "--offline"));
}

TEST(EngineCommand, ListensOnThePortOfItsRole) {
  WorkerOptions worker = kText;
  worker.port = 11436;
  const Command command = engine_command("/opt/llama-server", worker, kLife, {});
  EXPECT_EQ(value_of(command, "--host"), "127.0.0.1");
  EXPECT_EQ(value_of(command, "--port"), "11436");
  const int here = std::stoi(value_of(engine_command("/opt/llama-server", kText, kLife, {}), "--threads-http"));
  EXPECT_EQ(std::stoi(value_of(command, "--threads-http")), here + 8) << "for others who ask how it is";
  EXPECT_THAT(command.environment, Contains("LLAMA_API_KEY=sesame"));
}

TEST(EngineCommand, KeepsTheKeyOutOfTheArguments) {
  const Command command = engine_command("/opt/llama-server", kText, kLife, {});
  EXPECT_THAT(command.arguments, Not(Contains(HasSubstr("sesame"))));
  EXPECT_THAT(command.environment, IsSupersetOf({"LLAMA_API_KEY=sesame", "LLAMA_SERVER_ROUTER_PORT=1"}));
}

TEST(EngineCommand, LetsNoDeviceBeUsedByARoleOfTheProcessor) {
  WorkerOptions worker = kText;
  for (const auto device : {gpu::DevicePolicy::prefer_gpu, gpu::DevicePolicy::require_gpu}) {
    worker.device = device;
    EXPECT_THAT(engine_command("/opt/llama-server", worker, kLife, {}).arguments, Not(Contains("-dev")));
  }
  worker.device = gpu::DevicePolicy::cpu;
  EXPECT_THAT(engine_command("/opt/llama-server", worker, kLife, {}).arguments, IsSupersetOf({"-dev", "none"}));
}

TEST(EngineCommand, WorksOnMoreOfAPromptAtOnceOnACard) {
  EngineLife life = kLife;
  life.batches = Batches::large;
  Command command = engine_command("/e", kText, life, {});
  EXPECT_EQ(value_of(command, "-b"), "2048");
  EXPECT_EQ(value_of(command, "-ub"), "512");
  EXPECT_EQ(load_plan(kText, {}, Batches::large, false).batch_tokens, 512) << "what its memory depends on";
  EXPECT_EQ(load_plan(kText, {}, Batches::small, false).batch_tokens, 64);
  command = engine_command("/e", embedder(1024), life, {});
  for (const char* flag : {"-b", "-ub"}) EXPECT_EQ(value_of(command, flag), "1024") << "a text is one batch";
}

TEST(EngineCommand, PutsAsManyLayersOnACardAsTheOwnerSays) {
  WorkerOptions worker = kText;
  EXPECT_EQ(value_of(engine_command("/e", worker, kLife, {}), "-ngl"), "");
  worker.gpu_layers = 0;
  EXPECT_EQ(value_of(engine_command("/e", worker, kLife, {}), "-ngl"), "0");
}

TEST(EngineCommand, GivesAnImageRoomInOneBatch) {
  WorkerOptions vision = kText;
  vision.projector_file = "/models/projector.gguf";
  const Command command = engine_command("/opt/llama-server", vision, kLife, {});
  EXPECT_THAT(command.arguments, IsSupersetOf({"--mmproj", "/models/projector.gguf", "-b", "-ub", "512"}));
}

TEST(EngineCommand, GivesATextThatIsEmbeddedRoomInOneBatch) {
  const Command command = engine_command("/opt/llama-server", embedder(2048), kLife, {});
  EXPECT_THAT(command.arguments, Contains("--embeddings"));
  for (const char* flag : {"-b", "-ub"}) EXPECT_EQ(value_of(command, flag), "2048") << flag;
  EXPECT_EQ(value_of(command, "-c"), "8192");
}

TEST(EngineCommand, PoolsAsTheOwnerSaysThenAsTheFileSaysThenByTheMean) {
  EngineLife life = kLife;
  WorkerOptions worker = embedder(2048);
  EXPECT_EQ(value_of(engine_command("/e", worker, life, {}), "--pooling"), "mean");
  life.facts.pooling = Pooling::cls;
  EXPECT_EQ(value_of(engine_command("/e", worker, life, {}), "--pooling"), "cls");
  worker.pooling = Pooling::last;
  EXPECT_EQ(value_of(engine_command("/e", worker, life, {}), "--pooling"), "last");
}

TEST(EngineCommand, EmbedsNoLongerTextThanTheModelWasTrainedFor) {
  EngineLife life = kLife;
  life.facts.context_tokens = 512;
  const Command command = engine_command("/e", embedder(2048), life, {});
  EXPECT_EQ(value_of(command, "-ub"), "512");
  EXPECT_EQ(value_of(command, "-c"), "2048");
  EXPECT_EQ(embedding_tokens_max(embedder(256), life.facts), 256);
}

TEST(EngineCommand, LeavesTheEngineItsSpareTokenWhereTheLastOneIsTheVector) {
  EngineLife life = kLife;
  life.facts = {.context_tokens = 512, .pooling = Pooling::last};
  EXPECT_EQ(embedding_tokens_max(embedder(512), life.facts), 511);
  EXPECT_EQ(embedding_tokens_max(embedder(256), life.facts), 256);
  EXPECT_EQ(value_of(engine_command("/e", embedder(256), life, {}), "-c"), "1028");
  EXPECT_EQ(embedding_tokens_max(embedder(256), {}), 256);
}

TEST(EngineCommand, TakesAtLeastOneThreadWhenNoneIsNamed) {
  WorkerOptions worker = kText;
  worker.threads = 0;
  const Command command = engine_command("/opt/llama-server", worker, kLife, {});
  const auto flag = std::ranges::find(command.arguments, "-t");
  ASSERT_NE(flag, command.arguments.end());
  EXPECT_GE(std::stoi(*std::next(flag)), 1);
}

TEST(EngineCommand, PassesWhatAGpuNeedsAndNoSecrets) {
  const std::vector<std::string> parent = {"PATH=/usr/bin",
                                           "CUDA_VISIBLE_DEVICES=0",
                                           "LD_LIBRARY_PATH=/opt/cuda",
                                           "LLAMA_ARG_HOST=0.0.0.0",
                                           "GBGREG_DATABASE=secret",
                                           "AWS_SECRET_ACCESS_KEY=x",
                                           "LC_ALL=C",
                                           "odd"};
  const Command command = engine_command("/opt/llama-server", kText, kLife, parent);
  EXPECT_THAT(command.environment,
              ElementsAre("PATH=/usr/bin", "CUDA_VISIBLE_DEVICES=0", "LD_LIBRARY_PATH=/opt/cuda", "LC_ALL=C",
                          "LLAMA_SERVER_ROUTER_PORT=1", "LLAMA_API_KEY=sesame", "GGML_NO_BACKTRACE=1"));
}

}  // namespace
}  // namespace gbgreg::fleet
