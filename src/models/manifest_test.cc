#include "models/manifest.h"

#include <gtest/gtest.h>

namespace gbgreg::models {
namespace {

const std::string kOne(64, '1');
const std::string kTwo(64, '2');

std::string layer(const std::string& type, const std::string& digest, const std::string& size) {
  return R"({"mediaType":")" + type + R"(","digest":")" + digest + R"(","size":)" + size + "}";
}
std::string manifest_of(const std::string& layers) { return R"({"schemaVersion":2,"layers":[)" + layers + "]}"; }

TEST(Manifest, IsReadAsItWasWritten) {
  const Manifest manifest{.config = {.media_type = std::string(kConfigType), .sha256 = kOne, .size_bytes = 5},
                          .layers = {{.media_type = std::string(kModelType), .sha256 = kTwo, .size_bytes = 7},
                                     {.media_type = std::string(kModelType), .sha256 = kOne, .size_bytes = 5}}};
  const auto read = parse_manifest(write_manifest(manifest));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, manifest);
  EXPECT_EQ(read->blobs().size(), 2U);
  EXPECT_EQ(read->size_bytes(), 12U);
}

TEST(Manifest, IsRefusedWhenAnythingInItCannotBe) {
  const std::string model(kModelType);
  const std::string digest = "sha256:" + kOne;
  struct Case {
    const char* name;
    std::string text;
  };
  const Case cases[] = {
      {"nothing", ""},
      {"no JSON", "<html>"},
      {"no object", "[]"},
      {"another version", R"({"schemaVersion":1,"layers":[]})"},
      {"an index", R"({"schemaVersion":2,"manifests":[],"layers":[]})"},
      {"no layers", R"({"schemaVersion":2})"},
      {"layers that are none", R"({"schemaVersion":2,"layers":{}})"},
      {"no weights", manifest_of(layer(std::string(kTemplateType), digest, "1"))},
      {"a digest that is a path", manifest_of(layer(model, "sha256:../../../../etc/passwd", "1"))},
      {"a short digest", manifest_of(layer(model, "sha256:1234", "1"))},
      {"another algorithm", manifest_of(layer(model, "sha512:" + kOne, "1"))},
      {"a negative size", manifest_of(layer(model, digest, "-1"))},
      {"a broken size", manifest_of(layer(model, digest, "1.5"))},
      {"a size of petabytes", manifest_of(layer(model, digest, "1125899906842624"))},
      {"a media type with blanks", manifest_of(layer("a b", digest, "1"))},
      {"two sizes of one blob", manifest_of(layer(model, digest, "1") + "," + layer(model, digest, "2"))},
      {"a config that is none", R"({"schemaVersion":2,"config":{},"layers":[)" + layer(model, digest, "1") + "]}"},
      {"too much", std::string(kManifestBytesMax + 1, ' ')},
      {"too deep", std::string(100'000, '[')},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto manifest = parse_manifest(c.text);
    ASSERT_FALSE(manifest);
    EXPECT_EQ(manifest.error().code, "bad_manifest");
  }
}

TEST(Config, SaysWhatItKnowsAndNothingThatCannotBeShown) {
  const ModelConfig config{.family = "llama", .parameter_size = "8.0B", .quantization = "Q4_K_M"};
  const ModelConfig read = parse_config(write_config(config));
  EXPECT_EQ(read.family, "llama");
  EXPECT_EQ(read.parameter_size, "8.0B");
  EXPECT_EQ(read.quantization, "Q4_K_M");
  EXPECT_EQ(parse_config(R"({"model_family":"a\nb","model_type":5})").family, "");
  EXPECT_EQ(parse_config("garbage").family, "");
}

TEST(Params, AreALineEach) {
  EXPECT_EQ(params_text(R"({"stop":["a","b"],"num_ctx":4096})"), "stop \"a\"\nstop \"b\"\nnum_ctx 4096");
  EXPECT_EQ(params_text("[]"), "");
}

TEST(Digest, BecomesLowerCaseDigitsOrNothing) {
  EXPECT_EQ(sha256_of_digest("sha256:" + std::string(64, 'A')), std::string(64, 'a'));
  EXPECT_EQ(sha256_of_digest(kOne), "");
  EXPECT_EQ(sha256_of_digest("sha256:" + kOne + "/"), "");
}

}  // namespace
}  // namespace gbgreg::models
