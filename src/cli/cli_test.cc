#include "cli/cli.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gbgreg::cli {
namespace {

using testing::HasSubstr;

Parsed parse_words(std::vector<const char*> words) {
  words.insert(words.begin(), "gbgreg");
  return parse(static_cast<int>(words.size()), words.data(), "1.2.3");
}

TEST(Parse, HandsTheFlagsOfServeOn) {
  const Parsed parsed = parse_words({"serve", "--listen", "127.0.0.1:0", "--data=/d"});
  EXPECT_EQ(parsed.command, Command::serve);
  EXPECT_EQ(parsed.flags.listen, "127.0.0.1:0");
  EXPECT_EQ(parsed.flags.data, "/d");
  EXPECT_EQ(parsed.flags.config, std::nullopt);
}

TEST(Parse, ReadsWhatIsToBeDoneAboutAGpu) {
  const Parsed install = parse_words({"gpu", "install", "vulkan", "--engine", "/e"});
  EXPECT_EQ(install.command, Command::gpu);
  EXPECT_EQ(install.gpu.verb, "install");
  EXPECT_EQ(install.gpu.module, "vulkan");
  EXPECT_EQ(install.flags.engine, "/e");
  EXPECT_EQ(parse_words({"gpu", "install"}).gpu.module, "");
  EXPECT_EQ(parse_words({"gpu", "remove"}).gpu.verb, "remove");
  EXPECT_EQ(parse_words({"gpu"}).exit_status, 2);
}

TEST(Parse, ReadsWhatIsToBeDoneAboutWhatIsKept) {
  const Parsed verify = parse_words({"storage", "verify", "--json", "--data", "/d"});
  EXPECT_EQ(verify.command, Command::storage);
  EXPECT_EQ(verify.storage.what, "verify");
  EXPECT_TRUE(verify.storage.as_json);
  EXPECT_EQ(verify.flags.data, "/d");
  const Parsed backup = parse_words({"backup", "/b.tar"});
  EXPECT_EQ(backup.command, Command::storage);
  EXPECT_EQ(backup.storage.what, "backup");
  EXPECT_EQ(backup.storage.file, "/b.tar");
  const Parsed restore = parse_words({"restore", "/b.tar", "--replace"});
  EXPECT_EQ(restore.storage.what, "restore");
  EXPECT_TRUE(restore.storage.replaces);
  EXPECT_EQ(parse_words({"backup"}).exit_status, 2);
  EXPECT_EQ(parse_words({"storage"}).exit_status, 2);
}

TEST(Parse, ReadsWhatIsToBeDoneAboutTheDatabase) {
  const Parsed check = parse_words({"db", "check", "--json", "--database", "postgresql://db/x"});
  EXPECT_EQ(check.command, Command::database);
  EXPECT_EQ(check.database.what, "check");
  EXPECT_TRUE(check.database.as_json);
  EXPECT_EQ(check.flags.database, "postgresql://db/x");
  EXPECT_EQ(parse_words({"db", "migrate", "--data", "/d"}).database.what, "migrate");
  const Parsed copy = parse_words({"db", "copy", "--from", "sqlite:///a", "--to", "postgresql://db/x"});
  EXPECT_EQ(copy.database.what, "copy");
  EXPECT_EQ(copy.database.from, "sqlite:///a");
  EXPECT_EQ(copy.database.to, "postgresql://db/x");
  EXPECT_EQ(parse_words({"db", "copy", "--from", "sqlite:///a"}).exit_status, 2);
  EXPECT_EQ(parse_words({"db"}).exit_status, 2);
}

TEST(Parse, ReadsWhatIsToBeDoneAboutKeys) {
  const Parsed create = parse_words({"keys", "create", "--role", "technical", "--role", "vision", "ada",
                                     "--requests-per-minute", "60", "--tokens-per-minute", "1000", "--tokens-per-day",
                                     "5000000000", "--expires-at", "2026-12-31T00:00:00Z", "--admin", "--data", "/d"});
  EXPECT_EQ(create.command, Command::keys);
  EXPECT_EQ(create.keys.what, "create");
  EXPECT_EQ(create.keys.subject, "ada");
  EXPECT_EQ(create.keys.roles, (std::vector<std::string>{"technical", "vision"}));
  EXPECT_EQ(create.keys.requests_per_minute, 60);
  EXPECT_EQ(create.keys.tokens_per_minute, 1000);
  EXPECT_EQ(create.keys.tokens_per_day, 5'000'000'000);
  EXPECT_EQ(create.keys.expires_at, "2026-12-31T00:00:00Z");
  EXPECT_TRUE(create.keys.is_admin);
  EXPECT_EQ(create.flags.data, "/d");
  const Parsed plain = parse_words({"keys", "create", "ada"});
  EXPECT_FALSE(plain.keys.requests_per_minute || plain.keys.is_admin || plain.keys.as_json);
  EXPECT_TRUE(parse_words({"keys", "list", "--json"}).keys.as_json);
  EXPECT_EQ(parse_words({"keys", "revoke", "x"}).keys.what, "revoke");
  for (const auto& words : std::vector<std::vector<const char*>>{
           {"keys"}, {"keys", "create"}, {"keys", "revoke"}, {"keys", "create", "a", "--tokens-per-day", "many"}}) {
    EXPECT_EQ(parse_words(words).exit_status, 2);
  }
}

TEST(Parse, HelpAndVersionAreNotMistakes) {
  const Parsed version = parse_words({"--version"});
  EXPECT_EQ(version.exit_status, 0);
  EXPECT_THAT(version.text, HasSubstr("gbgreg 1.2.3"));
  EXPECT_THAT(parse_words({"serve", "--help"}).text, HasSubstr("--listen"));
}

TEST(Parse, AMistakeSaysSoAndRunsNothing) {
  for (const auto& words : std::vector<std::vector<const char*>>{{}, {"dance"}, {"serve", "--port", "1"}}) {
    const Parsed parsed = parse_words(words);
    EXPECT_EQ(parsed.command, Command::none);
    EXPECT_EQ(parsed.exit_status, 2);
    EXPECT_FALSE(parsed.text.empty());
  }
}

}  // namespace
}  // namespace gbgreg::cli
