// The words that routing listens for, in the languages that people ask in. Pure; built once, then only read.
#pragma once

#include <span>
#include <string_view>

#include "routing/byte_masks.h"
#include "routing/features.h"

namespace gbgreg::routing {

// A row of the table: terms divided by '|', all of the same sign. A term begins where a word begins; it ends where a
// word ends unless it ends in '*'. Terms in scripts that do not divide words (Chinese, Japanese, Thai) or that glue
// endings on (Korean) match anywhere.
struct Words {
  Sign sign;
  float opening;    // What a match says at the beginning of the text or of one of its sentences …
  float elsewhere;  // … and in the middle. 0: nothing.
  std::string_view terms;
};
std::span<const Words> word_table();

// The most of a text that is read at once: its beginning, a line feed and its end.
inline constexpr std::size_t kBytesReadMax = kHeadBytesRead + 1 + kTailBytesRead;
using PromptMasks = TextMasks<kBytesReadMax>;

// Adds what the words of `text` say to `features`. `text` is lower case with single spaces (features.cc prepares it).
void read_words(std::string_view text, const PromptMasks& masks, Features& features);

// Makes a sign stronger: several weak hints approach 1 and never pass it.
inline void add_hint(Features& features, Sign sign, float value) {
  float& strength = features[sign];
  strength += (1 - strength) * value;
}

}  // namespace gbgreg::routing
