// Writes JSON straight onto the end of a string: no tree, no allocation when the string has room. Pure.
//
//   JsonWriter json(out);
//   json.open_object();
//   json.key("model").text(model);
//   json.key("count").number(3);
//   json.close_object();
//
// Commas are the writer's business. Text is escaped, and bytes that are not UTF-8 become U+FFFD, so the outcome is
// valid JSON whatever a model or a client said. A double that JSON cannot say (NaN, infinity) becomes null.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gbgreg::protocols {

class JsonWriter {
 public:
  // Appends to `out`, which must outlive the writer.
  explicit JsonWriter(std::string& out) : out_(out) {}

  JsonWriter& open_object();
  void close_object();
  JsonWriter& open_array();
  void close_array();
  // `name` is one of our own names: written as it is.
  JsonWriter& key(std::string_view name);
  // `name` is foreign: escaped as any text.
  JsonWriter& text_key(std::string_view name);

  void text(std::string_view value);
  void number(std::int64_t value);
  void number(int value) { number(static_cast<std::int64_t>(value)); }
  // The shortest form that reads back to the same double.
  void number(double value);
  // With three digits after the point at most: for times and scores, which are read by people too.
  void rounded(double value);
  void boolean(bool value);
  void null();
  // A value that is JSON already.
  void raw(std::string_view json);

  // Null when absent.
  void rounded_or_null(const std::optional<double>& value);
  void number_or_null(const std::optional<double>& value);
  template <class Integer>
  void number_or_null(const std::optional<Integer>& value) {
    if (value) {
      number(static_cast<std::int64_t>(*value));
    } else {
      null();
    }
  }

 private:
  void begin_value();

  std::string& out_;
  bool comma_ = false;  // The next key or element needs one before it.
};

// Appends `text` in quotes, escaped, repaired to UTF-8.
void append_json_text(std::string& out, std::string_view text);

}  // namespace gbgreg::protocols
