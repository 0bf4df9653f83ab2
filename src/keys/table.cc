#include "keys/table.h"

#include <bit>
#include <cstring>

namespace gbgreg::keys {
namespace {

std::size_t place_of(const Hash& hash) {
  std::size_t place = 0;
  std::memcpy(&place, hash.data(), sizeof place);
  return place;
}

}  // namespace

Table::Table(std::vector<std::shared_ptr<const Key>> keys)
    : places_(keys.empty() ? 0 : std::bit_ceil(2 * keys.size())), size_(keys.size()) {
  const std::size_t mask = places_.size() - 1;
  for (auto& key : keys) {
    std::size_t place = place_of(key->hash) & mask;
    while (places_[place]) place = (place + 1) & mask;
    places_[place] = std::move(key);
  }
}

const std::shared_ptr<const Key>* Table::find(const Hash& hash) const {
  if (places_.empty()) return nullptr;
  const std::size_t mask = places_.size() - 1;
  for (std::size_t place = place_of(hash) & mask; places_[place]; place = (place + 1) & mask) {
    if (places_[place]->hash == hash) return &places_[place];
  }
  return nullptr;
}

Looked look_up(const Table& table, std::string_view secret, WallTime now) {
  if (secret.size() != kSecretCharacters) return {.answer = Answer::malformed};
  const auto* key = table.find(hash_of(secret));
  // What is found is a secret of ours, so only of what is not is it asked whether it could be.
  if (key == nullptr) return {.answer = is_secret(secret) ? Answer::unknown : Answer::malformed};
  if ((*key)->revoked_at) return {.answer = Answer::revoked};
  const auto& expires_at = (*key)->rights.expires_at;
  if (expires_at && now >= *expires_at) return {.answer = Answer::expired};
  return {.answer = Answer::good, .key = *key};
}

}  // namespace gbgreg::keys
