#include "config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>

namespace gbgreg::config {
namespace {

using testing::HasSubstr;

class ConfigTest : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(file_); }

  Result<Config> load_text(const std::string& yaml) {
    std::ofstream(file_) << yaml;
    flags_.config = file_.string();
    return load(flags_, environment());
  }
  Environment environment() {
    return [this](const std::string& name) -> std::optional<std::string> {
      const auto found = variables_.find(name);
      return found == variables_.end() ? std::nullopt : std::optional(found->second);
    };
  }

  std::filesystem::path file_ =
      std::filesystem::path(testing::TempDir()) / ("gbgreg_config_" + random_hex(8) + ".yaml");
  std::map<std::string, std::string> variables_{{"HOME", "/home/x"}};
  Flags flags_;
};

TEST_F(ConfigTest, ReadsHowLongRecordsAreKept) {
  using std::chrono::days;
  EXPECT_EQ(load_text("records: {}")->records.kept, days(30));
  EXPECT_EQ(load_text("records: {}")->records.texts_kept, days(0));
  const auto config = load_text("records: { keep_days: 0, keep_texts_days: 7, spool_bytes_max: 1000 }");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->records.kept, days(0));
  EXPECT_EQ(config->records.texts_kept, days(7));
  EXPECT_EQ(config->records.spool_bytes_max, 1'000U);
  for (const char* yaml : {"records: 30", "records: { keep_days: -1 }", "records: { keep: 1 }"}) {
    EXPECT_FALSE(load_text(yaml)) << yaml;
  }
}

TEST_F(ConfigTest, KnowsWhenKeysAreAskedFor) {
  struct Case {
    const char* yaml;
    keys::Required required;
  };
  using enum keys::Required;
  const Case cases[] = {{"threads: 1", automatic},
                        {"auth: {}", automatic},
                        {"auth: { required: auto }", automatic},
                        {"auth: { required: always }", always},
                        {"auth: { required: never }", never}};
  for (const Case& c : cases) EXPECT_EQ(load_text(c.yaml)->keys.required, c.required) << c.yaml;
  for (const char* yaml : {"auth: always", "auth: { required: true }", "auth: { require: never }"}) {
    EXPECT_FALSE(load_text(yaml)) << yaml;
  }
}

TEST_F(ConfigTest, KnowsWhereTracesGo) {
  EXPECT_FALSE(load_text("threads: 1")->tracing.is_on());
  const auto config = load_text(
      "tracing: { endpoint: 'https://otel.example:4318/v1/traces', ca_file: ~/ca.pem, sample_ratio: 0.25, "
      "service_name: den }");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_TRUE(config->tracing.is_on());
  EXPECT_EQ(config->tracing.url.authority, "otel.example:4318");
  EXPECT_EQ(config->tracing.url.base_path, "");
  EXPECT_EQ(config->tracing.ca_file, "/home/x/ca.pem");
  EXPECT_EQ(config->tracing.sample_ratio, 0.25);
  EXPECT_EQ(config->tracing.service, "den");
  EXPECT_EQ(load_text("tracing: { endpoint: 'http://127.0.0.1:4318' }")->tracing.sample_ratio, 1);
}

TEST_F(ConfigTest, RefusesTracesThatMakeNoSense) {
  for (const char* yaml :
       {"tracing: yes", "tracing: {}", "tracing: { endpoint: '' }", "tracing: { endpoint: localhost }",
        "tracing: { endpoint: 'grpc://localhost:4317' }", "tracing: { endpoint: 'http://x', ratio: 1 }",
        "tracing: { endpoint: 'http://x', sample_ratio: 1.5 }", "tracing: { endpoint: 'http://x', sample_ratio: -0.1 }",
        "tracing: { endpoint: 'http://x', sample_ratio: .nan }",
        "tracing: { endpoint: 'http://x', sample_ratio: half }", "tracing: { endpoint: 'http://x', ca_file: /ca.pem }",
        "tracing: { endpoint: 'http://x', service_name: 'a b' }"}) {
    EXPECT_FALSE(load_text(yaml)) << yaml;
  }
}

