#include "fleet/changes.h"

#include <gmock/gmock.h>

namespace gbgreg::fleet {
namespace {

using testing::HasSubstr;
using testing::Not;

WorkerOptions worker() { return {.role = "technical", .model = "m", .model_file = "/models/m.gguf"}; }

TEST(Changes, TellsWhatAWorkersProcessHasFromItsStart) {
  struct Case {
    const char* name;
    std::function<void(WorkerOptions&)> change;
    Difference difference;
    const char* words;
  };
  const Case cases[] = {
      {"nothing", [](WorkerOptions&) {}, Difference::none, ""},
      {"slots", [](WorkerOptions& w) { w.slots = 8; }, Difference::replaces, "slots 8 instead of 4"},
      {"context", [](WorkerOptions& w) { w.context_tokens = 64; }, Difference::replaces, "context 64 instead of 4096"},
      {"threads", [](WorkerOptions& w) { w.threads = 2; }, Difference::replaces, "threads 2 instead of 0"},
      {"file", [](WorkerOptions& w) { w.model_file = "/models/n.gguf"; }, Difference::replaces,
       "file n.gguf instead of m.gguf"},
      {"folder", [](WorkerOptions& w) { w.model_file = "/other/m.gguf"; }, Difference::replaces,
       "file m.gguf of another folder"},
      {"projector", [](WorkerOptions& w) { w.projector_file = "/models/p.gguf"; }, Difference::replaces,
       "mmproj p.gguf instead of none"},
      {"device", [](WorkerOptions& w) { w.device = gpu::DevicePolicy::cpu; }, Difference::replaces,
       "device cpu instead of prefer_gpu"},
      {"cache", [](WorkerOptions& w) { w.cache = CacheType::q8_0; }, Difference::replaces, "cache q8_0 instead of f16"},
      {"embeddings", [](WorkerOptions& w) { w.embeds = true; }, Difference::replaces,
       "embeddings true instead of false"},
      {"pooling", [](WorkerOptions& w) { w.pooling = Pooling::cls; }, Difference::replaces,
       "pooling cls instead of the model's own"},
      {"stored", [](WorkerOptions& w) { w.is_stored = true; }, Difference::replaces,
       "a fetched model instead of a file"},
      {"objective", [](WorkerOptions& w) { w.objective_ms = 10; }, Difference::adjusts,
       "objective_ms 10 instead of 5000"},
      {"keep_alive", [](WorkerOptions& w) { w.keep_alive = std::chrono::seconds(9); }, Difference::adjusts,
       "keep_alive 9 instead of -1"},
      {"allow_cpu", [](WorkerOptions& w) { w.allow_cpu = true; }, Difference::adjusts,
       "allow_cpu true instead of false"},
      {"preference", [](WorkerOptions& w) { w.preference = 1; }, Difference::adjusts,
       "place in its role 2 instead of 1"},
      {"dimensions", [](WorkerOptions& w) { w.dimensions_min = 8; }, Difference::adjusts,
       "dimensions_min 8 instead of 0"},
      {"both", [](WorkerOptions& w) { w.objective_ms = 10, w.slots = 1; }, Difference::replaces,
       "slots 1 instead of 4, objective_ms 10 instead of 5000"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    WorkerOptions after = worker();
    c.change(after);
    const Change change = compare(worker(), after);
    EXPECT_EQ(change.difference, c.difference);
    EXPECT_EQ(change.words, c.words);
  }
}

TEST(Changes, PassesOverWhereTheFilesOfAStoredModelLie) {
  WorkerOptions before = worker(), after = worker();
  before.is_stored = after.is_stored = true;
  after.model_file = "";
  after.projector_file = "/elsewhere";
  EXPECT_EQ(compare(before, after).difference, Difference::none);
}

TEST(Changes, NeverSaysAServersKey) {
  const ServerOptions before{.name = "den", .url = *net::parse_server_url("http://127.0.0.1:1"), .key = "old-secret"};
  ServerOptions after = before;
  EXPECT_EQ(compare(before, after).difference, Difference::none);
  after.slots = 9;
  EXPECT_EQ(compare(before, after).difference, Difference::adjusts);
  after.key = "new-secret";
  after.url = *net::parse_server_url("http://127.0.0.1:2");
  after.kind = ServerKind::vllm;
  const Change change = compare(before, after);
  EXPECT_EQ(change.difference, Difference::replaces);
  EXPECT_EQ(change.words,
            "kind vllm instead of openai, url http://127.0.0.1:2 instead of http://127.0.0.1:1, another key, slots 9 "
            "instead of 4");
  EXPECT_THAT(change.words, Not(HasSubstr("secret")));
}

TEST(Changes, ComparesTheModelsOfAServer) {
  const OutsideModelOptions before{.role = "technical", .model = "m", .served_as = "m"};
  OutsideModelOptions after = before;
  EXPECT_EQ(compare(before, after).difference, Difference::none);
  after.served_as = "n";
  after.context_tokens = 8192;
  after.sees_images = true;
  const Change change = compare(before, after);
  EXPECT_EQ(change.difference, Difference::adjusts);
  EXPECT_EQ(change.words,
            "served_as n instead of m, sees_images true instead of false, context 8192 instead of what there is");
}

}  // namespace
}  // namespace gbgreg::fleet
