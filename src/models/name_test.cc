#include "models/name.h"

#include <gtest/gtest.h>

namespace gbgreg::models {
namespace {

TEST(ParseName, FillsInWhatIsLeftOut) {
  struct Case {
    const char* text;
    Name want;
    const char* shortest;
  };
  const Case cases[] = {
      {"llama3.1:8b", {.model = "llama3.1", .tag = "8b"}, "llama3.1:8b"},
      {"llama3.1", {.model = "llama3.1"}, "llama3.1:latest"},
      {"me/m", {.space = "me", .model = "m"}, "me/m:latest"},
      {"hf.co/Org/Repo-GGUF:Q4_K_M",
       {.host = "hf.co", .space = "Org", .model = "Repo-GGUF", .tag = "Q4_K_M"},
       "hf.co/Org/Repo-GGUF:Q4_K_M"},
      {"127.0.0.1:5000/library/m:t",
       {.host = "127.0.0.1:5000", .space = "library", .model = "m", .tag = "t"},
       "127.0.0.1:5000/library/m:t"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const auto name = parse_name(c.text);
    ASSERT_TRUE(name);
    EXPECT_EQ(*name, c.want);
    EXPECT_EQ(short_name(*name), c.shortest);
    EXPECT_EQ(*parse_name(short_name(*name)), *name);
  }
}

TEST(ParseName, RefusesWhatMustNotBecomeAFolder) {
  const std::string long_part(kPartBytesMax + 1, 'a');
  for (const std::string& text : {std::string(),          std::string("../m"), std::string("a/../m"),
                                  std::string("..:x"),    std::string("m:.."), std::string("m:../../etc"),
                                  std::string("/m"),      std::string("a//m"), std::string("a/b/c/d"),
                                  std::string("m:a:b"),   std::string("m:"),   std::string(":t"),
                                  std::string("-m"),      std::string(".m"),   std::string("m\n"),
                                  std::string("m m"),     std::string("m%2f"), std::string("user@host/a/b"),
                                  std::string("m\0x", 3), std::string("é"),    long_part,
                                  "m:" + long_part,       long_part + "/m"}) {
    const auto name = parse_name(text);
    ASSERT_FALSE(name) << text;
    EXPECT_EQ(name.error().code, "bad_model_name");
  }
}

TEST(IsSame, PassesOverTheCaseOfLetters) {
  EXPECT_TRUE(is_same(*parse_name("hf.co/o/r:q4_k_m"), *parse_name("hf.co/o/r:Q4_K_M")));
  EXPECT_FALSE(is_same(*parse_name("m:a"), *parse_name("m:b")));
}

TEST(ParseSource, KnowsARegistryFromFiles) {
  const auto registry = parse_source("llama3.1:8b");
  ASSERT_TRUE(registry);
  EXPECT_EQ(registry->base, "https://" + std::string(kDefaultHost));
  EXPECT_TRUE(registry->files.empty());

  const auto quant = parse_source("hf.co/org/repo:Q4_K_M");
  ASSERT_TRUE(quant);
  EXPECT_EQ(quant->base, "https://hf.co");
  EXPECT_TRUE(quant->files.empty());

  const auto file = parse_source("https://huggingface.co/org/repo/resolve/main/sub/m-Q4.gguf");
  ASSERT_TRUE(file);
  EXPECT_EQ(file->files, std::vector<std::string>{"https://huggingface.co/org/repo/resolve/main/sub/m-Q4.gguf"});
  EXPECT_EQ(short_name(file->name), "huggingface.co/org/repo:m-Q4");

  const auto shorter = parse_source("hf.co/org/repo:m-Q4.gguf");
  ASSERT_TRUE(shorter);
  EXPECT_EQ(shorter->files, std::vector<std::string>{"https://hf.co/org/repo/resolve/main/m-Q4.gguf"});
}

TEST(ParseSource, TakesEveryShardWhicheverIsNamed) {
  const auto source = parse_source("https://hf.co/org/repo/resolve/main/m-00002-of-00003.gguf");
  ASSERT_TRUE(source);
  ASSERT_EQ(source->files.size(), 3U);
  EXPECT_EQ(source->files[0], "https://hf.co/org/repo/resolve/main/m-00001-of-00003.gguf");
  EXPECT_EQ(source->files[2], "https://hf.co/org/repo/resolve/main/m-00003-of-00003.gguf");
  EXPECT_EQ(source->name.tag, "m");
}

TEST(ParseSource, SpeaksPlainHttpToThisMachineOnly) {
  EXPECT_EQ(parse_source("127.0.0.1:5000/library/m")->base, "http://127.0.0.1:5000");
  EXPECT_EQ(parse_source("localhost:5000/library/m")->base, "http://localhost:5000");
  EXPECT_EQ(parse_source("https://localhost:5000/library/m")->base, "https://localhost:5000");
  for (const char* text :
       {"http://example.org/library/m", "http://127.0.0.1.example.org/library/m", "http://localhost.example.org/a/m",
        "http://10.0.0.1/library/m", "http://127.0.0.1/m", "http://localhost"}) {
    const auto source = parse_source(text);
    ASSERT_FALSE(source) << text;
    EXPECT_EQ(source.error().code, "bad_model_url");
  }
}

TEST(ParseSource, RefusesAddressesThatLeadElsewhere) {
  for (const char* text :
       {"file:///etc/passwd", "ftp://x/a/b", "https://user:secret@hf.co/o/r/resolve/main/m.gguf",
        "https://hf.co/o/r/resolve/main/../../x.gguf", "https://hf.co/o/r/resolve/main/a%2e%2e.gguf",
        "https://hf.co/o/r/resolve/main/m.safetensors", "https://hf.co/o/r/resolve/main/m.gguf?x=1",
        "https://hf.co/o/r/resolve/m.gguf", "https:///o/r/resolve/main/m.gguf",
        "https://hf.co/o/r/resolve/main/m\r\n.gguf", "https://example.org/m", "https://example.org"}) {
    EXPECT_FALSE(parse_source(text)) << text;
  }
  EXPECT_FALSE(parse_source(std::string(kUrlBytesMax + 1, 'a')));
}

TEST(ParseShard, TakesOnlyWhatCanBeOne) {
  const auto shard = parse_shard("m-00002-of-00003.gguf");
  ASSERT_TRUE(shard);
  EXPECT_EQ(shard->stem, "m");
  EXPECT_EQ(shard->number, 2);
  EXPECT_EQ(shard->count, 3);
  EXPECT_EQ(shard_file_name("m", 2, 3), "m-00002-of-00003.gguf");
  for (const char* name : {"m.gguf", "m-00004-of-00003.gguf", "m-00000-of-00003.gguf", "-00001-of-00003.gguf",
                           "m-0000a-of-00003.gguf", "m-00001-of-99999.gguf", "m--0001-of-00003.gguf", ""}) {
    EXPECT_FALSE(parse_shard(name)) << name;
  }
}

}  // namespace
}  // namespace gbgreg::models