TEST_F(ConfigTest, NeedsNothingToRunTheDemoModels) {
  const auto config = load(Flags{}, environment());
  ASSERT_TRUE(config);
  EXPECT_EQ(config->listen, std::vector<std::string>{"127.0.0.1:3333"});
  EXPECT_EQ(config->data, "/home/x/.local/share/gbgreg");
  EXPECT_EQ(config->fleet.engine, "/home/x/.cache/gbgreg/engine/v0.5.0/bin/llama-server");
  ASSERT_EQ(config->fleet.workers.size(), 5U);
  for (const auto& worker : config->fleet.workers) EXPECT_EQ(worker.embeds, worker.model == "demo-embedding");
  EXPECT_EQ(config->fleet.workers[3].model, "demo-vision");
  EXPECT_TRUE(config->fleet.workers[3].is_demo);
  EXPECT_TRUE(config->fleet.workers[3].allow_cpu);
  EXPECT_EQ(config->fleet.workers[3].projector_file, "/home/x/.cache/gbgreg/models/demo-vision-mmproj.gguf");
}

TEST_F(ConfigTest, FlagsGoOverTheEnvironmentAndThatOverTheFile) {
  variables_["GBGREG_DATA"] = "/env";
  variables_["GBGREG_LISTEN"] = "127.0.0.1:1,127.0.0.1:2";
  variables_["GBGREG_ORIGINS"] = "https://a.example, https://b.example:8443";
  flags_.data = "/flag";
  const auto config = load_text("data: /file\nlisten: 127.0.0.1:9\nengine: ~/engine\n");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->data, "/flag");
  EXPECT_EQ(config->listen, (std::vector<std::string>{"127.0.0.1:1", "127.0.0.1:2"}));
  EXPECT_EQ(config->fleet.engine, "/home/x/engine");
  EXPECT_EQ(config->http.origins, (std::vector<std::string>{"https://a.example", "https://b.example:8443"}));
}

TEST_F(ConfigTest, ReadsRolesAndLimits) {
  const auto config = load_text(R"(
models: /m
hosts: [AI.example.org]
origins: [https://app.example.org, "http://192.168.1.7:8080"]
limits: { upload_bytes_max: 1000, queue_max: 3 }
uploads: { allow_unknown_binaries: true }
roles:
  technical: { model: coder, file: coder.gguf, context: 8192, slots: 2, threads: 3, objective_ms: 900, device: require_gpu, allow_cpu: true }
  vision: { model: seer, file: /abs/seer.gguf, mmproj: eye.gguf }
)");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->http.upload_bytes_max, 1000U);
  EXPECT_TRUE(config->http.unknown_binaries_allowed);
  EXPECT_EQ(config->fleet.queue_max, 3);
  EXPECT_FALSE(config->fleet.queue_wait_max);
  EXPECT_EQ(config->http.hosts, std::vector<std::string>{"ai.example.org"});
  EXPECT_EQ(config->http.origins, (std::vector<std::string>{"https://app.example.org", "http://192.168.1.7:8080"}));
  EXPECT_FALSE(config->http.any_origin);
  ASSERT_EQ(config->fleet.workers.size(), 2U);
  const auto& technical = config->fleet.workers[0];
  EXPECT_EQ(technical.model_file, "/m/coder.gguf");
  EXPECT_EQ(technical.context_tokens, 8192);
  EXPECT_EQ(technical.slots, 2);
  EXPECT_EQ(technical.objective_ms, 900);
  EXPECT_EQ(technical.device, gpu::DevicePolicy::require_gpu);
  EXPECT_TRUE(technical.allow_cpu);
  EXPECT_FALSE(technical.is_demo);
  EXPECT_EQ(config->fleet.workers[1].model_file, "/abs/seer.gguf");
  EXPECT_EQ(config->fleet.workers[1].projector_file, "/m/eye.gguf");
}

TEST_F(ConfigTest, ReadsThePortsOfWorkers) {
  const auto config = load_text(
      "roles:\n  a: { model: m, file: f, port: 11436 }\n"
      "  b: { models: [{ model: n, file: g, port: 11437 }, { model: o, file: h }] }\n");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->fleet.workers[0].port, 11436);
  EXPECT_EQ(config->fleet.workers[1].port, 11437);
  EXPECT_EQ(config->fleet.workers[2].port, std::nullopt);
}

