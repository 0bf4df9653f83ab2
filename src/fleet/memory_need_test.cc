#include "fleet/memory_need.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace gbgreg::fleet {
namespace {

// What the engine said of one load: tools/record_memory_reports.mjs.
struct Recorded {
  std::string model, projector;
  LoadPlan plan;
  std::map<std::string, double> megabytes = {};  // "CPU_Mapped model": 4.23.
  double total = 0;
};

std::vector<Recorded> recorded_loads() {
  std::ifstream file(RECORDED_MEMORY "/reports.txt");
  std::vector<Recorded> loads;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    Recorded load;
    std::string batch, cache, said;
    fields >> load.model >> load.projector >> load.plan.context_tokens >> load.plan.slots >> batch >> cache;
    // "2048/512": so many are handed over together, and so many go through the layers at once.
    load.plan.batch_tokens = std::stoi(batch.substr(batch.find('/') + 1));
    load.plan.cache = cache == "q8_0" ? CacheType::q8_0 : CacheType::f16;
    std::getline(fields, said, '\t');
    while (std::getline(fields, said, '\t')) {
      const std::size_t name = said.find(": ") + 2;
      const std::size_t size = said.find(" buffer size = ");
      const double megabytes = std::stod(said.substr(size + std::string(" buffer size = ").size()));
      load.megabytes[said.substr(name, size - name)] += megabytes;
      load.total += megabytes;
    }
    load.plan.repacks = load.megabytes.contains("CPU_REPACK model");
    loads.push_back(std::move(load));
  }
  return loads;
}

std::ifstream header_of(const std::string& name) {
  return std::ifstream(RECORDED_MEMORY "/" + name + ".header", std::ios::binary);
}

constexpr double kMegabyte = 1024.0 * 1024.0;

TEST(MemoryNeed, IsWithinFivePercentOfWhatTheEngineReports) {
  const auto loads = recorded_loads();
  ASSERT_GE(loads.size(), 60U);
  std::map<std::string, double> worst;
  std::set<std::string> families;
  for (const Recorded& load : loads) {
    auto header = header_of(load.model);
    const auto model = read_model_shape(header);
    ASSERT_TRUE(model) << load.model;
    std::int64_t projector = 0;
    if (load.projector != "-") {
      auto projector_header = header_of(load.projector);
      const auto bytes = read_weight_bytes(projector_header);
      ASSERT_TRUE(bytes) << load.projector;
      projector = *bytes;
    }
    const MemoryNeed need = memory_on_host(*model, projector, load.plan);
    const double said = load.total * kMegabyte;
    const double off = std::abs(static_cast<double>(need.total()) - said) / said * 100;
    EXPECT_LE(off, 5) << load.model << ", " << load.plan.context_tokens << " tokens, " << load.plan.slots << " slots, "
                      << load.plan.batch_tokens << " a batch, q8_0 " << (load.plan.cache == CacheType::q8_0) << ": "
                      << static_cast<double>(need.total()) / kMegabyte << " MiB predicted, " << load.total
                      << " reported";
    worst[load.model] = std::max(worst[load.model], off);
  }
  EXPECT_GE(worst.size(), 8U);
  std::printf("memory predicted for %zu loads of %zu shapes, the worst of each:\n", loads.size(), worst.size());
  for (const auto& [name, off] : worst) std::printf("  %-22s %.2f %%\n", name.c_str(), off);
}

// The parts, too: a sum that is right by two mistakes would be wrong for the next model.
TEST(MemoryNeed, TellsTheCacheExactly) {
  for (const Recorded& load : recorded_loads()) {
    auto header = header_of(load.model);
    const auto model = read_model_shape(header);
    ASSERT_TRUE(model) << load.model;
    const auto said = load.megabytes.find("CPU KV");
    const MemoryNeed need = memory_on_host(*model, 0, load.plan);
    const double megabytes = said == load.megabytes.end() ? 0 : said->second;
    EXPECT_NEAR(static_cast<double>(need.cache) / kMegabyte, megabytes, 0.011)
        << load.model << load.plan.context_tokens;
    if (load.plan.repacks) {
      EXPECT_NEAR(static_cast<double>(need.repacked) / kMegabyte, load.megabytes.at("CPU_REPACK model"), 0.01)
          << load.model;
    }
  }
}

TEST(MemoryNeed, LeavesTheTableOfEmbeddingsBehindWhenTheLayersAreOnACard) {
  const ModelShape untied{.layers = 1, .weight_bytes = 1'000'000, .input_bytes = 200'000};
  ModelShape tied = untied;
  tied.ties_output = true;
  const LoadPlan plan{.context_tokens = 256};
  EXPECT_EQ(memory_on_card(untied, 0, plan) + 200'000, memory_on_card(tied, 0, plan));
  EXPECT_EQ(memory_on_card(tied, 5'000, plan), memory_on_card(tied, 0, plan) + 5'000);
}

TEST(ModelShape, IsAbsentOfWhatIsNoModel) {
  for (const char* bytes : {"", "GGUF", "GGUF\3\0\0\0", "hello, I am a text file, and a long one at that"}) {
    std::istringstream file(bytes);
    EXPECT_FALSE(read_model_shape(file)) << bytes;
  }
  EXPECT_FALSE(read_model_shape(std::filesystem::path("/nowhere/at/all.gguf")));
}

TEST(ModelShape, OfACutFileIsAbsent) {
  auto header = header_of("tiny");
  const std::string whole{std::istreambuf_iterator<char>(header), std::istreambuf_iterator<char>()};
  ASSERT_GT(whole.size(), 1000U);
  for (std::size_t bytes = 0; bytes < whole.size(); bytes += 7) {
    std::istringstream file(whole.substr(0, bytes));
    EXPECT_FALSE(read_model_shape(file)) << bytes;
  }
  std::istringstream file(whole);
  EXPECT_TRUE(read_model_shape(file));
}

TEST(ModelShape, AddsUpTheFilesOfAModelInParts) {
  const auto folder = std::filesystem::temp_directory_path() / "gbgreg-shape-of-parts";
  std::filesystem::create_directories(folder);
  for (const char* name : {"x-00001-of-00002.gguf", "x-00002-of-00002.gguf"}) {
    std::filesystem::copy_file(RECORDED_MEMORY "/tiny.header", folder / name,
                               std::filesystem::copy_options::overwrite_existing);
  }
  const auto one = read_model_shape(std::filesystem::path(RECORDED_MEMORY "/tiny.header"));
  const auto both = read_model_shape(folder / "x-00001-of-00002.gguf");
  ASSERT_TRUE(one && both);
  EXPECT_EQ(both->weight_bytes, 2 * one->weight_bytes);
  EXPECT_EQ(both->layers, one->layers);
  std::filesystem::remove(folder / "x-00002-of-00002.gguf");
  EXPECT_FALSE(read_model_shape(folder / "x-00001-of-00002.gguf"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace gbgreg::fleet
