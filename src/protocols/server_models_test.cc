#include "protocols/server_models.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gbgreg::protocols {
namespace {

using testing::ElementsAre;

TEST(ReadOpenAiList, TakesNamesAndLengthsInTheWordsOfSeveralServers) {
  const auto told = read_openai_list(
      R"({"object":"list","data":[{"id":"a","max_model_len":8192},{"id":"b","meta":{"n_ctx_train":2048}},
          {"id":"c","context_length":1e3},{"id":"d","meta":{"n_ctx":512,"n_ctx_train":2048}},{"id":"e","meta":null}]})");
  EXPECT_TRUE(told.is_told);
  EXPECT_THAT(told.models, ElementsAre(ServerModel{"a", 8192}, ServerModel{"b", 2048}, ServerModel{"c", 1000},
                                       ServerModel{"d", 512}, ServerModel{"e", std::nullopt}));
}

TEST(ReadOllamaList, TakesItsNames) {
  const auto told =
      read_ollama_list(R"({"models":[{"name":"llama3.1:8b","size":4,"details":{"families":["llama"]}}]})");
  EXPECT_TRUE(told.is_told);
  EXPECT_THAT(told.models, ElementsAre(ServerModel{"llama3.1:8b", std::nullopt}));
  EXPECT_TRUE(read_ollama_list(R"({"models":[]})").is_told);
}

TEST(ReadOpenAiList, TakesWhatIsNotUnderstoodForNothingSaid) {
  for (const char* body :
       {"", "<html>", "[]", "{}", R"({"data":{}})", R"({"data":[{"id":"a"})", R"({"data":[}])", "\xff"}) {
    SCOPED_TRACE(body);
    EXPECT_FALSE(read_openai_list(body).is_told);
  }
}

TEST(ReadOpenAiList, LeavesOutWhatCannotBeANameOrALength) {
  const std::string body =
      R"({"data":[1,{"id":2},{"id":""},{"id":"with\nline"},{"id":")" + std::string(300, 'x') +
      R"("},{"id":"a","max_model_len":-1},{"id":"b","max_model_len":1e99},{"id":"c","max_model_len":"8"}]})";
  EXPECT_THAT(read_openai_list(body).models, ElementsAre(ServerModel{"a", std::nullopt}, ServerModel{"b", std::nullopt},
                                                         ServerModel{"c", std::nullopt}));
}

TEST(ReadOpenAiList, HasBounds) {
  std::string many = R"({"data":[{"id":"m"})";
  for (int i = 0; i < 3'000; ++i) many += R"(,{"id":"m"})";
  EXPECT_EQ(read_openai_list(many + "]}").models.size(), ServerModels::kModelsMax);
  EXPECT_FALSE(
      read_openai_list(R"({"data":[{"id":"m","x":)" + std::string(40, '[') + std::string(40, ']') + "}]}").is_told);
}

TEST(ReadOllamaContext, IsWhatTheModelFileSetsAndNoMoreThanItWasTrainedFor) {
  const auto show = [](const std::string& parameters, const std::string& trained_for) {
    return read_ollama_context(R"({"parameters":")" + parameters + R"(","model_info":{"llama.context_length":)" +
                               trained_for + R"(,"llama.block_count":3}})");
  };
  EXPECT_EQ(show(R"(stop \"<|eot|>\"\nnum_ctx                        8192)", "131072"), 8192);
  EXPECT_EQ(show("num_ctx 8192", "2048"), 2048);
  EXPECT_EQ(show("", "131072"), 4096);
  EXPECT_EQ(show("num_ctx x", "2048"), 2048);
  EXPECT_EQ(read_ollama_context("{}"), std::nullopt);
  EXPECT_EQ(read_ollama_context(R"({"parameters":"num_ctx 16384"})"), 16384);
  EXPECT_EQ(read_ollama_context("no json"), std::nullopt);
}

TEST(ReadLlamaContext, IsThatOfASlot) {
  EXPECT_EQ(read_llama_context(R"({"default_generation_settings":{"params":{"n":1},"n_ctx":2048},"total_slots":4})"),
            2048);
  EXPECT_EQ(read_llama_context(R"({"default_generation_settings":[]})"), std::nullopt);
  EXPECT_EQ(read_llama_context("{"), std::nullopt);
}

TEST(IsOllamaName, TakesANameWithoutItsTagForTheLatest) {
  EXPECT_TRUE(is_ollama_name("llama3.1:latest", "llama3.1"));
  EXPECT_TRUE(is_ollama_name("Llama3.1:8B", "llama3.1:8b"));
  EXPECT_FALSE(is_ollama_name("llama3.1:8b", "llama3.1"));
}

}  // namespace
}  // namespace gbgreg::protocols