TEST_F(ConfigTest, ReadsHowLongARequestMayWait) {
  EXPECT_EQ(load_text("limits: { queue_wait_ms_max: 1500 }\n")->fleet.queue_wait_max, std::chrono::milliseconds{1500});
  EXPECT_EQ(load_text("limits: { queue_wait_ms_max: off }\n")->fleet.queue_wait_max, fleet::Options::kNoBound);
}

TEST_F(ConfigTest, ReadsRolesForEmbeddings) {
  const auto config = load_text(R"(
roles:
  texts: { model: coder, file: coder.gguf, embeddings: false }
  vectors: { model: embedder, file: e.gguf, embeddings: true, pooling: cls, dimensions_min: 64 }
  others: { model: another, file: e.gguf, embeddings: yes }
)");
  ASSERT_TRUE(config) << config.error().message;
  const auto& workers = config->fleet.workers;
  EXPECT_FALSE(workers[0].embeds);
  EXPECT_TRUE(workers[1].embeds);
  EXPECT_EQ(workers[1].pooling, fleet::Pooling::cls);
  EXPECT_EQ(workers[1].dimensions_min, 64);
  EXPECT_TRUE(workers[2].embeds);
  EXPECT_EQ(workers[2].pooling, std::nullopt);
  EXPECT_EQ(workers[2].dimensions_min, 0);
}

TEST_F(ConfigTest, LooksForAModelWithoutAFileByItsName) {
  variables_["HF_TOKEN"] = "h";
  variables_["GBGREG_REGISTRY_TOKENS"] = "r.example=t=1, other.example=u";
  const auto config = load_text(
      "data: /d\nmodel_stores: [~/m, /n]\nregistries: [r.example]\nlimits: { pull_stall_seconds: 7 }\n"
      "roles:\n  a: { model: \"llama3.1:8b\" }\n  b: { model: x, file: /y.gguf }\n");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_TRUE(config->fleet.workers[0].is_stored);
  EXPECT_TRUE(config->fleet.workers[0].model_file.empty());
  EXPECT_FALSE(config->fleet.workers[1].is_stored);
  EXPECT_EQ(config->stores.folder, "/d/models");
  EXPECT_EQ(config->stores.other_folders, (std::vector<std::filesystem::path>{"/home/x/m", "/n"}));
  EXPECT_EQ(config->stores.registries, std::vector<std::string>{"r.example"});
  EXPECT_EQ(config->stores.fetch.stall_timeout, std::chrono::seconds{7});
  EXPECT_EQ(config->stores.fetch.tokens.at("hf.co"), "h");
  EXPECT_EQ(config->stores.fetch.tokens.at("r.example"), "t=1");
  EXPECT_EQ(config->stores.fetch.tokens.at("other.example"), "u");
}

TEST_F(ConfigTest, CallsAModelADemoByItsFileAndNotByItsName) {
  const auto config = load_text(R"(
roles:
  a: { model: demo-of-mine, file: /m/demo-technical.gguf }
  b: { model: mine, file: demo-technical.gguf }
  c: { model: mine, file: ../models/demo-mine.gguf }
)");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_FALSE(config->fleet.workers[0].is_demo);
  EXPECT_TRUE(config->fleet.workers[1].is_demo);
  EXPECT_FALSE(config->fleet.workers[2].is_demo);
}

