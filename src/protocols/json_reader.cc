#include "protocols/json_reader.h"

#include <array>
#include <cassert>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>

#include "core/utf8.h"
#include "protocols/json_writer.h"

namespace gbgreg::protocols {
namespace {

// What a thread keeps between texts; a larger parser or buffer is freed after use, so that one request with images does
// not cost its memory for ever.
constexpr std::size_t kBytesKept = 256 * 1024;

std::string shown(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.15g", value);
  return text.data();
}

// JSON's own grammar of numbers: a number that no machine type can hold is still JSON.
bool is_json_number(std::string_view token) {
  std::size_t at = 0;
  auto digits = [&] {
    const std::size_t from = at;
    while (at < token.size() && token[at] >= '0' && token[at] <= '9') ++at;
    return at - from;
  };
  if (at < token.size() && token[at] == '-') ++at;
  const bool leading_zero = at < token.size() && token[at] == '0';
  const std::size_t whole = digits();
  if (whole == 0 || (leading_zero && whole > 1)) return false;
  if (at < token.size() && token[at] == '.') {
    ++at;
    if (digits() == 0) return false;
  }
  if (at < token.size() && (token[at] == 'e' || token[at] == 'E')) {
    ++at;
    if (at < token.size() && (token[at] == '+' || token[at] == '-')) ++at;
    if (digits() == 0) return false;
  }
  return at == token.size();
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::strchr(" \t\r\n", text.back()) != nullptr) text.remove_suffix(1);
  return text;
}

std::string_view explained(simdjson::error_code error) {
  switch (error) {
    case simdjson::EMPTY:
      return "is empty";
    case simdjson::UTF8_ERROR:
      return "is not valid UTF-8";
    case simdjson::STRING_ERROR:
      return "holds a bad escape or half of a surrogate pair in a string";
    case simdjson::UNESCAPED_CHARS:
      return "holds a control character in a string that must be escaped";
    case simdjson::UNCLOSED_STRING:
      return "ends inside a string";
    case simdjson::INCOMPLETE_ARRAY_OR_OBJECT:
      return "ends before its last bracket is closed";
    case simdjson::TRAILING_CONTENT:
      return "goes on after the end of its JSON object";
    case simdjson::INCORRECT_TYPE:
    case simdjson::SCALAR_DOCUMENT_AS_VALUE:
      return "must be a JSON object";
    case simdjson::NUMBER_ERROR:
      return "holds something that is not a number where one should be";
    default:
      return "is not valid JSON";
  }
}

// Offset of the first byte that is not part of a UTF-8 character.
std::size_t utf8_error_at(std::string_view text) {
  std::size_t at = 0;
  // Halving is enough here: prefixes cut on a character's boundary are valid up to the mistake.
  std::size_t end = text.size();
  while (end - at > 64) {
    std::size_t middle = at + (end - at) / 2;
    while (middle > at && (static_cast<unsigned char>(text[middle]) & 0xC0U) == 0x80U) --middle;
    if (middle == at) break;
    if (simdjson::validate_utf8(text.data() + at, middle - at)) {
      at = middle;
    } else {
      end = middle;
    }
  }
  while (at < end) {
    std::size_t length = 1;
    while (length < 4 && at + length < text.size() &&
           (static_cast<unsigned char>(text[at + length]) & 0xC0U) == 0x80U) {
      ++length;
    }
    if (!simdjson::validate_utf8(text.data() + at, length)) return at;
    at += length;
  }
  return at;
}

std::unexpected<Error> invalid_json(const JsonBounds& bounds, std::string_view why, std::optional<std::size_t> at) {
  std::string message(bounds.what);
  message += ' ';
  message += why;
  if (at) message += " (at byte " + std::to_string(*at) + ")";
  message += '.';
  return fail(Kind::malformed, "invalid_json", std::move(message));
}

}  // namespace

struct JsonScratch::State {
  simdjson::ondemand::parser parser;
  std::unique_ptr<char[]> padded;
  std::size_t capacity = 0;
};

