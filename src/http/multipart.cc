#include "http/multipart.h"

#include <algorithm>
#include <utility>

#include "net/grammar.h"
#include "net/http_head.h"

namespace gbgreg::http {
namespace {

using net::hex_digit;
using net::is_token;
using net::trim_blanks;

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kBlankLine = "\r\n\r\n";
// After a boundary there may be blanks, added by gateways of mail; nobody needs more of them than this.
constexpr std::size_t kPaddingBytesMax = 256;

std::unexpected<Error> malformed(std::string message) {
  return fail(Kind::malformed, "malformed_multipart", std::move(message));
}

bool is_letter_or_digit(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_boundary(std::string_view text) {
  return !text.empty() && text.size() <= kBoundaryCharactersMax && text.back() != ' ' &&
         std::ranges::all_of(
             text, [](char c) { return is_letter_or_digit(c) || std::string_view("'()+_,-./:=? ").contains(c); });
}

struct Parameter {
  std::string_view name;
  std::string value = {};
};

// Takes `"…"` off the front. Browsers write a quote as %22 and leave backslashes alone, others write \" and \\: a
// backslash counts as an escape only before these two, so that C:\new.txt stays what it is.
std::optional<std::string> take_quoted(std::string_view& text) {
  std::string value = {};
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') {
      text.remove_prefix(i + 1);
      return value;
    }
    const bool is_escape = text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == '"' || text[i + 1] == '\\');
    if (is_escape) ++i;
    value.push_back(text[i]);
  }
  return std::nullopt;
}

// Takes `; name=value` off the front. Absent when the text is not of this form.
std::optional<Parameter> take_parameter(std::string_view& text) {
  text = trim_blanks(text);
  if (!text.starts_with(';')) return std::nullopt;
  text = trim_blanks(text.substr(1));
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || !is_token(text.substr(0, equals))) return std::nullopt;
  Parameter parameter{.name = text.substr(0, equals)};
  text.remove_prefix(equals + 1);
  if (text.starts_with('"')) {
    auto value = take_quoted(text);
    if (!value) return std::nullopt;
    parameter.value = std::move(*value);
    return parameter;
  }
  const std::string_view value = trim_blanks(text.substr(0, text.find(';')));
  text.remove_prefix(std::min(text.size(), text.find(';')));
  if (!is_token(value)) return std::nullopt;
  parameter.value = value;
  return parameter;
}

// The three escapes that browsers use inside a quoted name.
std::string without_browser_escapes(std::string_view text) {
  std::string plain;
  while (!text.empty()) {
    const std::string_view escape = text.substr(0, 3);
    const char meant = escape == "%22" ? '"' : escape == "%0D" ? '\r' : escape == "%0A" ? '\n' : '\0';
    plain.push_back(meant == '\0' ? text.front() : meant);
    text.remove_prefix(meant == '\0' ? 1 : 3);
  }
  return plain;
}

// RFC 5987: UTF-8'en'na%C3%AFve.txt
std::optional<std::string> extended_value(std::string_view text) {
  const std::size_t charset_end = text.find('\'');
  if (charset_end == std::string_view::npos || !net::equal_ignoring_case(text.substr(0, charset_end), "utf-8")) {
    return std::nullopt;
  }
  const std::size_t language_end = text.find('\'', charset_end + 1);
  if (language_end == std::string_view::npos) return std::nullopt;
  text.remove_prefix(language_end + 1);
  std::string value = {};
  while (!text.empty()) {
    if (text.front() != '%') {
      value.push_back(text.front());
      text.remove_prefix(1);
      continue;
    }
    const int high = text.size() > 2 ? hex_digit(text[1]) : -1;
    const int low = text.size() > 2 ? hex_digit(text[2]) : -1;
    if (high < 0 || low < 0) return std::nullopt;
    value.push_back(static_cast<char>(high * 16 + low));
    text.remove_prefix(3);
  }
  return value;
}

