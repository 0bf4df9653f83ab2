#include "net/http_head.h"

#include <algorithm>

#include "core/utf8.h"
#include "net/grammar.h"

namespace gbgreg::net {
namespace {

// Blank, tab, visible ASCII and obs-text: no control character, so no NUL and no line break in disguise.
bool is_field_value(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

bool is_target(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

// A registered name or an IPv4 address, perhaps empty (RFC 3986, 3.2.2). Without commas, which would be a list of
// hosts.
bool is_host(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return is_letter || (c >= '0' && c <= '9') || std::string_view("-._~!$&'()*+;=%").contains(c);
  });
}

char lower_case(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](char c) { return lower_case(c); });
  return lower;
}

// A cursor over the lines of a head. A line ends with CR LF and nothing else.
class Lines {
 public:
  explicit Lines(std::string_view bytes) : rest_(bytes) {}

  // Absent on a bare LF or CR, or when there is no line end.
  std::optional<std::string_view> next() {
    const std::size_t end = rest_.find('\n');
    if (end == std::string_view::npos || end == 0 || rest_[end - 1] != '\r') return std::nullopt;
    const std::string_view line = rest_.substr(0, end - 1);
    rest_.remove_prefix(end + 1);
    if (line.find('\r') != std::string_view::npos) return std::nullopt;
    return line;
  }

  bool at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

std::unexpected<Error> malformed(std::string message) {
  return fail(Kind::malformed, "malformed_http", std::move(message));
}

Result<std::vector<Field>> parse_fields(Lines& lines, const Options& options) {
  std::vector<Field> fields;
  fields.reserve(16);
  while (true) {
    const auto line = lines.next();
    if (!line) return malformed("Header lines must end with CR LF.");
    if (line->empty()) break;
    const std::size_t colon = line->find(':');
    if (colon == std::string_view::npos || !is_token(line->substr(0, colon))) {
      return malformed("A header line must be `name: value`, the name without blanks and on one line.");
    }
    const std::string_view value = trim_blanks(line->substr(colon + 1));
    if (!is_field_value(value)) return malformed("A header value must not contain control characters.");
    if (fields.size() == options.head_fields_max) {
      return fail(Kind::head_too_large, "too_many_headers",
                  "A request may have at most " + std::to_string(options.head_fields_max) + " header lines.");
    }
    fields.push_back({.name = line->substr(0, colon), .value = value});
  }
  if (!lines.at_end()) return malformed("Bytes follow the blank line inside a head.");
  return fields;
}

// Calls `use` for each element of a comma-separated list.
template <class Use>
void for_each_token(std::string_view list, Use use) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view token = trim_blanks(list.substr(0, comma));
    if (!token.empty()) use(token);
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
}

// All Connection fields are one list, in which `close` goes before `keep-alive` (RFC 9112, 9.3).
void read_connection(Head& head) {
  bool close = false, keep = head.minor_version >= 1;
  for (const Field& field : head.fields) {
    if (!equal_ignoring_case(field.name, "connection")) continue;
    for_each_token(field.value, [&](std::string_view token) {
      close |= equal_ignoring_case(token, "close");
      keep |= equal_ignoring_case(token, "keep-alive");
    });
  }
  head.keep_alive = keep && !close;
}

// RFC 9112, 6.3, with every doubt resolved by refusing: a length that two parties read differently is how requests are
// smuggled.
Result<void> read_framing(Head& head) {
  std::optional<std::string_view> length, coding;
  for (const Field& field : head.fields) {
    if (equal_ignoring_case(field.name, "content-length")) {
      if (length) return malformed("Content-Length must be sent once.");
      length = field.value;
    } else if (equal_ignoring_case(field.name, "transfer-encoding")) {
      if (coding) return malformed("Transfer-Encoding must be sent once.");
      coding = field.value;
    }
  }
  if (length && coding) return malformed("Content-Length and Transfer-Encoding must not be sent together.");
  if (coding) {
    if (head.minor_version == 0) return malformed("HTTP/1.0 has no Transfer-Encoding.");
    if (!equal_ignoring_case(*coding, "chunked")) {
      return fail(Kind::unsupported, "unknown_transfer_coding", "The only transfer coding understood is chunked.");
    }
    head.framing = Framing::chunked;
    return {};
  }
  if (length) {
    const auto parsed = parse_decimal(*length);
    if (!parsed) return malformed("Content-Length must be a decimal number.");
    head.content_length = *parsed;
    head.framing = head.content_length > 0 ? Framing::length : Framing::none;
  }
  return {};
}