struct JsonScratch::ThreadStates {
  // Made when first used: a thread that reads no JSON pays nothing.
  std::array<std::unique_ptr<State>, 2> states;
  std::size_t borrowed = 0;
};

JsonScratch::ThreadStates& JsonScratch::of_this_thread() {
  thread_local ThreadStates states;
  return states;
}

JsonScratch::State& JsonScratch::borrow() {
  ThreadStates& thread = of_this_thread();
  assert(thread.borrowed < thread.states.size());
  auto& state = thread.states[thread.borrowed++];
  if (!state) state = std::make_unique<State>();
  return *state;
}

JsonScratch::JsonScratch() : state_(borrow()) {}

JsonScratch::~JsonScratch() {
  ThreadStates& thread = of_this_thread();
  auto& state = thread.states[--thread.borrowed];
  if (state->capacity > kBytesKept || state->parser.capacity() > kBytesKept) state.reset();
}

Result<void> JsonScratch::start(std::string_view json, const JsonBounds& bounds, simdjson::ondemand::document& document,
                                JsonText& text) {
  if (json.size() > bounds.bytes_max) {
    return fail(
        Kind::too_large, "body_too_large",
        std::string(bounds.what) + " is larger than the limit of " + std::to_string(bounds.bytes_max) + " bytes.");
  }
  if (state_.capacity < json.size() + simdjson::SIMDJSON_PADDING) {
    // The capacity is raised when the memory is there: this state outlives a bad_alloc.
    const std::size_t wanted = std::max<std::size_t>(4096, json.size() + json.size() / 4 + simdjson::SIMDJSON_PADDING);
    state_.padded = std::make_unique_for_overwrite<char[]>(wanted);
    state_.capacity = wanted;
  }
  std::memcpy(state_.padded.get(), json.data(), json.size());
  std::memset(state_.padded.get() + json.size(), ' ', simdjson::SIMDJSON_PADDING);
  text = {.document = &document, .begin = state_.padded.get(), .size = json.size(), .bounds = &bounds};
  const simdjson::padded_string_view view(state_.padded.get(), json.size(), state_.capacity);
  const auto error = state_.parser.iterate(view).get(document);
  if (error == simdjson::UTF8_ERROR) return invalid_json(bounds, explained(error), utf8_error_at(json));
  if (error) return invalid_json(bounds, explained(error), std::nullopt);
  return {};
}

std::unexpected<Error> json_broken(const JsonText& text, simdjson::error_code error) {
  std::optional<std::size_t> at;
  const char* where = nullptr;
  if (error != simdjson::INCORRECT_TYPE && error != simdjson::SCALAR_DOCUMENT_AS_VALUE &&
      text.document->current_location().get(where) == simdjson::SUCCESS && where >= text.begin &&
      where <= text.begin + text.size) {
    at = static_cast<std::size_t>(where - text.begin);
  }
  return invalid_json(*text.bounds, explained(error), at);
}

Result<void> json_nothing_follows(const JsonText& text) {
  const char* where = nullptr;
  if (text.document->current_location().get(where) == simdjson::OUT_OF_BOUNDS) return {};
  return json_broken(text, simdjson::TRAILING_CONTENT);
}

JsonType JsonValue::type() {
  simdjson::ondemand::json_type type{};
  if (value_.type().get(type)) return JsonType::unknown;
  switch (type) {
    case simdjson::ondemand::json_type::null:
      return JsonType::null;
    case simdjson::ondemand::json_type::boolean:
      return JsonType::boolean;
    case simdjson::ondemand::json_type::number:
      return JsonType::number;
    case simdjson::ondemand::json_type::string:
      return JsonType::text;
    case simdjson::ondemand::json_type::array:
      return JsonType::array;
    case simdjson::ondemand::json_type::object:
      return JsonType::object;
  }
  return JsonType::unknown;
}

std::string JsonValue::path() const {
  if (parent_ == nullptr) return {};
  std::string path = parent_->path();
  if (key_.data() == nullptr) return path + '[' + std::to_string(index_) + ']';
  if (!path.empty()) path += '.';
  // A field's name is the client's own text; only a bounded piece of it goes into a message.
  constexpr std::size_t kNameBytesShown = 64;
  return path.append(cut_utf8(key_, kNameBytesShown));
}

