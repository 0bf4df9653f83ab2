// An outside server's JSON as whoever reads ours wants it, as it comes in pieces cut anywhere: without blanks between
// tokens, since `"name":` is looked for without parsing, and with our name of the model in place of the server's own.
// Pure; one task at a time.
#pragma once

#include <string>
#include <string_view>

#include "protocols/json_writer.h"

namespace gbgreg::backends {

class CompactJson {
 public:
  // Line feeds end an event's line, so a stream keeps them. The outermost object's "model", when it is a text, becomes
  // `model`, if that is not empty.
  explicit CompactJson(bool is_stream, std::string_view model = {}) : is_stream_(is_stream) {
    if (!model.empty()) protocols::append_json_text(model_, model);
  }

  // The view holds until the next call; it may be empty.
  std::string_view feed(std::string_view piece) {
    kept_.clear();
    for (const char c : piece) take(c);
    return kept_;
  }

 private:
  static constexpr std::string_view kKey = "model";

  void take(char c) {
    if (c == '\n') {
      // No string goes over a line's end, and no event.
      in_string_ = is_escaped_ = is_replaced_ = false;
      if (!is_stream_) return;
      kept_ += c;
      is_model_ = false;
      depth_ = 0;
      last_ = 0;
      return;
    }
    if (in_string_) return take_in_string(c);
    if (c == ' ' || c == '\t' || c == '\r') return;
    if (c == '"') return begin_string();
    if (c == '{' || c == '[') ++depth_;
    if (c == '}' || c == ']') --depth_;
    is_model_ = is_model_ && c == ':';
    last_ = c;
    kept_ += c;
  }

  void begin_string() {
    in_string_ = true;
    is_key_ = depth_ == 1 && (last_ == '{' || last_ == ',');
    is_replaced_ = depth_ == 1 && last_ == ':' && is_model_ && !model_.empty();
    is_model_ = is_key_;  // Until a letter says otherwise.
    key_size_ = 0;
    if (is_replaced_) {
      kept_ += model_;
    } else {
      kept_ += '"';
    }
  }

  void take_in_string(char c) {
    const bool ends = c == '"' && !is_escaped_;
    if (!is_replaced_) kept_ += c;
    if (ends) {
      in_string_ = is_replaced_ = false;
      is_model_ = is_model_ && key_size_ == kKey.size();
      last_ = '"';
      return;
    }
    is_model_ = is_model_ && key_size_ < kKey.size() && kKey[key_size_] == c;
    ++key_size_;
    is_escaped_ = c == '\\' && !is_escaped_;
  }

  bool is_stream_;
  std::string model_;  // With its quotes.
  int depth_ = 0;
  char last_ = 0;  // The last token's last character.
  bool in_string_ = false;
  bool is_escaped_ = false;
  bool is_key_ = false;
  bool is_model_ = false;  // The string is, or the last one was, the key that we look for.
  bool is_replaced_ = false;
  std::size_t key_size_ = 0;
  std::string kept_;
};

}  // namespace gbgreg::backends
