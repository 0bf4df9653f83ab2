// Log probabilities of the older completions. A worker gives them in the chat's shape, a list of tokens with all about
// each; the older one has a list for each thing about the tokens. Used by openai_relay.cc only. Pure; one answer has
// one object, used by one task at a time.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/core.h"

namespace gbgreg::protocols::openai {

class OlderLogprobs {
 public:
  // `top`: how many of the likeliest tokens were asked for. The token that was taken is always among them, so there may
  // be one more.
  explicit OlderLogprobs(int top) : top_(top) {}

  // Appends `json`, an event or an answer of a worker, to `out`, with its `"logprobs":{…}` in the older shape:
  //   {"tokens":[…],"token_logprobs":[…],"top_logprobs":[{…}, …],"text_offset":[…]}
  // Offsets are in characters, from the beginning of the answer on. Errors: malformed when it has another shape.
  Result<void> rewrite(std::string_view json, std::string& out);

 private:
  int top_;
  std::size_t characters_ = 0;  // Of the tokens so far.
};

}  // namespace gbgreg::protocols::openai