std::unexpected<Error> JsonValue::must_be(std::string_view what) const {
  const std::string field = path();
  std::string details = "{\"field\":";
  append_json_text(details, field);
  details += '}';
  return std::unexpected(Error{.kind = Kind::malformed,
                               .code = "invalid_field",
                               .message = "\"" + field + "\" must be " + std::string(what) + ".",
                               .details_json = std::move(details)});
}

std::unexpected<Error> JsonValue::broken(simdjson::error_code error) const { return json_broken(text_, error); }

Result<bool> JsonValue::take_null() {
  taken_ = true;
  if (type() != JsonType::null) return false;
  bool is_null = false;
  if (auto error = value_.is_null().get(is_null); error) return broken(error);
  if (!is_null) return broken(simdjson::N_ATOM_ERROR);
  return true;
}

Result<void> JsonValue::enter(JsonType wanted, std::string_view what) {
  taken_ = true;
  if (type() != wanted) return must_be(what);
  if (depth_ >= text_.bounds->depth_max) {
    return invalid_json(*text_.bounds, "is nested deeper than " + std::to_string(text_.bounds->depth_max) + " levels",
                        std::nullopt);
  }
  return {};
}

Result<void> JsonValue::read_text(std::string_view& out) {
  auto null = take_null();
  if (!null) return std::unexpected(null.error());
  if (*null) return {};
  if (type() != JsonType::text) return must_be("a string");
  std::string_view view;
  if (auto error = value_.get_string().get(view); error) return broken(error);
  // The text as a whole is UTF-8; what is not, after unescaping, is half of a surrogate pair, which begins with 0xED.
  if (view.contains('\xED') && !simdjson::validate_utf8(view)) return broken(simdjson::STRING_ERROR);
  out = view;
  return {};
}

Result<void> JsonValue::read_text(std::string& out, std::size_t bytes_max) {
  std::string_view view{out};
  if (auto read = read_text(view); !read) return read;
  if (view.data() == out.data()) return {};
  if (view.size() > bytes_max) return must_be("at most " + std::to_string(bytes_max) + " bytes long");
  out.assign(view);
  return {};
}

Result<void> JsonValue::read_boolean(std::optional<bool>& out) {
  auto null = take_null();
  if (!null) return std::unexpected(null.error());
  if (*null) return {};
  if (type() != JsonType::boolean) return must_be("true or false");
  bool value = false;
  if (auto error = value_.get_bool().get(value); error) return broken(error);
  out = value;
  return {};
}

Result<void> JsonValue::read_number(std::optional<double>& out, double low, double high) {
  auto null = take_null();
  if (!null) return std::unexpected(null.error());
  if (*null) return {};
  const auto refused = [&] { return must_be("a number from " + shown(low) + " to " + shown(high)); };
  if (type() != JsonType::number) return refused();
  const std::string_view token = trimmed(value_.raw_json_token());
  double value = 0;
  if (auto error = value_.get_double().get(value); error) {
    if (is_json_number(token)) return refused();
    return broken(error);
  }
  // Written so that it would refuse NaN too.
  if (!(value >= low && value <= high)) return refused();
  out = value;
  return {};
}