TEST_F(ConfigTest, SaysWhatIsWrongAndWhere) {
  struct Case {
    const char* yaml;
    const char* says;
  };
  const Case cases[] = {
      {"port: 1\n", "`port` is not a key"},
      {"limits: { upload_bytes_max: -1 }\n", "line 1: `upload_bytes_max` must be a whole number"},
      {"limits: { upload_bytes_max: 1.5 }\n", "must be a whole number"},
      {"limits: { queue_wait_ms_max: 0 }\n", "`queue_wait_ms_max` must be a whole number from 1"},
      {"limits: { queue_wait_ms_max: on }\n", "`queue_wait_ms_max` must be a whole number"},
      {"limits: 3\n", "must be a map"},
      {"roles: { a: { model: m, file: f, port: 0 } }\n", "`port` must be a whole number from 1 to 65535"},
      {"roles: { a: { model: m, file: f, port: 65536 } }\n", "`port` must be a whole number from 1 to 65535"},
      {"roles:\n  a: { model: m, file: f, port: 9001 }\n  b: { models: [{ model: n, file: g, port: 9001 }] }\n",
       "m of the role `a` and n of the role `b` have the same `port`, 9001"},
      {"listen: [\"127.0.0.1:3333\", \"127.0.0.1:9001\"]\nroles: { a: { model: m, file: f, port: 9001 } }\n",
       "the role `a` has the `port` 9001, on which the gateway listens itself"},
      {"memory: { ram_bytes_max: 5 }\n", "line 1: `ram_bytes_max` must be a whole number from 1000000"},
      {"memory: { swap: 5 }\n", "`swap` is not a key of `memory`"},
      {"roles: { a: { model: m, file: f, cache: q4_0 } }\n", "`cache` must be f16 or q8_0"},
      {"roles: { a: { model: m, file: f, gpu_layers: -1 } }\n", "`gpu_layers` must be a whole number from 0"},
      {"roles: { a: { model: m, file: f, keep_alive: -2 } }\n", "`keep_alive` must be a whole number from -1"},
      {"roles: {}\n", "at least one role"},
      {"roles:\n  a: { file: x }\n", "needs `model`"},
      {"roles:\n  a: { model: \"a b\" }\n", "printable"},
      {"roles:\n  a: { model: x/y/z/w }\n", "needs `file`"},
      {"roles:\n  a: { model: x, mmproj: p.gguf }\n", "needs `file` for `mmproj`"},
      {"limits: { pull_stall_seconds: 0 }\n", "pull_stall_seconds"},
      {"roles:\n  a: { model: x, file: y, slots: 0 }\n", "`slots` must be"},
      {"data: [\n", "line"},
      {"listen: []\n", "at least one address"},
      {"listen: \", ,\"\n", "at least one address"},
      {"models: a\nmodels: b\n", "line 2: `models` stands there twice"},
      {"roles:\n  a: { model: x, file: y }\n  a: { model: z, file: y }\n", "line 3: `a` stands there twice"},
      {"roles:\n  auto: { model: x, file: y }\n", "not `auto`"},
      {"roles:\n  a/b: { model: c, file: y }\n", "line 2: the name of a role must have no slash"},
      {"roles:\n  a: { model: auto, file: y }\n", "not `auto`"},
      {"roles:\n  a: { model: 'x y', file: y }\n", "`model` of role `a` must be"},
      {"roles:\n  a: { model: x, file: y, context: 10000000, slots: 256 }\n", "`context` times `slots`"},
      {"roles:\n  a: { model: x, file: y, embeddings: 1 }\n", "`embeddings` must be true or false"},
      {"roles:\n  a: { model: x, file: y, embeddings: true, pooling: rank }\n", "`pooling` must be mean, cls or last"},
      {"roles:\n  a: { model: x, file: y, pooling: mean }\n", "needs `embeddings: true`"},
      {"roles:\n  a: { model: x, file: y, dimensions_min: 8 }\n", "needs `embeddings: true`"},
      {"roles:\n  a: { model: x, file: y, embeddings: true, mmproj: z }\n", "it can have no `mmproj`"},
      {"roles:\n  a: { model: x, file: y, embeddings: true }\n  b: { model: x, file: y }\n", "give it another name"},
      {"hosts: { a: b }\n", "`hosts` must be a text or a list"},
      {"origins: [https://app.example.org/chat]\n", "is not an origin"},
      {"origins: app.example.org\n", "is not an origin"},
      {"origins: ['*']\n", "is not an origin"},
      {"log_level: verbose\n", "`log_level` must be trace"},
      {"tls: { certificate: a }\n", "`tls` needs both"},
      {"tls: { key: a }\n", "`tls` needs both"},
      {"tls: { certificate: a, key: b, passphrase: c }\n", "`passphrase` is not a key of `tls`"},
      {"tls: a\n", "must be a map"},
      {"listen: ['127.0.0.1:1', 'https://127.0.0.1:2']\n", "`listen` has https://127.0.0.1:2, so `tls` must"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.yaml);
    const auto config = load_text(c.yaml);
    ASSERT_FALSE(config);
    EXPECT_THAT(config.error().message, HasSubstr(c.says));
    EXPECT_THAT(config.error().message, HasSubstr(file_.string()));
  }
}

