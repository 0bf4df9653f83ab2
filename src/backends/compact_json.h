// Leaves blanks between the tokens of JSON out, as it comes in pieces cut anywhere: whoever looks for `"name":` in an
// event without parsing it need not know how a server spaces its JSON. Pure; one task at a time.
#pragma once

#include <string>
#include <string_view>

namespace gbgreg::backends {

class CompactJson {
 public:
  // Line feeds end an event's line, so a stream keeps them.
  explicit CompactJson(bool is_stream) : is_stream_(is_stream) {}

  // The view holds until the next call; it may be empty.
  std::string_view feed(std::string_view piece) {
    kept_.clear();
    for (const char c : piece) take(c);
    return kept_;
  }

 private:
  void take(char c) {
    if (c == '\n') {
      in_string_ = is_escaped_ = false;  // No string goes over a line's end.
      if (is_stream_) kept_ += c;
      return;
    }
    if (in_string_) {
      kept_ += c;
      if (is_escaped_) {
        is_escaped_ = false;
      } else if (c == '\\') {
        is_escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
      }
      return;
    }
    if (c == ' ' || c == '\t' || c == '\r') return;
    in_string_ = c == '"';
    kept_ += c;
  }

  bool is_stream_;
  bool in_string_ = false;
  bool is_escaped_ = false;
  std::string kept_;
};

}  // namespace gbgreg::backends
