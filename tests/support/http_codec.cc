// Our HTTP codec as a program, so that another parser can be compared with it (tests/codec). It reads cases from the
// standard input, one JSON object a line, and answers each with one:
//
//   {"kind": "request" | "response", "method": "GET", "bytes": "<hex>", "piece": 1}
//   {"messages": [{"method" | "status", "target", "version", "fields": [[name, value], …], "body", "keep_alive"}, …],
//    "state": "complete" | "refused" | "in_head" | "in_body", "why": "…", "under_way": "<method>"}
//
// `piece` is how many bytes arrive at a time, 0 for all at once. `method` is that of the request that a response
// answers. Texts that may hold any byte are in hex. Between two messages the state is complete; behind one after which
// the connection closes nothing is read.
#include <boost/json.hpp>
#include <iostream>
#include <string>
#include <string_view>

#include "net/body_decoder.h"
#include "net/grammar.h"
#include "net/http_head.h"

namespace {

using namespace gbgreg::net;  // NOLINT(google-build-using-namespace): a program of one file.
namespace json = boost::json;

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(hex_digit(hex[i]) * 16 + hex_digit(hex[i + 1])));
  }
  return bytes;
}

// Reads one connection as session.cc and client.cc do.
class Reading {
 public:
  Reading(bool is_request, std::string method) : is_request_(is_request), method_(std::move(method)) {}

  void arrive(std::string_view bytes) {
    unread_.append(bytes);
    while (!is_over_ && (in_body_ ? read_body() : read_head())) {
    }
  }

  // Nothing more comes.
  json::object end() {
    if (in_body_ && !is_over_ && decoder_.close_ends_body()) finish_message();
    const char* state = !why_.empty()                 ? "refused"
                        : in_body_                    ? "in_body"
                        : unread_.empty() || is_over_ ? "complete"
                                                      : "in_head";
    const json::value* method = in_body_ ? message_.if_contains("method") : nullptr;
    return {{"messages", messages_}, {"state", state}, {"why", why_}, {"under_way", method == nullptr ? "" : *method}};
  }

 private:
  // Both return whether there is more to do with what has arrived.
  bool read_head() {
    // Where some old clients leave them.
    while (is_request_ && unread_.starts_with("\r\n")) {
      unread_.erase(0, 2);
      searched_ = 0;
      if (++empty_lines_ > options_.empty_lines_max)
        return refuse("Too many empty lines stand before the request line.");
    }
    const std::size_t end = find_head_end(unread_, searched_);
    searched_ = unread_.size();
    const std::size_t size = end == std::string::npos ? unread_.size() : end;
    if (size > options_.head_bytes_max) return refuse("The head is over its bound.");
    if (end == std::string::npos) return false;
    const std::string head = unread_.substr(0, end);
    unread_.erase(0, end);
    searched_ = 0;
    empty_lines_ = 0;
    return is_request_ ? take_request(head) : take_response(head);
  }

  bool take_request(const std::string& bytes) {
    const auto head = parse_request_head(bytes, options_);
    if (!head) return refuse(head.error().message);
    message_ = {{"method", to_hex(head->method)}, {"target", to_hex(head->target)}};
    return begin_body(*head);
  }

  bool take_response(const std::string& bytes) {
    const auto head = parse_response_head(bytes, method_, options_);
    if (!head) return refuse(head.error().detail);
    message_ = {{"status", head->status}};
    return begin_body(*head);
  }

  bool begin_body(const Head& head) {
    message_["version"] = "1." + std::to_string(head.minor_version);
    json::array fields;
    for (const Field& field : head.fields) fields.push_back(json::array{to_hex(field.name), to_hex(field.value)});
    message_["fields"] = std::move(fields);
    message_["keep_alive"] = keep_alive_ = head.keep_alive;
    decoder_ = BodyDecoder(head, options_);
    body_.clear();
    in_body_ = true;
    return true;
  }

  bool read_body() {
    if (decoder_.done()) {
      finish_message();
      return !is_over_;
    }
    const auto step = decoder_.decode(unread_);
    if (!step) return refuse(step.error().message);
    body_.append(step->data);
    const bool has_moved = step->consumed > 0 || decoder_.done();
    unread_.erase(0, step->consumed);
    return has_moved;
  }

  void finish_message() {
    message_["body"] = to_hex(body_);
    messages_.push_back(std::move(message_));
    in_body_ = false;
    is_over_ = !keep_alive_;
  }

  bool refuse(std::string why) {
    why_ = std::move(why);
    is_over_ = true;
    return false;
  }

  const Options options_;
  bool is_request_;
  std::string method_;
  std::string unread_;
  std::size_t searched_ = 0;
  std::size_t empty_lines_ = 0;
  bool in_body_ = false;
  bool keep_alive_ = true;
  bool is_over_ = false;
  BodyDecoder decoder_;
  std::string body_;
  json::object message_;
  json::array messages_;
  std::string why_;
};

json::object answer(const json::object& asked) {
  Reading reading(asked.at("kind").as_string() == "request", std::string(asked.at("method").as_string()));
  const std::string bytes = from_hex(asked.at("bytes").as_string());
  const auto piece = static_cast<std::size_t>(asked.at("piece").as_int64());
  const std::size_t step = piece == 0 ? bytes.size() + 1 : piece;
  for (std::size_t at = 0; at < bytes.size(); at += step) reading.arrive(std::string_view(bytes).substr(at, step));
  return reading.end();
}

}  // namespace

int main() {
  std::string line;
  while (std::getline(std::cin, line)) std::cout << answer(json::parse(line).as_object()) << '\n';
  return 0;
}