struct Version {
  int major = 1;
  int minor = 1;
};

// "HTTP/" DIGIT "." DIGIT, or absent.
std::optional<Version> parse_version(std::string_view text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const bool is_version =
      text.size() == 8 && text.starts_with("HTTP/") && is_digit(text[5]) && text[6] == '.' && is_digit(text[7]);
  if (!is_version) return std::nullopt;
  return Version{.major = text[5] - '0', .minor = text[7] - '0'};
}

// A later minor version is read as 1.1 (RFC 9110, 2.5).
int minor_read(const Version& version) { return std::min(version.minor, 1); }

constexpr std::uint64_t kPortMax = 65'535;

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  return equal_ignoring_case(text.substr(0, prefix.size()), prefix);
}

Result<void> read_target(RequestHead& head) {
  std::string_view rest = head.target;
  if (rest.front() != '/' && rest != "*") {
    // Absolute form, as a proxy's client sends it. Its authority counts and not the Host field (RFC 9112, 3.2.2).
    const std::size_t scheme_size = starts_with_ignoring_case(rest, "http://")    ? 7
                                    : starts_with_ignoring_case(rest, "https://") ? 8
                                                                                  : 0;
    if (scheme_size == 0) return malformed("The request target must begin with '/'.");
    rest.remove_prefix(scheme_size);
    const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
    head.host = host_of(authority);
    if (authority.empty() || !head.host)
      return malformed("The request target must name a host, like http://host/path.");
    rest.remove_prefix(authority.size());
  }
  const std::size_t question = rest.find('?');
  head.path = rest.substr(0, question);
  if (head.path.empty()) head.path = "/";
  if (question != std::string_view::npos) head.query = rest.substr(question + 1);
  return {};
}

// To be called after read_target, whose authority goes before the field.
Result<void> read_host(RequestHead& head) {
  std::optional<std::string_view> sent;
  for (const Field& field : head.fields) {
    if (!equal_ignoring_case(field.name, "host")) continue;
    if (sent) return malformed("Host must be sent once.");
    sent = field.value;
  }
  if (!sent) {
    if (head.minor_version >= 1) return malformed("Host must be sent once.");
    return {};
  }
  auto host = host_of(*sent);
  if (!host) return malformed("Host must be a name or an address, with a port if need be.");
  if (!head.host) head.host = std::move(host);
  return {};
}

}  // namespace

std::optional<std::string_view> Head::field(std::string_view name) const {
  for (const Field& field : fields) {
    if (equal_ignoring_case(field.name, name)) return field.value;
  }
  return std::nullopt;
}

std::optional<std::string> host_of(std::string_view authority) {
  const bool is_bracketed = authority.starts_with('[');
  const std::size_t host_end = is_bracketed ? authority.find(']') + 1 : std::min(authority.find(':'), authority.size());
  const std::string_view host = authority.substr(0, host_end);
  std::string_view port = authority.substr(host_end);
  if (is_bracketed) {
    const auto is_address = [](char c) { return hex_digit(c) >= 0 || c == ':' || c == '.'; };
    if (host.size() <= 2 || !std::ranges::all_of(host.substr(1, host.size() - 2), is_address)) return std::nullopt;
  } else if (!is_host(host)) {
    return std::nullopt;
  }
  if (!port.empty()) {
    if (host.empty() || !port.starts_with(':')) return std::nullopt;
    port.remove_prefix(1);
    // RFC 3986 lets the digits behind the colon be missing.
    if (!port.empty() && parse_decimal(port).value_or(kPortMax + 1) > kPortMax) return std::nullopt;
  }
  return lower_case(host);
}

std::size_t find_head_end(std::string_view bytes, std::size_t searched) {
  // The end may straddle the border between what was searched and what is new.
  std::size_t from = searched > 3 ? searched - 3 : 0;
  while (true) {
    const std::size_t line_end = bytes.find('\n', from);
    if (line_end == std::string_view::npos) return std::string_view::npos;
    const std::string_view rest = bytes.substr(line_end + 1);
    if (rest.starts_with("\r\n")) return line_end + 3;
    // A blank line made of a bare LF also ends the head: the parser then refuses it at once, instead of waiting for
    // more.
    if (rest.starts_with("\n")) return line_end + 2;
    from = line_end + 1;
  }
}