Result<void> read_disposition(std::string_view value, PartHead& part) {
  const std::string_view type = trim_blanks(value.substr(0, value.find(';')));
  if (!net::equal_ignoring_case(type, "form-data"))
    return malformed("Each part must have Content-Disposition: form-data.");
  value.remove_prefix(std::min(value.size(), value.find(';')));

  std::optional<std::string> name, filename, extended_filename;
  while (!trim_blanks(value).empty()) {
    auto parameter = take_parameter(value);
    if (!parameter) return malformed("A part's Content-Disposition has a parameter that cannot be read.");
    const bool is_extended = net::equal_ignoring_case(parameter->name, "filename*");
    std::optional<std::string>* target = nullptr;
    if (net::equal_ignoring_case(parameter->name, "name")) target = &name;
    if (net::equal_ignoring_case(parameter->name, "filename")) target = &filename;
    if (is_extended) target = &extended_filename;
    if (target == nullptr) continue;
    if (*target) return malformed("A part's Content-Disposition says the same thing twice.");
    *target = is_extended ? extended_value(parameter->value) : without_browser_escapes(parameter->value);
    if (!*target) return malformed("A part's filename* must be UTF-8'' and percent-encoded bytes.");
  }
  if (!name) return malformed("A part's Content-Disposition must have a name.");
  part.name = std::move(*name);
  part.filename = extended_filename ? std::move(extended_filename) : std::move(filename);
  return {};
}

// `head` is the lines of a part's head, each with its line end.
Result<PartHead> parse_part_head(std::string_view head) {
  PartHead part;
  bool has_disposition = false;
  while (!head.empty()) {
    const std::string_view line = head.substr(0, head.find(kLineEnd));
    head.remove_prefix(line.size() + kLineEnd.size());
    const bool has_control = std::ranges::any_of(line, [](char c) {
      const auto byte = static_cast<unsigned char>(c);
      return (byte < 0x20 && c != '\t') || byte == 0x7f;
    });
    if (has_control) return malformed("A part's head has a control character.");
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
      return malformed("A part's head has a line that is no field.");
    }
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = trim_blanks(line.substr(colon + 1));
    if (net::equal_ignoring_case(name, "content-disposition")) {
      if (has_disposition) return malformed("A part has two Content-Disposition fields.");
      has_disposition = true;
      if (auto read = read_disposition(value, part); !read) return std::unexpected(std::move(read.error()));
    } else if (net::equal_ignoring_case(name, "content-type")) {
      part.content_type = value;
    } else if (net::equal_ignoring_case(name, "content-transfer-encoding")) {
      const bool is_as_it_is = net::equal_ignoring_case(value, "binary") || net::equal_ignoring_case(value, "8bit") ||
                               net::equal_ignoring_case(value, "7bit");
      if (!is_as_it_is) return malformed("A part must come as it is, without a Content-Transfer-Encoding.");
    }
  }
  if (!has_disposition) return malformed("Each part must have Content-Disposition: form-data.");
  return part;
}

}  // namespace

Result<std::string> multipart_boundary(std::string_view content_type) {
  std::string_view rest = content_type;
  const std::string_view type = trim_blanks(rest.substr(0, rest.find(';')));
  if (!net::equal_ignoring_case(type, "multipart/form-data")) {
    return fail(Kind::unsupported_type, "expected_multipart",
                "This route takes multipart/form-data. With curl: -F file=@the-file.");
  }
  rest.remove_prefix(std::min(rest.size(), rest.find(';')));
  std::optional<std::string> boundary;
  while (!trim_blanks(rest).empty()) {
    auto parameter = take_parameter(rest);
    if (!parameter) return malformed("The Content-Type has a parameter that cannot be read.");
    if (!net::equal_ignoring_case(parameter->name, "boundary")) continue;
    if (boundary) return malformed("The Content-Type has two boundaries.");
    boundary = std::move(parameter->value);
  }
  if (!boundary) return malformed("The Content-Type has no boundary.");
  if (!is_boundary(*boundary)) return malformed("The boundary must be 1 to 70 of the characters that RFC 2046 allows.");
  return *boundary;
}

// The first boundary may stand at the very front, where no line end comes before it: as if that had been seen.
MultipartParser::MultipartParser(std::string_view boundary)
    : delimiter_("\r\n--" + std::string(boundary)), matched_(kLineEnd.size()) {}

Result<MultipartParser::Event> MultipartParser::next() {
  while (!rest_.empty() || state_ == State::part_end) {
    Step step;
    switch (state_) {
      case State::preamble:
        step = skip_preamble();
        break;
      case State::after_boundary:
        step = read_after_boundary();
        break;
      case State::head:
        step = read_head();
        break;
      case State::body:
        step = read_body();
        break;
      case State::part_end:
        step = end_part();
        break;
      case State::epilogue:
        rest_ = {};
        break;
    }
    if (!step) return std::unexpected(std::move(step.error()));
    if (*step) return **step;
  }
  return Event::need_more;
}

Result<void> MultipartParser::finish() const {
  if (state_ != State::epilogue) return malformed("The body ended before its closing boundary.");
  return {};
}

MultipartParser::Step MultipartParser::skip_preamble() {
  if (scan().found) state_ = State::after_boundary;
  return std::nullopt;
}

