// The one way JSON is read: simdjson on demand, in order, in one pass, bounded, every byte of it checked.
//
//   std::string prompt;
//   std::optional<double> temperature;
//   auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
//     if (name == "prompt") return value.read_text(prompt);
//     if (name == "temperature") return value.read_number(temperature, 0, 2);
//     return {};  // Unknown fields are tolerated; the reader still checks that they are JSON.
//   };
//   auto read = read_json_object(body, bounds, read_field);
//
// A field given twice is seen twice, so the last one wins, as with every common parser; null leaves the target as it
// is. Mistakes name the field: `"options.temperature" must be a number from 0 to 2.` Invalid UTF-8 and lone surrogates
// are refused, in skipped fields too. One parser and one buffer a thread are reused; after a large text they are given
// back.
#pragma once

#include <simdjson.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "core/core.h"

namespace gbgreg::protocols {

struct JsonBounds {
  std::size_t bytes_max = 16 * 1024 * 1024;
  int depth_max = 64;
  // What the text is called in messages: "The body", "The worker's event".
  std::string_view what = "The body";
  // False leaves fields that nobody reads unchecked but for their brackets and quotes: half the time for small texts.
  bool check_skipped = true;
};

enum class JsonType : std::uint8_t { null, boolean, number, text, array, object, unknown };

// What a text being read has in common for all of its values.
struct JsonText {
  simdjson::ondemand::document* document;
  const char* begin;
  std::size_t size;
  const JsonBounds* bounds;
};

// One value of a text, to be read once, at once. Lives only inside the callback that was given it.
class JsonValue {
 public:
  JsonValue(const JsonText& text, simdjson::ondemand::value value, const JsonValue* parent, std::string_view key,
            std::size_t index, int depth)
      : text_(text), value_(value), parent_(parent), key_(key), index_(index), depth_(depth) {}
  JsonValue(const JsonValue&) = delete;
  JsonValue& operator=(const JsonValue&) = delete;

  JsonType type();

  // The readers. Errors: malformed invalid_field (another type, out of range), invalid_json (broken at this place).
  Result<void> read_text(std::string& out, std::size_t bytes_max = std::numeric_limits<std::size_t>::max());
  // The view holds until the whole text has been read.
  Result<void> read_text(std::string_view& out);
  Result<void> read_boolean(std::optional<bool>& out);
  Result<void> read_number(std::optional<double>& out, double low, double high);
  // 3.0 is a whole number too, since some clients have no other kind.
  Result<void> read_integer(std::optional<std::int64_t>& out, std::int64_t low, std::int64_t high);
  Result<void> read_integer(std::optional<int>& out, int low, int high);
  // The bytes of an object or an array as they are, checked.
  Result<void> read_raw(std::string& out, std::size_t bytes_max);
  // Checks the value and passes over it.
  Result<void> skip();
  // Where the value stands in the text: its first byte, to be asked before it is read …
  std::size_t begin_offset();
  // … and behind its last one, once all of it has been read. Blanks may follow it before that.
  std::size_t end_offset() const;

  // visit(std::string_view name, JsonValue& value) -> Result<void>; what it leaves unread is skipped.
  template <class Visit>
  Result<void> each_field(Visit visit);
  // visit(JsonValue& element) -> Result<void>.
  template <class Visit>
  Result<void> each_element(Visit visit);

  // "messages[2].content"
  std::string path() const;
  // `"<path>" must be <what>.`
  std::unexpected<Error> must_be(std::string_view what) const;

 private:
  Result<bool> take_null();
  Result<void> enter(JsonType type, std::string_view what);
  std::unexpected<Error> broken(simdjson::error_code error) const;

  const JsonText& text_;
  simdjson::ondemand::value value_;
  const JsonValue* parent_;
  std::string_view key_;
  std::size_t index_;
  int depth_;
  bool taken_ = false;
};

// A parser with its buffer, borrowed from the thread for as long as this lives; two may be borrowed at a time, so that
// a piece of a text can be read while the text is.
class JsonScratch {
 public:
  JsonScratch();
  ~JsonScratch();
  JsonScratch(const JsonScratch&) = delete;
  JsonScratch& operator=(const JsonScratch&) = delete;

  // Checks size and encoding and starts a document on a padded copy of `json`.
  Result<void> start(std::string_view json, const JsonBounds& bounds, simdjson::ondemand::document& document,
                     JsonText& text);

 private:
  struct State;
  struct ThreadStates;
  static ThreadStates& of_this_thread();
  static State& borrow();

  State& state_;
};

std::unexpected<Error> json_broken(const JsonText& text, simdjson::error_code error);
Result<void> json_nothing_follows(const JsonText& text);

// Reads a text whose outermost value is an object: visit(name, value) for each of its fields, in order, then finish(),
// while views of the text still hold.
// Errors: too_large body_too_large; malformed invalid_json or invalid_field; whatever `visit` fails with.
template <class Visit, class Finish>
Result<void> read_json_object(std::string_view json, const JsonBounds& bounds, Visit visit, Finish finish) {
  JsonScratch scratch;
  simdjson::ondemand::document document;
  JsonText text{};
  if (auto started = scratch.start(json, bounds, document, text); !started) return started;
  simdjson::ondemand::value root;
  if (auto error = document.get_value().get(root); error) return json_broken(text, error);
  JsonValue value(text, root, nullptr, {}, 0, 0);
  if (value.type() != JsonType::object) return json_broken(text, simdjson::INCORRECT_TYPE);
  if (auto read = value.each_field(visit); !read) return read;
  if (auto nothing = json_nothing_follows(text); !nothing) return nothing;
  finish();
  return {};
}
template <class Visit>
Result<void> read_json_object(std::string_view json, const JsonBounds& bounds, Visit visit) {
  return read_json_object(json, bounds, visit, [] {});
}

template <class Visit>
Result<void> JsonValue::each_field(Visit visit) {
  if (auto entered = enter(JsonType::object, "an object"); !entered) return entered;
  simdjson::ondemand::object object;
  if (auto error = value_.get_object().get(object); error) return broken(error);
  for (auto field_result : object) {
    simdjson::ondemand::field field;
    if (auto error = std::move(field_result).get(field); error) return broken(error);
    std::string_view key;
    if (auto error = field.unescaped_key().get(key); error) return broken(error);
    if (!simdjson::validate_utf8(key)) return broken(simdjson::STRING_ERROR);
    JsonValue value(text_, field.value(), this, key, 0, depth_ + 1);
    if (Result<void> visited = visit(key, value); !visited) return visited;
    if (!value.taken_ && text_.bounds->check_skipped) {
      if (auto skipped = value.skip(); !skipped) return skipped;
    }
  }
  return {};
}

template <class Visit>
Result<void> JsonValue::each_element(Visit visit) {
  if (auto entered = enter(JsonType::array, "an array"); !entered) return entered;
  simdjson::ondemand::array array;
  if (auto error = value_.get_array().get(array); error) return broken(error);
  std::size_t index = 0;
  for (auto element : array) {
    simdjson::ondemand::value item;
    if (auto error = std::move(element).get(item); error) return broken(error);
    JsonValue value(text_, item, this, {}, index, depth_ + 1);
    if (Result<void> visited = visit(value); !visited) return visited;
    if (!value.taken_ && text_.bounds->check_skipped) {
      if (auto skipped = value.skip(); !skipped) return skipped;
    }
    ++index;
  }
  return {};
}

}  // namespace gbgreg::protocols