TEST_F(ConfigTest, PutsTheFilesOfTlsTogetherFromWhereverTheyAreNamed) {
  EXPECT_FALSE(load(Flags{}, environment())->tls);
  variables_["GBGREG_TLS_KEY"] = "/env/key.pem";
  const auto config = load_text("listen: https://127.0.0.1:1\ntls: { certificate: ~/chain.pem, key: /file/key.pem }\n");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_TRUE(config->tls);
  EXPECT_EQ(config->tls->certificate, "/home/x/chain.pem");
  EXPECT_EQ(config->tls->key, "/env/key.pem");
  flags_.tls_key = "/flag/key.pem";
  flags_.tls_certificate = "/flag/chain.pem";
  const auto flagged = load_text("listen: https://127.0.0.1:1\n");
  ASSERT_TRUE(flagged) << flagged.error().message;
  EXPECT_EQ(flagged->tls->certificate, "/flag/chain.pem");
  EXPECT_EQ(flagged->tls->key, "/flag/key.pem");
}

TEST_F(ConfigTest, SaysThatAFileCannotBeRead) {
  flags_.config = "/nonexistent.yaml";
  const auto config = load(flags_, environment());
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().message, HasSubstr("cannot be read"));
  flags_.config = testing::TempDir();
  const auto folder = load(flags_, environment());
  ASSERT_FALSE(folder);
  EXPECT_THAT(folder.error().message, HasSubstr("it is a folder"));
}

TEST_F(ConfigTest, TakesAFileOfABoundedSize) {
  const std::string lines = "threads: 3\n#";
  EXPECT_EQ(load_text(lines + std::string(1024 * 1024 - lines.size(), 'x'))->net.threads, 3);
  const auto config = load_text(lines + std::string(1024 * 1024 + 1 - lines.size(), 'x'));
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().message, HasSubstr("more than 1048576 bytes"));
}

TEST_F(ConfigTest, TakesAListWithBlanksAndTheWordInsecure) {
  flags_.listen = "127.0.0.1:1, [::1]:2";
  EXPECT_EQ(load(flags_, environment())->listen, (std::vector<std::string>{"127.0.0.1:1", "[::1]:2"}));
  EXPECT_FALSE(load(flags_, environment())->insecure);
  variables_["GBGREG_INSECURE"] = "1";
  EXPECT_TRUE(load(flags_, environment())->insecure);
}

constexpr const char* kServers = R"(
servers:
  den: { kind: ollama, url: "http://192.168.1.7:11434", key_env: DEN_KEY, slots: 3 }
  attic: { kind: vllm, url: "http://[::1]:8000/" }
)";