// Either "--", which closes the body, or blanks and a line end, behind which the head of a part begins.
MultipartParser::Step MultipartParser::read_after_boundary() {
  while (!rest_.empty()) {
    text_.push_back(rest_.front());
    rest_.remove_prefix(1);
    if (text_ == "--") {
      state_ = State::epilogue;
      return Event::body_end;
    }
    const std::string_view without_padding = trim_blanks(text_);
    if (without_padding == kLineEnd) return begin_head();
    const bool may_go_on = without_padding.empty() || without_padding == "\r" || text_ == "-";
    if (!may_go_on || text_.size() > kPaddingBytesMax) return malformed("A boundary must end its line.");
  }
  return std::nullopt;
}

MultipartParser::Step MultipartParser::begin_head() {
  if (++parts_ > kPartsMax) {
    return fail(Kind::too_large, "too_many_parts",
                "A form may have at most " + std::to_string(kPartsMax) + " parts. Send them in several requests.");
  }
  text_ = kLineEnd;  // So that the blank line behind an empty head looks like any other.
  state_ = State::head;
  return std::nullopt;
}

MultipartParser::Step MultipartParser::read_head() {
  const std::size_t searched = text_.size() - kLineEnd.size();
  text_.append(rest_.substr(0, kPartHeadBytesMax + kBlankLine.size() - text_.size()));
  const std::size_t appended = text_.size() - searched - kLineEnd.size();
  // A line end before `searched` was seen already, and it may be the first half of the blank line.
  const std::size_t end = text_.find(kBlankLine, searched - std::min<std::size_t>(searched, 1));
  if (end == std::string::npos) {
    rest_.remove_prefix(appended);
    if (text_.size() >= kPartHeadBytesMax + kBlankLine.size()) {
      return malformed("The head of a part may have at most " + std::to_string(kPartHeadBytesMax) + " bytes.");
    }
    return std::nullopt;
  }
  rest_.remove_prefix(appended - (text_.size() - end - kBlankLine.size()));
  auto part = parse_part_head(std::string_view(text_).substr(kLineEnd.size(), end));
  if (!part) return std::unexpected(std::move(part.error()));
  part_ = std::move(*part);
  state_ = State::body;
  return Event::part_begin;
}

MultipartParser::Step MultipartParser::read_body() {
  const Scan scanned = scan();
  if (scanned.found) state_ = State::part_end;
  if (scanned.before.empty()) return scanned.found ? end_part() : std::nullopt;
  data_ = scanned.before;
  return Event::data;
}

MultipartParser::Step MultipartParser::end_part() {
  text_.clear();
  state_ = State::after_boundary;
  return Event::part_end;
}

// The delimiter has its only CR at the front. So a place where it may begin is a CR, what agreed with it up to a point
// holds no second beginning of it, and of an unfinished piece only the last CR needs a look: no byte is compared twice.
MultipartParser::Scan MultipartParser::scan() {
  if (matched_ > 0) return scan_matched();
  std::size_t at = rest_.find('\r');
  while (at != std::string_view::npos && rest_.size() - at >= delimiter_.size()) {
    if (rest_[at + 1] == '\n' && rest_.substr(at).starts_with(delimiter_)) {
      const std::string_view before = rest_.substr(0, at);
      rest_.remove_prefix(at + delimiter_.size());
      return {.before = before, .found = true};
    }
    // One CR after another is cheaper to see here than in a call.
    at = rest_[at + 1] == '\r' ? at + 1 : rest_.find('\r', at + 1);
  }
  const std::size_t last = rest_.rfind('\r');
  const bool may_go_on = at != std::string_view::npos && delimiter_.starts_with(rest_.substr(last));
  const std::string_view before = may_go_on ? rest_.substr(0, last) : rest_;
  matched_ = rest_.size() - before.size();
  rest_ = {};
  return {.before = before};
}

// Goes on with a delimiter that began in a piece before. When it is none after all, its front is data: the same bytes
// stand in delimiter_, so they need not have been kept.
MultipartParser::Scan MultipartParser::scan_matched() {
  const std::string_view missing = std::string_view(delimiter_).substr(matched_);
  const std::size_t size = std::min(missing.size(), rest_.size());
  if (rest_.substr(0, size) != missing.substr(0, size)) {
    return {.before = std::string_view(delimiter_).substr(0, std::exchange(matched_, 0))};
  }
  rest_.remove_prefix(size);
  const bool found = size == missing.size();
  matched_ = found ? 0 : matched_ + size;
  return {.before = {}, .found = found};
}

}  // namespace gbgreg::http
