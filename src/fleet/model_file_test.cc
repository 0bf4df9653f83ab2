#include "fleet/model_file.h"

#include <gmock/gmock.h>

#include <cstring>
#include <sstream>
#include <string>
#include <string_view>

namespace gbgreg::fleet {
namespace {

// Writes the metadata of a GGUF file as the format has it.
class Gguf {
 public:
  Gguf& text(std::string_view key, std::string_view value) { return entry(key, 8).words(value); }
  Gguf& number(std::string_view key, std::uint32_t value) { return entry(key, 4).bytes(value); }
  Gguf& boolean(std::string_view key) { return entry(key, 7).bytes(std::uint8_t{1}); }
  Gguf& texts(std::string_view key, std::uint64_t count, std::string_view each) {
    entry(key, 9).bytes(std::uint32_t{8}).bytes(count);
    for (std::uint64_t i = 0; i < count; ++i) words(each);
    return *this;
  }
  Gguf& numbers(std::string_view key, std::uint64_t count) {
    entry(key, 9).bytes(std::uint32_t{6}).bytes(count);
    body_.append(count * 4, '\0');
    return *this;
  }
  std::string whole(std::uint32_t version = 3) const {
    Gguf head;
    head.body_ = "GGUF";
    head.bytes(version).bytes(std::uint64_t{0}).bytes(entries_);
    return head.body_ + body_;
  }

 private:
  Gguf& entry(std::string_view key, std::uint32_t type) {
    ++entries_;
    return words(key).bytes(type);
  }
  Gguf& words(std::string_view text) {
    bytes(std::uint64_t{text.size()});
    body_.append(text);
    return *this;
  }
  template <class Number>
  Gguf& bytes(Number value) {
    char raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    body_.append(raw, sizeof value);
    return *this;
  }

  std::string body_;
  std::uint64_t entries_ = 0;
};

ModelFacts read(const std::string& bytes) {
  std::istringstream file(bytes);
  return read_model_facts(file);
}

Gguf bert() {
  Gguf file;
  file.text("general.architecture", "bert").text("general.name", "a name").boolean("bert.attention.causal");
  return file.number("bert.context_length", 512).number("bert.embedding_length", 384);
}

TEST(ModelFile, SaysWhatTheModelIs) {
  const ModelFacts facts = read(bert().number("bert.pooling_type", 2).whole());
  EXPECT_EQ(facts.architecture, "bert");
  EXPECT_EQ(facts.context_tokens, 512);
  EXPECT_EQ(facts.embedding_numbers, 384);
  EXPECT_EQ(facts.pooling, Pooling::cls);
}

TEST(ModelFile, IsReadBehindItsVocabularyToo) {
  Gguf file = bert();
  file.texts("tokenizer.ggml.tokens", 3000, "token").numbers("tokenizer.ggml.scores", 3000);
  EXPECT_EQ(read(file.number("bert.pooling_type", 3).whole()).pooling, Pooling::last);
}

TEST(ModelFile, MayDeclareNoPoolingOrOneThatMakesNoVectorOfAText) {
  EXPECT_EQ(read(bert().whole()).pooling, std::nullopt);
  for (const std::uint32_t other : {0U, 4U, 9U, 0xFFFFFFFFU}) {
    EXPECT_EQ(read(bert().number("bert.pooling_type", other).whole()).pooling, std::nullopt) << other;
  }
}

TEST(ModelFile, IsNotTakenAtItsWordForAnotherArchitecture) {
  const ModelFacts facts = read(bert().number("clip.pooling_type", 1).number("bertly.pooling_type", 1).whole());
  EXPECT_EQ(facts.pooling, std::nullopt);
}

TEST(ModelFile, HasAnArchitectureOnlyByAPlainName) {
  for (const char* name : {"", "be\"rt", "be rt", "be.rt", "b\xc3\xa9rt"}) {
    Gguf file;
    EXPECT_EQ(read(file.text("general.architecture", name).whole()), ModelFacts{}) << name;
  }
  Gguf file;
  EXPECT_EQ(read(file.text("general.architecture", "nomic-bert_V2").whole()).architecture, "nomic-bert_V2");
}

TEST(ModelFile, MayHaveNumbersThatAreNone) {
  Gguf file;
  file.text("general.architecture", "bert").number("bert.context_length", 0).number("bert.embedding_length", ~0U);
  EXPECT_EQ(read(file.text("bert.pooling_type", "mean").whole()), ModelFacts{.architecture = "bert"});
}

TEST(ModelFile, SaysWhatCameBeforeItBreaksOff) {
  const std::string whole = bert().number("bert.pooling_type", 1).whole();
  const ModelFacts facts = read(whole);
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    const ModelFacts cut = read(whole.substr(0, bytes));
    EXPECT_EQ(cut.pooling, std::nullopt) << bytes;
    EXPECT_TRUE(cut.architecture.empty() || cut.architecture == facts.architecture) << bytes;
  }
}

TEST(ModelFile, ThatIsNoneSaysNothing) {
  EXPECT_EQ(read(""), ModelFacts{});
  EXPECT_EQ(read("GGUF"), ModelFacts{});
  EXPECT_EQ(read(std::string(4096, '\xff')), ModelFacts{});
  EXPECT_EQ(read(bert().whole(1)), ModelFacts{});
  EXPECT_EQ(read_model_facts(std::filesystem::path("/nowhere/at/all.gguf")), ModelFacts{});
}

// Counts of what would never end are given up at once.
TEST(ModelFile, WithEndlessCountsIsGivenUp) {
  const std::string head = bert().whole();
  std::string endless = head;
  endless.replace(16, 8, 8, '\xff');
  EXPECT_EQ(read(endless), read(head));
  Gguf file = bert();
  std::string array = file.texts("tokenizer.ggml.tokens", 1, "token").whole();
  array.replace(array.size() - 21, 8, 8, '\xff');
  EXPECT_EQ(read(array), read(head));
}

}  // namespace
}  // namespace gbgreg::fleet