TEST_F(ConfigTest, ReadsModelsInOrderOfPreferenceAndTheServersThatHaveThem) {
  variables_["DEN_KEY"] = "sk-1";
  const auto config = load_text(std::string(kServers) + R"(
roles:
  documentation:
    models:
      - { model: "llama3.1:8b", server: [den, attic], served_as: llama3.1, context: 8192, sees_images: true }
      - { model: "llama3.2:1b", file: small.gguf }
  technical: { model: coder, file: coder.gguf }
)");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->fleet.servers.size(), 2U);
  const auto& den = config->fleet.servers[0];
  EXPECT_EQ(den.kind, fleet::ServerKind::ollama);
  EXPECT_EQ(den.url.authority, "192.168.1.7:11434");
  EXPECT_EQ(den.key, "sk-1");
  EXPECT_EQ(den.slots, 3);
  ASSERT_EQ(den.models.size(), 1U);
  EXPECT_EQ(den.models[0].model, "llama3.1:8b");
  EXPECT_EQ(den.models[0].served_as, "llama3.1");
  EXPECT_TRUE(den.models[0].sees_images);
  EXPECT_EQ(den.models[0].preference, 0);
  EXPECT_EQ(config->fleet.servers[1].url.authority, "[::1]:8000");
  EXPECT_EQ(config->fleet.servers[1].key, "");
  ASSERT_EQ(config->fleet.workers.size(), 2U);
  EXPECT_EQ(config->fleet.workers[0].preference, 1);
  EXPECT_EQ(config->fleet.workers[1].preference, 0);
}

TEST_F(ConfigTest, ReadsServersByNameAndOverTls) {
  const auto config = load_text(R"(
servers: { a: { kind: openai, url: "https://api.example/openai/v1", ca_file: ~/ca.pem } }
roles: { r: { model: m, server: a } }
)");
  ASSERT_TRUE(config) << config.error().message;
  const auto& server = config->fleet.servers[0];
  EXPECT_TRUE(server.url.is_secure);
  EXPECT_EQ(server.url.host, "api.example");
  EXPECT_EQ(server.url.base_path, "/openai");
  EXPECT_EQ(server.ca_file, "/home/x/ca.pem");
  EXPECT_EQ(server.models[0].context_tokens, std::nullopt);
}

TEST_F(ConfigTest, DoesNotRepeatAKeyThatStandsInTheFile) {
  for (const char* where :
       {"key: sk-hidden, url: \"http://127.0.0.1:1\"", "url: \"http://me:sk-hidden@127.0.0.1:1\""}) {
    const auto config = load_text("servers: { a: { kind: openai, " + std::string(where) + " } }");
    ASSERT_FALSE(config);
    EXPECT_THAT(config.error().message, HasSubstr("key_file"));
    EXPECT_THAT(config.error().message, testing::Not(HasSubstr("sk-hidden")));
  }
}

TEST_F(ConfigTest, ReadsAKeyFromAFileAndNeverShowsIt) {
  const auto key = file_.string() + ".key";
  std::ofstream(key) << "sk-from-file\n";
  const std::string servers = "servers: { a: { kind: openai, url: \"http://127.0.0.1:1\", key_file: " + key + " } }\n";
  const auto config = load_text(servers + "roles: { r: { model: m, server: a } }");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->fleet.servers[0].key, "sk-from-file");
  ASSERT_EQ(config->warnings.size(), 1U);
  EXPECT_THAT(config->warnings[0], HasSubstr("chmod 0600"));
  std::filesystem::permissions(key, std::filesystem::perms::owner_read);
  EXPECT_THAT(load_text(servers + "roles: { r: { model: m, server: a } }")->warnings, testing::IsEmpty());
  std::filesystem::permissions(key, std::filesystem::perms::owner_all);
  std::ofstream(key) << "sk with blanks\n";
  const auto refused = load_text(servers + "roles: { r: { model: m, server: a } }");
  std::filesystem::remove(key);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::Not(HasSubstr("sk with")));
}

