#include "keys/table.h"

#include <gtest/gtest.h>

namespace gbgreg::keys {
namespace {

using namespace std::chrono_literals;

const WallTime kNow{std::chrono::days{20'000}};

std::shared_ptr<const Key> key_of(const std::string& id, const std::string& secret) {
  return std::make_shared<const Key>(Key{.id = id, .name = id, .hash = hash_of(secret)});
}

TEST(Table, WithoutKeysFindsNone) {
  EXPECT_EQ(Table().find(hash_of("x")), nullptr);
  EXPECT_EQ(Table(std::vector<std::shared_ptr<const Key>>{}).find(hash_of("x")), nullptr);
}

TEST(Table, FindsEachOfManyAndNoOther) {
  std::vector<std::string> secrets;
  std::vector<std::shared_ptr<const Key>> keys;
  for (int i = 0; i < 1000; ++i) {
    secrets.push_back(make_secret());
    keys.push_back(key_of(std::to_string(i), secrets.back()));
  }
  const Table table(keys);
  EXPECT_EQ(table.size(), 1000U);
  for (std::size_t i = 0; i < secrets.size(); ++i) {
    const auto* found = table.find(hash_of(secrets[i]));
    ASSERT_NE(found, nullptr);
    EXPECT_EQ((*found)->id, std::to_string(i));
    EXPECT_EQ(table.find(hash_of(make_secret())), nullptr);
  }
}

TEST(Table, TellsHashesApartThatBeginAlike) {
  Hash one{}, other{}, third{};
  one.back() = 1;
  other.back() = 2;
  third.back() = 3;
  const Table table({std::make_shared<const Key>(Key{.id = "one", .name = "", .hash = one}),
                     std::make_shared<const Key>(Key{.id = "other", .name = "", .hash = other})});
  EXPECT_EQ((*table.find(one))->id, "one");
  EXPECT_EQ((*table.find(other))->id, "other");
  EXPECT_EQ(table.find(third), nullptr);
}

TEST(LookUp, SaysWhyAKeyDoesNotCount) {
  const std::string good = make_secret(), expired = make_secret(), revoked = make_secret();
  Key old = *key_of("expired", expired), gone = *key_of("revoked", revoked), fine = *key_of("good", good);
  fine.rights.expires_at = kNow + 1ms;
  old.rights.expires_at = kNow;
  gone.revoked_at = kNow - 1h;
  const Table table(
      {std::make_shared<const Key>(fine), std::make_shared<const Key>(old), std::make_shared<const Key>(gone)});
  EXPECT_EQ(look_up(table, good, kNow).answer, Answer::good);
  EXPECT_EQ(look_up(table, good, kNow).key->id, "good");
  EXPECT_EQ(look_up(table, good, kNow + 1ms).answer, Answer::expired);
  EXPECT_EQ(look_up(table, expired, kNow).answer, Answer::expired);
  EXPECT_EQ(look_up(table, revoked, kNow).answer, Answer::revoked);
  EXPECT_EQ(look_up(table, make_secret(), kNow).answer, Answer::unknown);
  EXPECT_EQ(look_up(table, "sk-none", kNow).answer, Answer::malformed);
  for (const std::string& secret : {expired, revoked, make_secret(), std::string("x")}) {
    EXPECT_EQ(look_up(table, secret, kNow).key, nullptr);
  }
}

}  // namespace
}  // namespace gbgreg::keys
