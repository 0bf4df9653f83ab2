// What the scripted engine makes of texts: tokens, vectors, and the body of an answer. Pure.
//
// A word is a token whose number and vector come from its letters alone, and a text's vector is the sum over its
// tokens, each weighed by its place: the same text always has the same vector, and no two that tests use have the same
// one.
#pragma once

#include <openssl/evp.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace scripted {

using Tokens = std::vector<int>;

constexpr int kFirstToken = 1, kLastToken = 2;  // What stands around every text.
constexpr int kTokensKnown = 32'000;

inline std::uint32_t hash(std::string_view text, std::uint32_t seed = 2166136261U) {
  for (const char c : text) seed = (seed ^ static_cast<unsigned char>(c)) * 16777619U;
  return seed;
}

inline Tokens tokens_around(const std::vector<std::string>& words) {
  Tokens tokens = {kFirstToken};
  tokens.reserve(words.size() + 2);
  for (const std::string& word : words) tokens.push_back(static_cast<int>(hash(word) % (kTokensKnown - 10)) + 10);
  tokens.push_back(kLastToken);
  return tokens;
}

// `fault` makes it one that no engine should answer: nan, inf or zero.
inline std::vector<float> vector_of(const Tokens& tokens, int numbers, std::string_view fault) {
  std::vector<double> sum(static_cast<std::size_t>(numbers));
  for (std::size_t at = 0; at < tokens.size(); ++at) {
    for (std::size_t i = 0; i < sum.size(); ++i) {
      const std::uint32_t mixed = hash(std::to_string(tokens[at]) + "/" + std::to_string(i));
      sum[i] += (static_cast<double>(mixed % 2001) - 1000) / 1000 / (1 + static_cast<double>(at) / 64);
    }
  }
  double length = 0;
  for (const double number : sum) length += number * number;
  std::vector<float> vector;
  vector.reserve(sum.size());
  for (const double number : sum) vector.push_back(static_cast<float>(number / std::sqrt(length)));
  if (fault == "nan") vector.back() = std::numeric_limits<float>::quiet_NaN();
  if (fault == "inf") vector.back() = std::numeric_limits<float>::infinity();
  if (fault == "zero") vector.assign(vector.size(), 0);
  return vector;
}

inline std::string base64(const std::vector<float>& vector) {
  const auto bytes = static_cast<int>(vector.size() * sizeof(float));
  std::string text(static_cast<std::size_t>(bytes + 2) / 3 * 4 + 1, '\0');
  const auto size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                    reinterpret_cast<const unsigned char*>(vector.data()), bytes);
  text.resize(static_cast<std::size_t>(size));
  return text;
}

// One vector of an answer, as numbers or as base64.
inline std::string element(std::size_t index, const std::vector<float>& vector, bool as_base64) {
  const std::string place = ",\"index\":" + std::to_string(index) + ",\"object\":\"embedding\"";
  if (as_base64) return "{\"embedding\":\"" + base64(vector) + "\"" + place + ",\"encoding_format\":\"base64\"}";
  std::string numbers;
  for (const float number : vector) numbers += (numbers.empty() ? "" : ",") + std::to_string(number);
  return "{\"embedding\":[" + numbers + "]" + place + "}";
}

}  // namespace scripted