TEST_F(ConfigTest, TheDatabaseIsAFileUnlessAnotherIsNamed) {
  EXPECT_EQ(load_text("log_level: info")->database, "");
  EXPECT_EQ(load_text("database: \"postgresql://gbgreg@db/gbgreg?passfile=/etc/pgpass\"")->database,
            "postgresql://gbgreg@db/gbgreg?passfile=/etc/pgpass");
  variables_["GBGREG_DATABASE"] = "postgresql://gbgreg:hunter2@db/gbgreg";
  const auto config = load_text("database: sqlite:///tmp/x.db");
  EXPECT_EQ(config->database, "postgresql://gbgreg:hunter2@db/gbgreg");
  EXPECT_THAT(config->warnings, testing::IsEmpty());
}

TEST_F(ConfigTest, APasswordOfTheDatabaseIsWhereOthersDoNotReadIt) {
  for (const char* url : {"postgresql://gbgreg:hunter2@db/gbgreg", "postgresql://db/gbgreg?password=hunter2",
                          "postgres://gbgreg:hunter2%zz@db/gbgreg", "mysql://gbgreg:hunter2@db/gbgreg"}) {
    SCOPED_TRACE(url);
    const auto refused = load_text("database: \"" + std::string(url) + "\"");
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, testing::Not(HasSubstr("hunter2")));
  }
  flags_.database = "postgresql://gbgreg:hunter2@db/gbgreg";
  const auto config = load_text("log_level: info");
  ASSERT_TRUE(config);
  ASSERT_EQ(config->warnings.size(), 1U);
  EXPECT_THAT(config->warnings[0], HasSubstr("GBGREG_DATABASE"));
  EXPECT_THAT(config->warnings[0], testing::Not(HasSubstr("hunter2")));
}

TEST_F(ConfigTest, SaysWhatIsWrongWithServersAndTheirModels) {
  variables_["DEN_KEY"] = "sk-1";
  struct Case {
    const char* yaml;
    const char* says;
  };
  const Case cases[] = {
      {"servers: { a: { kind: x, url: \"http://127.0.0.1:1\" } }", "`kind` of a server must be"},
      {"servers: { a: { kind: openai } }", "needs `url`, such as http://"},
      {"servers: { a: { kind: openai, url: \"ftp://host.example\" } }", "begins with neither http:// nor https://"},
      {"servers: { a: { kind: openai, url: \"http://127.0.0.1:1\", ca_file: /ca.pem } }", "begins with https://"},
      {"servers: { a: { kind: openai, url: \"http://127.0.0.1:1\", key: sk-1 } }",
       "a key does not belong into this file"},
      {"servers: { a: { kind: openai, url: \"http://127.0.0.1:1\", verify: false } }", "`verify` is not a key of"},
      {"servers: { a: { kind: openai, url: \"http://127.0.0.1:1\", key_env: NOT_SET } }", "NOT_SET is not set"},
      {"servers: { a: { kind: openai, url: \"http://127.0.0.1:1\" } }\nroles: { r: { model: m, file: f } }",
       "no role has a model on the server `a`"},
      {"roles: { r: { model: m, server: nowhere } }", "`nowhere` is not one of `servers`"},
      {"roles: { r: { models: [] } }", "must be a list of 1 to 32 models"},
      {"roles: { r: { model: m, models: [{ model: m, file: f }] } }", "`model` is not a key of role `r` with"},
      {"roles: { r: { models: [{ model: m, file: f }, { model: m, file: f }] } }", "two workers for m"},
      {"roles: { r: { models: [{ model: m, file: f, embeddings: true }, { model: n, file: f }] } }", "others without"},
      {"roles: { r: { models: [{ model: m, file: f, embeddings: true }, { model: n, file: f, embeddings: true }] } }",
       "all its models must be one"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.yaml);
    const auto config = load_text(c.yaml);
    ASSERT_FALSE(config);
    EXPECT_THAT(config.error().message, HasSubstr(c.says));
  }
}

}  // namespace
}  // namespace gbgreg::config