Result<void> JsonValue::read_integer(std::optional<std::int64_t>& out, std::int64_t low, std::int64_t high) {
  auto null = take_null();
  if (!null) return std::unexpected(null.error());
  if (*null) return {};
  const auto refused = [&] {
    return must_be("a whole number from " + std::to_string(low) + " to " + std::to_string(high));
  };
  if (type() != JsonType::number) return refused();
  const std::string_view token = trimmed(value_.raw_json_token());
  simdjson::ondemand::number number;
  if (auto error = value_.get_number().get(number); error) {
    if (is_json_number(token)) return refused();
    return broken(error);
  }
  // get_number() only looks; what follows takes the number, so that the reader stands behind it.
  std::int64_t value = 0;
  switch (number.get_number_type()) {
    case simdjson::ondemand::number_type::signed_integer:
      if (auto error = value_.get_int64().get(value); error) return broken(error);
      break;
    case simdjson::ondemand::number_type::unsigned_integer:
      return refused();  // Larger than any int64_t.
    case simdjson::ondemand::number_type::floating_point_number: {
      constexpr double kExact = 9007199254740992.0;  // 2^53: up to here a double counts exactly.
      double real = 0;
      if (auto error = value_.get_double().get(real); error) return broken(error);
      if (!(std::fabs(real) <= kExact) || std::trunc(real) != real) return refused();
      value = static_cast<std::int64_t>(real);
      break;
    }
  }
  if (value < low || value > high) return refused();
  out = value;
  return {};
}

Result<void> JsonValue::read_integer(std::optional<int>& out, int low, int high) {
  std::optional<std::int64_t> value;
  if (auto read = read_integer(value, static_cast<std::int64_t>(low), static_cast<std::int64_t>(high)); !read)
    return read;
  if (value) out = static_cast<int>(*value);
  return {};
}

Result<void> JsonValue::read_raw(std::string& out, std::size_t bytes_max) {
  taken_ = true;
  const JsonType kind = type();
  std::string_view raw;
  simdjson::error_code error = simdjson::SUCCESS;
  if (kind == JsonType::object) {
    simdjson::ondemand::object object;
    error = value_.get_object().get(object);
    if (!error) error = object.raw_json().get(raw);
  } else if (kind == JsonType::array) {
    simdjson::ondemand::array array;
    error = value_.get_array().get(array);
    if (!error) error = array.raw_json().get(raw);
  } else {
    return must_be("an object or an array");
  }
  if (error) return broken(error);
  raw = trimmed(raw);
  if (raw.size() > bytes_max) return must_be("at most " + std::to_string(bytes_max) + " bytes long");

  // simdjson has only counted brackets, so the piece is read once more by a second parser that looks at everything.
  JsonBounds bounds = *text_.bounds;
  bounds.depth_max -= depth_;
  JsonScratch scratch;
  simdjson::ondemand::document document;
  JsonText text{};
  if (auto started = scratch.start(raw, bounds, document, text); !started) return started;
  simdjson::ondemand::value root;
  if (error = document.get_value().get(root); error) return json_broken(text, error);
  JsonValue value(text, root, nullptr, {}, 0, 0);
  if (auto skipped = value.skip(); !skipped) return skipped;
  if (auto nothing = json_nothing_follows(text); !nothing) return nothing;
  out.assign(raw);
  return {};
}

std::size_t JsonValue::begin_offset() { return static_cast<std::size_t>(value_.raw_json_token().data() - text_.begin); }

std::size_t JsonValue::end_offset() const {
  const char* next = nullptr;
  // There is always something behind a field or an element: a comma or a bracket.
  if (text_.document->current_location().get(next)) return text_.size;
  return static_cast<std::size_t>(next - text_.begin);
}

Result<void> JsonValue::skip() {
  taken_ = true;
  switch (type()) {
    case JsonType::object:
      return each_field([](std::string_view, JsonValue&) -> Result<void> { return {}; });
    case JsonType::array:
      return each_element([](JsonValue&) -> Result<void> { return {}; });
    case JsonType::text: {
      std::string_view ignored;
      return read_text(ignored);
    }
    case JsonType::boolean: {
      bool ignored = false;
      if (auto error = value_.get_bool().get(ignored); error) return broken(error);
      return {};
    }
    case JsonType::null: {
      auto null = take_null();
      if (!null) return std::unexpected(null.error());
      return {};
    }
    case JsonType::number: {
      // Looked at only: a number too large for any machine type is still JSON, and the iteration steps over it by
      // itself.
      if (!is_json_number(trimmed(value_.raw_json_token()))) return broken(simdjson::NUMBER_ERROR);
      return {};
    }
    case JsonType::unknown:
      return broken(simdjson::TAPE_ERROR);
  }
  return {};
}

}  // namespace gbgreg::protocols