Result<RequestHead> parse_request_head(std::string_view bytes, const Options& options) {
  Lines lines(bytes);
  const auto line = lines.next();
  if (!line) return malformed("The request line must end with CR LF.");

  RequestHead head;
  const std::size_t first = line->find(' ');
  const std::size_t last = line->rfind(' ');
  if (first == std::string_view::npos || first == last) {
    return malformed("The request line must be `METHOD /path HTTP/1.1`.");
  }
  head.method = line->substr(0, first);
  head.target = line->substr(first + 1, last - first - 1);
  const auto version = parse_version(line->substr(last + 1));
  if (!is_token(head.method) || !is_target(head.target) || !version) {
    return malformed("The request line must be `METHOD /path HTTP/1.1`.");
  }
  if (head.target.size() > options.target_bytes_max) {
    return fail(Kind::target_too_long, "target_too_long",
                "The request target may have at most " + std::to_string(options.target_bytes_max) + " bytes.");
  }
  if (version->major != 1) {
    return fail(Kind::unknown_version, "unknown_http_version",
                "The only version of HTTP understood is 1. Use HTTP/1.1.");
  }
  head.minor_version = minor_read(*version);
  auto target = read_target(head);
  if (!target) return std::unexpected(std::move(target.error()));

  auto fields = parse_fields(lines, options);
  if (!fields) return std::unexpected(std::move(fields.error()));
  head.fields = std::move(*fields);

  auto host = read_host(head);
  if (!host) return std::unexpected(std::move(host.error()));
  auto framing = read_framing(head);
  if (!framing) return std::unexpected(std::move(framing.error()));
  read_connection(head);

  if (const auto expect = head.field("expect")) {
    if (!equal_ignoring_case(*expect, "100-continue")) return malformed("The only expectation met is 100-continue.");
    head.expects_continue = head.minor_version >= 1 && head.framing != Framing::none;
  }
  return head;
}

Result<ResponseHead> parse_response_head(std::string_view bytes, std::string_view request_method,
                                         const Options& options) {
  auto bad = [](std::string detail) {
    return fail(Kind::backend_failed, "backend_failed", "The model's server gave an answer that is not HTTP.",
                std::move(detail));
  };
  Lines lines(bytes);
  const auto line = lines.next();
  // "HTTP/1.1 200 OK"; the reason may be missing together with its blank.
  if (!line || line->size() < 12 || (line->size() > 12 && (*line)[12] != ' ')) return bad("no status line");
  const auto version = parse_version(line->substr(0, 8));
  const std::string_view code = line->substr(9, 3);
  if (!version || version->major != 1 || (*line)[8] != ' ' ||
      !std::ranges::all_of(code, [](char c) { return c >= '0' && c <= '9'; })) {
    return bad("broken status line");
  }

  ResponseHead head;
  head.minor_version = minor_read(*version);
  head.status = (code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0');
  if (head.status < 100 || head.status > 599) return bad("status out of range");
  auto fields = parse_fields(lines, options);
  if (!fields) return bad(fields.error().message);
  head.fields = std::move(*fields);
  auto framing = read_framing(head);
  if (!framing) return bad(framing.error().message);
  read_connection(head);

  const bool bodiless = head.status < 200 || head.status == 204 || head.status == 304 || request_method == "HEAD";
  if (bodiless) {
    head.framing = Framing::none;
  } else if (head.framing == Framing::none && !head.field("content-length")) {
    head.framing = Framing::until_close;
    head.keep_alive = false;
  }
  return head;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower_case(a[i]) != lower_case(b[i])) return false;
  }
  return true;
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_blank) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      decoded.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      decoded.push_back(plus_is_blank && text[i] == '+' ? ' ' : text[i]);
    }
  }
  if (!is_valid_utf8(decoded) || decoded.contains('\0')) return std::nullopt;
  return decoded;
}

Result<std::optional<std::string>> query_parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    const std::size_t equals = pair.find('=');
    if (pair.substr(0, equals) == name) {
      const std::string_view raw = equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1);
      auto value = percent_decode(raw, true);
      if (!value) {
        return fail(Kind::malformed, "malformed_query",
                    "The query parameter `" + std::string(name) + "` is not valid percent-encoded UTF-8.");
      }
      return value;
    }
    if (end == std::string_view::npos) break;
    query.remove_prefix(end + 1);
  }
  return std::optional<std::string>{};
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Status";
  }
}

}  // namespace gbgreg::net
