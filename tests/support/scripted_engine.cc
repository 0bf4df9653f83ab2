// A stand-in for llama-server 0.5.0 that does what the prompt tells it to do.
//
// It takes llama-server's command line, speaks its child-mode protocol on stdin and stdout, and answers on its HTTP
// wire with the same bytes in the same places. Tests put directives into the prompt, for example `[[tokens=20
// delay_ms=5]]`, and the engine is then slow, dies, stalls or answers garbage at exactly that point. `Directives` below
// lists every one of them.
//
//   SCRIPTED_ENGINE_START  how the start goes: `exit1`, `slow:MS`, `hang`, or `gpu`, which says that it is on CUDA0,
//   where
//                          `gpu:MB` takes so many megabytes, or `lines:FILE`, which
//                          says where it is by the file's lines ("info TEXT", "warn TEXT", "error TEXT", and `exit
//                          STATUS` for the end); `ALIAS@exit1` means only the child with that --alias.
//   SCRIPTED_ENGINE_LOG    a file that gets one JSON line per event, with CLOCK_MONOTONIC nanoseconds, so that a test
//                          can measure how long after its own act the engine noticed.
//
// Sockets block and every connection has a thread of its own: nothing waits behind anything else, so the times are
// exact.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/json.hpp>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iostream>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

#include "scripted_embeddings.h"

namespace {

namespace json = boost::json;

constexpr size_t kHeaderBytesMax = 64 * 1024;
constexpr size_t kBodyBytesMax = 64 * 1024 * 1024;
constexpr size_t kEndlessLineBytes = 64 * 1024 * 1024;
constexpr int kExitAborted =
    134;  // What a shell reports for abort(), which is how the real engine dies of a CUDA error.
constexpr auto kForever = std::chrono::hours(24);

int64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

int number_or(std::string_view text, int fallback) {
  int value = fallback;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// ---- Options

struct Options {
  std::string host = "127.0.0.1";
  int port = 8080;
  int slots = 1;
  std::string api_key;
  std::string model_file;
  std::string alias = "scripted";
  int context = 4096;
  int batch = 512;
  bool embeds = false;
  bool child_mode = false;
  std::string start;  // SCRIPTED_ENGINE_START, when it is meant for this alias.
};

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    const std::string_view value = i + 1 < argc ? argv[i + 1] : "";
    if (flag == "--host") options.host = value;
    if (flag == "--port") options.port = number_or(value, options.port);
    if (flag == "-np" || flag == "--parallel") options.slots = std::max(1, number_or(value, options.slots));
    if (flag == "--api-key") options.api_key = value;
    if (flag == "-m" || flag == "--model") options.model_file = value;
    if (flag == "-a" || flag == "--alias") options.alias = value;
    if (flag == "-ub" || flag == "--ubatch-size") options.batch = number_or(value, options.batch);
    if (flag == "--embeddings" || flag == "--embedding") options.embeds = true;
    if (flag == "-c" || flag == "--ctx-size") options.context = number_or(value, options.context);
  }
  options.child_mode = std::getenv("LLAMA_SERVER_ROUTER_PORT") != nullptr;
  // A gateway may hand the key over by environment, because a command line can be read by every user of the machine.
  if (const char* key = std::getenv("LLAMA_API_KEY"); key && options.api_key.empty()) options.api_key = key;
  if (const char* start = std::getenv("SCRIPTED_ENGINE_START")) {
    std::string_view text = start;
    const size_t at = text.find('@');
    if (at == std::string_view::npos) {
      options.start = text;
    } else if (text.substr(0, at) == options.alias) {
      options.start = text.substr(at + 1);
    }
  }
  return options;
}

// ---- Event log

// One line per event, each written by a single write to a file opened for appending, so the lines of several engines
// that share the file never mix.
class EventLog {
 public:
  explicit EventLog(std::string alias) : alias_(std::move(alias)) {
    if (const char* path = std::getenv("SCRIPTED_ENGINE_LOG")) {
      fd_ = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    }
  }
  EventLog(const EventLog&) = delete;

  void write(std::string_view event, json::object more = {}) const {
    const int64_t now = monotonic_ns();
    if (fd_ < 0) return;
    json::object line{{"t_ns", now}, {"pid", getpid()}, {"alias", alias_}, {"event", event}};
    for (auto& [key, value] : more) line[key] = value;
    const std::string text = json::serialize(line) + "\n";
    [[maybe_unused]] const ssize_t written = ::write(fd_, text.data(), text.size());
  }

 private:
  std::string alias_;
  int fd_ = -1;
};

[[noreturn]] void leave(const EventLog& log, int status, std::string_view why) {
  log.write("exiting", {{"status", status}, {"why", why}});
  std::fflush(stdout);
  _exit(status);  // Threads are still inside their connections, so nothing may be destroyed on the way out.
}

// ---- Directives

// What the prompt asked for. A key that is not listed here is an error of the test and answered 400, so that a misspelt
// directive cannot make a test pass.
struct Directives {
  int tokens = 8;                // How many tokens the answer has.
  double delay_ms = 0;           // Silence between two tokens.
  double head_delay_ms = 0;      // Silence before the response head, as when the engine's own queue is full.
  double prefill_ms = 0;         // Silence between the head and the first event, as while a prompt is processed.
  std::optional<int> die_after;  // _exit(134) after N tokens; 0 is before any byte, the head included.
  bool die_after_head = false;   // _exit(134) when only the head was sent.
  bool die_loud = false;         // _exit(134) before any byte, with complaints that quote the prompt, and an assertion.
  std::string die_once;          // _exit(134) before any byte if this file exists, which is deleted first.
  std::optional<int> close_after;    // Close the socket after N tokens, without the last chunk.
  std::optional<int> stall_after;    // Nothing more after N tokens until the peer closes.
  std::optional<int> garbage_after;  // One event that is not JSON after N tokens; then the rest as if nothing were.
  std::optional<int> error_after;    // The engine's own error event after N tokens, then the end of the stream.
  bool garbage = false;              // Bytes that are not HTTP.
  std::optional<int> status;         // The engine's error answer with this status.
  bool endless_line = false;         // An event line without an end.
  bool bad_length = false;           // A Content-Length larger than what follows.
  bool half_event = false;           // The stream ends properly in the middle of an event.
  bool no_done = false;              // The stream ends properly, but without its final events.
  std::string echo;                  // `1`: the answer is the request's body. `head`: the request's head.
  bool dribble = false;              // One byte a write.
  bool split_utf8 = false;           // A multibyte character is cut in two by two writes.
  std::optional<std::string> text;   // The answer: text=word or text="several words" or text='with a "quote"'.
  std::string thinking;              // What is thought (reasoning_content) before the answer.
  std::string tool;                  // The answer calls these tools, "get_weather" or "get_weather;get_time" …
  std::string tool_args;             // … with these arguments, '{"city":"Oslo"};{}', cut into pieces when streamed.
  int cached = 0;                    // So many of the prompt's tokens are said to have been in the cache.
  bool restamp = false;              // Each event of a stream is a second younger than the one before.
  int numbers = 8;                   // In each vector.
  std::string vector;                // What is wrong with the last vector: nan, inf, zero, short, missing, twice.
  bool backwards = false;            // The vectors come in the other order, with their right numbers.
  std::string tag;                   // Comes back in the event log, so that a test finds its own request.
  std::string record;                // The request's body goes into the event log under this name.
};

// The last `[[…]]` in the prompt counts: a conversation carries the directives of its earlier turns too.
std::map<std::string, std::string> split_directives(std::string_view prompt) {
  std::map<std::string, std::string> found;
  const size_t begin = prompt.rfind("[[");
  const size_t end = prompt.find("]]", begin == std::string_view::npos ? 0 : begin);
  if (begin == std::string_view::npos || end == std::string_view::npos) return found;
  std::string_view rest = prompt.substr(begin + 2, end - begin - 2);
  while (!rest.empty()) {
    if (rest.front() == ' ') {
      rest.remove_prefix(1);
      continue;
    }
    const size_t equals = rest.find('=');
    if (equals == std::string_view::npos) {
      found[std::string(rest)] = "";
      break;
    }
    const std::string key(rest.substr(0, equals));
    rest.remove_prefix(equals + 1);
    const char quote = rest.starts_with('"') || rest.starts_with('\'') ? rest.front() : ' ';
    if (quote != ' ') rest.remove_prefix(1);
    const size_t stop = std::min(rest.find(quote), rest.size());
    found[key] = std::string(rest.substr(0, stop));
    rest.remove_prefix(std::min(stop + 1, rest.size()));
  }
  return found;
}

using Field = std::variant<int Directives::*, double Directives::*, bool Directives::*, std::string Directives::*,
                           std::optional<int> Directives::*, std::optional<std::string> Directives::*>;
const std::map<std::string, Field, std::less<>> kFields = {
    {"tokens", &Directives::tokens},
    {"delay_ms", &Directives::delay_ms},
    {"head_delay_ms", &Directives::head_delay_ms},
    {"prefill_ms", &Directives::prefill_ms},
    {"die_after", &Directives::die_after},
    {"die_after_head", &Directives::die_after_head},
    {"die_loud", &Directives::die_loud},
    {"die_once", &Directives::die_once},
    {"close_after", &Directives::close_after},
    {"stall_after", &Directives::stall_after},
    {"garbage_after", &Directives::garbage_after},
    {"error_after", &Directives::error_after},
    {"garbage", &Directives::garbage},
    {"status", &Directives::status},
    {"endless_line", &Directives::endless_line},
    {"bad_length", &Directives::bad_length},
    {"half_event", &Directives::half_event},
    {"no_done", &Directives::no_done},
    {"echo", &Directives::echo},
    {"dribble", &Directives::dribble},
    {"split_utf8", &Directives::split_utf8},
    {"text", &Directives::text},
    {"thinking", &Directives::thinking},
    {"tool", &Directives::tool},
    {"tool_args", &Directives::tool_args},
    {"cached", &Directives::cached},
    {"restamp", &Directives::restamp},
    {"numbers", &Directives::numbers},
    {"vector", &Directives::vector},
    {"backwards", &Directives::backwards},
    {"tag", &Directives::tag},
    {"record", &Directives::record},
};

struct SetField {
  Directives& out;
  const std::string& value;
  void operator()(int Directives::* field) const { out.*field = number_or(value, 0); }
  void operator()(double Directives::* field) const { out.*field = std::strtod(value.c_str(), nullptr); }
  void operator()(bool Directives::* field) const { out.*field = number_or(value, 0) != 0; }
  void operator()(std::string Directives::* field) const { out.*field = value; }
  void operator()(std::optional<int> Directives::* field) const { out.*field = number_or(value, 0); }
  void operator()(std::optional<std::string> Directives::* field) const { out.*field = value; }
};

// Returns the first directive that is unknown, or nothing.
std::optional<std::string> read_directives(std::string_view prompt, Directives& out) {
  for (const auto& [key, value] : split_directives(prompt)) {
    const auto field = kFields.find(key);
    if (field == kFields.end()) return key;
    std::visit(SetField{out, value}, field->second);
  }
  return std::nullopt;
}

// ---- Connection

struct HttpRequest {
  std::string method;
  std::string path;
  std::string head;  // As it came, with its last empty line.
  std::map<std::string, std::string> headers;
  std::string body;
};

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// One accepted socket. Its thread owns it; nothing here is shared.
class Connection {
 public:
  explicit Connection(int fd) : fd_(fd) {
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // Fails on a Unix socket, where it is not needed.
  }
  ~Connection() { close(fd_); }
  Connection(const Connection&) = delete;

  // Nothing at the end of the connection, or when the request is not one.
  std::optional<HttpRequest> read_request() {
    while (buffer_.find("\r\n\r\n") == std::string::npos) {
      if (buffer_.size() > kHeaderBytesMax || !fill()) return std::nullopt;
    }
    HttpRequest request;
    const size_t head_bytes = buffer_.find("\r\n\r\n") + 4;
    request.head = buffer_.substr(0, head_bytes);
    buffer_.erase(0, head_bytes);
    parse_head(request);
    if (request.headers["expect"] == "100-continue") send("HTTP/1.1 100 Continue\r\n\r\n");
    if (request.headers["transfer-encoding"] == "chunked")
      return read_chunks(request) ? std::optional(request) : std::nullopt;
    const size_t length = static_cast<size_t>(std::max(0, number_or(request.headers["content-length"], 0)));
    if (length > kBodyBytesMax || !fill_to(length)) return std::nullopt;
    request.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
    return request;
  }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), dribble_ ? 1 : bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  void dribble(bool on) { dribble_ = on; }

  // Waits that long and returns true, or returns false in the moment in which the peer's close is seen.
  bool wait(std::chrono::nanoseconds time) {
    const int64_t until = monotonic_ns() + time.count();
    for (;;) {
      const int64_t left = std::max<int64_t>(0, until - monotonic_ns());
      const timespec timeout{.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
      // Bytes of a next request must not wake this loop again and again, so once some are seen only the close is waited
      // for.
      pollfd events{.fd = fd_, .events = static_cast<short>(unread_ ? POLLRDHUP : POLLIN | POLLRDHUP), .revents = 0};
      const int ready = ppoll(&events, 1, &timeout, nullptr);
      if (ready == 0) return true;
      if (ready < 0) continue;
      if (events.revents & (POLLRDHUP | POLLHUP | POLLERR)) return false;
      char byte = 0;
      // NOLINTNEXTLINE(clang-analyzer-unix.BlockInCriticalSection): it does not block, by MSG_DONTWAIT.
      if (recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) return false;
      unread_ = true;
    }
  }
  bool wait_ms(double ms) { return wait(std::chrono::nanoseconds(static_cast<int64_t>(ms * 1e6))); }

 private:
  bool fill() {
    char bytes[16 * 1024];
    const ssize_t got = recv(fd_, bytes, sizeof bytes, 0);
    if (got < 0 && errno == EINTR) return fill();
    if (got <= 0) return false;
    unread_ = false;
    buffer_.append(bytes, static_cast<size_t>(got));
    return true;
  }
  bool fill_to(size_t size) {
    while (buffer_.size() < size) {
      if (!fill()) return false;
    }
    return true;
  }

  static void parse_head(HttpRequest& request) {
    std::string_view rest = request.head;
    const std::string_view line = rest.substr(0, rest.find("\r\n"));
    const size_t method_end = line.find(' ');
    const size_t path_end = line.find(' ', method_end + 1);
    request.method = line.substr(0, method_end);
    request.path = line.substr(method_end + 1, path_end - method_end - 1);
    request.path = request.path.substr(0, request.path.find('?'));
    rest.remove_prefix(line.size() + 2);
    while (rest.size() > 2) {
      const std::string_view header = rest.substr(0, rest.find("\r\n"));
      const size_t colon = header.find(':');
      if (colon != std::string_view::npos) {
        std::string_view value = header.substr(colon + 1);
        while (value.starts_with(' ')) value.remove_prefix(1);
        request.headers[lower(header.substr(0, colon))] = value;
      }
      rest.remove_prefix(header.size() + 2);
    }
  }

  bool read_chunks(HttpRequest& request) {
    for (;;) {
      while (buffer_.find("\r\n") == std::string::npos) {
        if (!fill()) return false;
      }
      const size_t size = std::strtoul(buffer_.c_str(), nullptr, 16);
      buffer_.erase(0, buffer_.find("\r\n") + 2);
      if (size > kBodyBytesMax || request.body.size() + size > kBodyBytesMax || !fill_to(size + 2)) return false;
      request.body.append(buffer_, 0, size);
      buffer_.erase(0, size + 2);
      if (size == 0) return true;
    }
  }

  int fd_;
  std::string buffer_;
  bool unread_ = false;
  bool dribble_ = false;
};

// ---- Wire

std::string quoted(std::string_view text) { return json::serialize(json::string(text)); }

std::string random_name(std::string_view prefix) {
  static std::atomic<unsigned> counter{0};
  char digits[48];
  std::snprintf(digits, sizeof digits, "%08x%012llx%012x", static_cast<unsigned>(getpid()),
                static_cast<unsigned long long>(monotonic_ns()) & 0xffffffffffffULL, counter++);
  return std::string(prefix) + digits;
}

std::string reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 404:
      return "Not Found";
    case 503:
      return "Service Unavailable";
    default:
      return status < 500 ? "Bad Request" : "Internal Server Error";
  }
}

std::string json_head(int status, size_t length) {
  return "HTTP/1.1 " + std::to_string(status) + " " + reason_phrase(status) +
         "\r\nServer: llama.cpp\r\nAccess-Control-Allow-Origin: \r\nContent-Type: application/json; charset=utf-8\r\n"
         "Content-Length: " +
         std::to_string(length) + "\r\n" + (status == 200 ? "Keep-Alive: timeout=5, max=100" : "Connection: close") +
         "\r\n\r\n";
}

std::string error_body(int status, std::string_view message) {
  const std::string_view type = status == 400   ? "invalid_request_error"
                                : status == 401 ? "authentication_error"
                                : status == 404 ? "not_found_error"
                                : status == 503 ? "unavailable_error"
                                                : "server_error";
  return "{\"error\":{\"code\":" + std::to_string(status) + ",\"message\":" + quoted(message) + ",\"type\":\"" +
         std::string(type) + "\"}}";
}

std::string too_long_body(int prompt_tokens, int context) {
  const std::string tokens = std::to_string(prompt_tokens);
  const std::string room = std::to_string(context);
  return "{\"error\":{\"code\":400,\"message\":\"request (" + tokens + " tokens) exceeds the available context size (" +
         room + " tokens), try increasing it\",\"type\":\"exceed_context_size_error\",\"n_prompt_tokens\":" + tokens +
         ",\"n_ctx\":" + room + "}}";
}

// Of a text that is embedded, which must fit into one batch. The real one has nothing better to say of it than 500.
std::string too_large_body(int tokens, int batch) {
  return error_body(500,
                    "input (" + std::to_string(tokens) +
                        " tokens) is too large to process. increase the physical batch size (current batch size: " +
                        std::to_string(batch) + ")");
}

// The text cut into tokens, each a word with the blank before it, as a llama tokenizer cuts. Never inside a character.
std::vector<std::string> tokens_of(std::string_view text) {
  std::vector<std::string> tokens;
  for (const char c : text) {
    if (tokens.empty() || (c == ' ' && !tokens.back().empty())) tokens.emplace_back();
    tokens.back() += c;
  }
  return tokens;
}

// "a;b" gives a and b.
std::vector<std::string> parts_of(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(';'), text.size());
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

// The echo of a large body must not become one event per word.
std::vector<std::string> blocks_of(std::string_view text) {
  std::vector<std::string> blocks;
  while (!text.empty()) {
    size_t size = std::min<size_t>(text.size(), 1024);
    while (size < text.size() && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) ++size;
    blocks.emplace_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return blocks;
}

struct Timer {
  int64_t begun_ns = monotonic_ns();
  int64_t prompt_done_ns = 0;

  std::string timings(int prompt_tokens, int cached, int generated) const {
    const double prompt_ms = std::max(1e-3, static_cast<double>(prompt_done_ns - begun_ns) / 1e6);
    const double predicted_ms = std::max(1e-3, static_cast<double>(monotonic_ns() - prompt_done_ns) / 1e6);
    const double steps = std::max(1, generated - 1);  // The first token comes out of the prompt.
    char text[512];
    std::snprintf(
        text, sizeof text,
        "{\"cache_n\":%d,\"prompt_n\":%d,\"prompt_ms\":%.3f,\"prompt_per_token_ms\":%.6f,\"prompt_per_second\":%.6f,"
        "\"predicted_n\":%d,\"predicted_ms\":%.3f,\"predicted_per_token_ms\":%.6f,\"predicted_per_second\":%.6f}",
        cached, prompt_tokens - cached, prompt_ms, prompt_ms / std::max(1, prompt_tokens),
        prompt_tokens * 1e3 / prompt_ms, generated, predicted_ms, predicted_ms / steps, steps * 1e3 / predicted_ms);
    return text;
  }
};

// ---- Slots

// The real engine answers as many requests at once as it has slots and lets the others wait without a byte.
class Slots {
 public:
  explicit Slots(int count) : free_(count) {}

  // False when the peer left while it waited.
  bool take(Connection& peer) {
    std::unique_lock lock(mutex_);
    while (free_ == 0) {
      changed_.wait_for(lock, std::chrono::milliseconds(5));
      lock.unlock();
      const bool here = peer.wait(std::chrono::nanoseconds(0));
      lock.lock();
      if (!here) return false;
    }
    --free_;
    return true;
  }
  void give_back() {
    const std::lock_guard lock(mutex_);
    ++free_;
    changed_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int free_;
};

// ---- Engine

// The three ways of asking: /v1/chat/completions, /v1/completions and the engine's own /completion.
enum class Form { chat, text, native };

// What one token of an answer brings.
struct Piece {
  enum class Kind { text, thinking, tool, arguments };
  Kind kind = Kind::text;
  std::string text = {};  // A tool's name is its text.
  int tool_index = 0;
};

// What one request is: read from its JSON once.
struct Job {
  int64_t id = 0;
  Form form = Form::chat;
  bool stream = false;
  bool include_usage = false;
  int tokens_max = -1;
  std::string prompt;  // The text in which directives are looked for.
  int prompt_tokens = 0;
  Directives directives;
  std::vector<std::string> stops;
  bool verbose = false;
  std::optional<int> top_logprobs;  // Probabilities are wanted, and so many others beside each token's own.
  std::vector<Piece> pieces;
  std::string embeddings;     // The whole answer, when texts were to become vectors.
  bool cut_short = false;     // tokens_max ended the answer.
  std::string stopping_word;  // The one of `stops` that ended it.

  bool calls_tools() const { return !directives.tool.empty() && form == Form::chat && !cut_short; }
};

enum class Ending { kept_open, closed, peer_closed };

class Engine {
 public:
  explicit Engine(Options options) : options_(std::move(options)), log_(options_.alias), slots_(options_.slots) {}

  int run() {
    if (!listen_on()) return 1;
    log_.write("started", {{"host", options_.host}, {"slots", options_.slots}});
    std::thread(&Engine::wait_for_signals, this).detach();
    if (options_.child_mode) std::thread(&Engine::obey_stdin, this).detach();
    std::thread(&Engine::load, this).detach();
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd >= 0) {
        std::thread(&Engine::serve, this, fd).detach();
      } else if (stopping_) {
        // In child mode a signal closes the door and the process then waits for stdin, as the real one does.
        for (;;) pause();
      } else if (errno != EINTR && errno != ECONNABORTED) {
        leave(log_, 1, "accept failed");
      }
    }
  }

 private:
  // --- life ---

  bool listen_on() {
    if (options_.host.ends_with(".sock")) {
      unlink(options_.host.c_str());
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      if (options_.host.size() >= sizeof address.sun_path) return refuse("the socket path is too long");
      std::memcpy(address.sun_path, options_.host.c_str(), options_.host.size() + 1);
      listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (listener_ < 0) return refuse("no socket");
      if (bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return refuse("bind failed");
    } else {
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(static_cast<uint16_t>(options_.port));
      if (inet_pton(AF_INET, options_.host.c_str(), &address.sin_addr) != 1)
        return refuse("--host wants an IPv4 address");
      listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (listener_ < 0) return refuse("no socket");
      const int on = 1;
      setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      if (bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return refuse("bind failed");
    }
    return listen(listener_, 1024) == 0 || refuse("listen failed");
  }
  static bool refuse(const char* why) {
    std::fprintf(stderr, "scripted engine: %s: %s\n", why, std::strerror(errno));
    return false;
  }

  void print(std::string_view line) {
    const std::lock_guard lock(stdout_mutex_);
    std::fprintf(stdout, "%.*s\n", static_cast<int>(line.size()), line.data());
    std::fflush(stdout);
  }
  void print_log(std::string_view level, std::string_view message) {
    print("{\"type\":\"log\",\"time\":" + std::to_string(monotonic_ns() / 1000) + ",\"level\":\"" + std::string(level) +
          "\",\"msg\":" + quoted(std::string(message) + "\n") + "}");
  }
  // The empty line before it is the real engine's: it ends whatever its logger left open.
  void tell_router(std::string_view state, const std::string& payload) {
    if (!options_.child_mode) return;
    print("\ncmd_child_to_router:state:{\"state\":\"" + std::string(state) + "\",\"payload\":" + payload + "}");
  }

  void load() {
    const std::string progress = R"({"stages":["text_model"],"current":"text_model","value":)";
    tell_router("loading", progress + "0.0}");
    print_log("info", "srv    load_model: loading model '" + options_.model_file + "'");
    if (!options_.model_file.empty() && access(options_.model_file.c_str(), R_OK) != 0) {
      print_log("error", "gguf_init_from_file: failed to open GGUF file '" + options_.model_file + "' (" +
                             std::strerror(errno) + ")");
      print_log("error", "srv  llama_server: exiting due to model loading error");
      leave(log_, 1, "no model file");
    }
    if (options_.start == "exit1") {
      print_log("error", "srv  llama_server: exiting due to model loading error");
      leave(log_, 1, "told to");
    }
    if (options_.start == "hang") return;
    if (options_.start.starts_with("slow:")) {
      // Only the load waits; /health goes on answering 503.
      poll(nullptr, 0, number_or(std::string_view(options_.start).substr(5), 0));
    }
    print_log("info", "print_info: n_layer               = 2");
    if (options_.start.starts_with("lines:")) {
      say_lines_of(options_.start.substr(6));
    } else if (options_.start == "gpu" || options_.start.starts_with("gpu:")) {
      const bool has_size = options_.start.size() > 4;
      const int megabytes = has_size ? number_or(std::string_view(options_.start).substr(4), 0) : 0;
      print_log("info", "llama_prepare_model_devices: using device CUDA0 (a card) (0000:01:00.0) - 15800 MiB free");
      print_log("info", "load_tensors: loading model tensors, this can take a while... (load_mode = mmap)");
      print_log("info", "load_tensors: offloaded 3/3 layers to GPU");
      print_log("info", "load_tensors:        CUDA0 model buffer size =     " +
                            (has_size ? std::to_string(megabytes) + ".00" : std::string("4.23")) + " MiB");
    } else {
      print_log("info", "load_tensors:   CPU_Mapped model buffer size =     4.23 MiB");
    }
    tell_router("loading", progress + "1.0}");
    print_log("info", "srv    load_model: initializing, n_slots = " + std::to_string(options_.slots));
    print_log("info", "srv  llama_server: model loaded");
    ready_ = true;
    print_log("info", "srv  llama_server: listening on unix://" + options_.host);
    tell_router("ready", model_info());
  }

  void say_lines_of(const std::string& file) {
    std::ifstream lines(file);
    for (std::string line; std::getline(lines, line);) {
      const size_t blank = line.find(' ');
      const std::string_view level = std::string_view(line).substr(0, blank);
      const std::string text = blank == std::string::npos ? "" : line.substr(blank + 1);
      if (level == "exit") leave(log_, number_or(text, 1), "told to");
      print_log(level, text);
    }
  }

  std::string model_info() const {
    return "{\"id\":" + quoted(options_.alias) + ",\"aliases\":[" + quoted(options_.alias) +
           "],\"tags\":[],\"object\":\"model\",\"created\":" + std::to_string(std::time(nullptr)) +
           ",\"owned_by\":\"llamacpp\",\"meta\":{\"vocab_type\":1,\"n_vocab\":32000,\"n_ctx\":" +
           std::to_string(options_.context / options_.slots) +
           ",\"n_ctx_train\":32768,\"n_embd\":64,\"n_params\":4170048,\"size\":4431616,\"ftype\":\"Q8_0\"}}";
  }

  void obey_stdin() {
    std::string line;
    while (std::getline(std::cin, line)) {
      if (line.find("cmd_router_to_child:exit") != std::string::npos) leave(log_, 0, "told by the router");
    }
    leave(log_, 1, "the router is gone");
  }

  void wait_for_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    int signal_number = 0;
    sigwait(&signals, &signal_number);
    if (!options_.child_mode) leave(log_, 0, "signal");
    stopping_ = true;
    shutdown(listener_, SHUT_RDWR);
  }

  // --- one connection ---

  void serve(int fd) {
    Connection connection(fd);
    while (auto request = connection.read_request()) {
      if (!answer(connection, *request)) return;
    }
  }

  // False when the connection is to be closed.
  bool answer(Connection& connection, const HttpRequest& request) {
    if (!ready_)
      return send_json(connection, 503,
                       R"({"error":{"message":"Loading model","type":"unavailable_error","code":503}})");
    if (request.path == "/health" || request.path == "/v1/health")
      return send_json(connection, 200, R"({"status":"ok"})");
    if (!may_enter(request)) {
      return send_json(connection, 401,
                       R"({"error":{"message":"Invalid API Key","type":"authentication_error","code":401}})");
    }
    if (request.method == "GET" && request.path == "/v1/models") {
      return send_json(connection, 200, "{\"object\":\"list\",\"data\":[" + model_info() + "]}");
    }
    // Which trace it was told to belong to.
    if (const auto parent = request.headers.find("traceparent"); parent != request.headers.end()) {
      const auto state = request.headers.find("tracestate");
      log_.write("traced", {{"path", request.path},
                            {"traceparent", parent->second},
                            {"tracestate", state == request.headers.end() ? "" : state->second}});
    }
    const std::map<std::string, Form, std::less<>> forms = {{"/v1/chat/completions", Form::chat},
                                                            {"/chat/completions", Form::chat},
                                                            {"/v1/completions", Form::text},
                                                            {"/completion", Form::native}};
    if (request.method == "POST" && request.path == "/v1/chat/completions/input_tokens") {
      return count_tokens(connection, request);
    }
    if (request.method == "POST" && request.path == "/tokenize") return tokenize(connection, request);
    if (request.method == "POST" && request.path == "/v1/embeddings") return embed(connection, request);
    const auto form = forms.find(request.path);
    if (request.method != "POST" || form == forms.end()) {
      return send_json(connection, 404,
                       R"({"error":{"message":"File Not Found","type":"not_found_error","code":404}})");
    }
    return generate(connection, request, form->second);
  }

  bool may_enter(const HttpRequest& request) const {
    if (options_.api_key.empty()) return true;
    const auto header = request.headers.find("authorization");
    return header != request.headers.end() && header->second == "Bearer " + options_.api_key;
  }

  static bool send_json(Connection& connection, int status, std::string_view body) {
    return connection.send(json_head(status, body.size()) + std::string(body)) && status == 200;
  }

  // --- one answer ---

  static bool refuse_request(Connection& connection, std::string_view wrong) {
    const int status = wrong.starts_with("[json") ? 500 : 400;
    return send_json(connection, status, error_body(status, wrong));
  }

  bool count_tokens(Connection& connection, const HttpRequest& request) {
    Job job;
    if (const auto wrong = read_job(request, job)) return refuse_request(connection, *wrong);
    return send_json(
        connection, 200,
        "{\"input_tokens\":" + std::to_string(job.prompt_tokens) + R"(,"object":"response.input_tokens"})");
  }

  static bool tokenize(Connection& connection, const HttpRequest& request) {
    json::error_code failed;
    const json::value parsed = json::parse(request.body, failed);
    const json::value* content = parsed.is_object() ? parsed.as_object().if_contains("content") : nullptr;
    if (!content || !content->is_string()) return refuse_request(connection, "'content' is required");
    std::string tokens;
    for (const int token : scripted::tokens_around(tokens_of(content->as_string()))) {
      tokens += (tokens.empty() ? "" : ",") + std::to_string(token);
    }
    return send_json(connection, 200, "{\"tokens\":[" + tokens + "]}");
  }

  // --- texts to vectors ---

  bool embed(Connection& connection, const HttpRequest& request) {
    if (!options_.embeds) {
      return send_json(connection, 501, error_body(501, "This server does not support embeddings."));
    }
    Job job;
    job.id = ++requests_;
    std::vector<scripted::Tokens> inputs;
    bool as_base64 = false;
    if (const auto wrong = read_inputs(request, job, inputs, as_base64)) return refuse_request(connection, *wrong);
    const int context = options_.context / options_.slots;
    for (const auto& tokens : inputs) {
      const int count = static_cast<int>(tokens.size());
      if (count > options_.batch) return send_json(connection, 500, too_large_body(count, options_.batch));
      if (count > context) return send_json(connection, 400, too_long_body(count, context));
      job.prompt_tokens += count;
    }
    const auto note = [&](std::string_view event) {
      log_.write(event,
                 {{"request", job.id}, {"path", request.path}, {"tag", job.directives.tag}, {"inputs", inputs.size()}});
    };
    note("request_begin");
    if (!slots_.take(connection)) {
      note("peer_closed");
      return false;
    }
    job.embeddings = embeddings_body(job, inputs, as_base64);
    int tokens = 0;
    const Ending ending = perform(connection, job, tokens);
    slots_.give_back();
    note(ending == Ending::peer_closed ? "peer_closed" : "request_end");
    return ending == Ending::kept_open;
  }

  // Texts, or arrays of tokens. The directives of all texts together count.
  std::optional<std::string> read_inputs(const HttpRequest& request, Job& job, std::vector<scripted::Tokens>& inputs,
                                         bool& as_base64) const {
    json::error_code failed;
    const json::value parsed = json::parse(request.body, failed);
    if (failed || !parsed.is_object()) return "[json.exception.parse_error.101] parse error: " + failed.message();
    const json::object& body = parsed.as_object();
    const json::value* input = body.if_contains("input");
    if (!input || !input->is_array()) return "'input' is required";
    for (const json::value& one : input->as_array()) {
      if (one.is_string()) {
        inputs.push_back(scripted::tokens_around(tokens_of(one.as_string())));
        job.prompt += one.as_string();
        continue;
      }
      if (!one.is_array()) return "'input' elements must be strings or lists of tokens";
      scripted::Tokens tokens;
      for (const json::value& token : one.as_array()) {
        if (!token.is_int64() || token.as_int64() >= scripted::kTokensKnown) return "Prompt contains invalid tokens";
        tokens.push_back(static_cast<int>(token.as_int64()));
      }
      if (tokens.empty()) return "Input content cannot be empty";
      inputs.push_back(std::move(tokens));
    }
    const json::value* format = body.if_contains("encoding_format");
    as_base64 = format && format->is_string() && format->as_string() == "base64";
    if (const auto unknown = read_directives(job.prompt, job.directives)) return "unknown directive: " + *unknown;
    if (!job.directives.record.empty()) {
      log_.write("request_body", {{"record", job.directives.record}, {"path", request.path}, {"body", parsed}});
    }
    return std::nullopt;
  }

  std::string embeddings_body(const Job& job, const std::vector<scripted::Tokens>& inputs, bool as_base64) const {
    const Directives& told = job.directives;
    std::vector<std::string> elements;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const bool is_last = i + 1 == inputs.size();
      const std::string fault = is_last ? told.vector : "";
      if (fault == "missing") continue;
      const int numbers = fault == "short" ? told.numbers - 1 : told.numbers;
      elements.push_back(scripted::element(i, scripted::vector_of(inputs[i], numbers, fault), as_base64));
      if (fault == "twice") elements.push_back(elements.back());
    }
    if (told.backwards) std::ranges::reverse(elements);
    std::string data;
    for (const std::string& element : elements) data += (data.empty() ? "" : ",") + element;
    const std::string tokens = std::to_string(job.prompt_tokens);
    return "{\"model\":" + quoted(options_.alias) + ",\"object\":\"list\",\"usage\":{\"prompt_tokens\":" + tokens +
           ",\"total_tokens\":" + tokens + "},\"data\":[" + data + "]}";
  }

  bool generate(Connection& connection, const HttpRequest& request, Form form) {
    Job job;
    job.id = ++requests_;
    job.form = form;
    if (const auto wrong = read_job(request, job)) return refuse_request(connection, *wrong);
    const auto note = [&](std::string_view event, int tokens) {
      log_.write(event, {{"request", job.id}, {"path", request.path}, {"tag", job.directives.tag}, {"tokens", tokens}});
    };
    const int context = options_.context / options_.slots;
    if (job.prompt_tokens > context) return send_json(connection, 400, too_long_body(job.prompt_tokens, context));
    note("request_begin", 0);
    if (!slots_.take(connection)) {
      note("peer_closed", 0);
      return false;
    }
    int tokens = 0;
    const Ending ending = perform(connection, job, tokens);
    slots_.give_back();
    if (ending == Ending::peer_closed) note("peer_closed", tokens);
    note("request_end", tokens);
    return ending == Ending::kept_open;
  }

  // Returns what is wrong with the request in the real engine's words.
  std::optional<std::string> read_job(const HttpRequest& request, Job& job) const {
    json::error_code failed;
    const json::value parsed = json::parse(request.body, failed);
    if (failed || !parsed.is_object()) return "[json.exception.parse_error.101] parse error: " + failed.message();
    const json::object& body = parsed.as_object();
    if (job.form == Form::chat) {
      const json::value* messages = body.if_contains("messages");
      if (!messages || !messages->is_array()) return "'messages' is required";
      for (const json::value& message : messages->as_array()) append_text(message, job.prompt);
    } else {
      const json::value* prompt = body.if_contains("prompt");
      if (!prompt || !prompt->is_string()) return "'prompt' is required";
      job.prompt = prompt->as_string();
    }
    const auto flag = [](const json::object& object, const char* key) {
      const json::value* value = object.if_contains(key);
      return value && value->is_bool() && value->as_bool();
    };
    job.stream = flag(body, "stream");
    job.verbose = flag(body, "verbose");
    read_stops(body, job.stops);
    if (job.form == Form::chat && flag(body, "logprobs")) {
      job.top_logprobs = integer(body, "top_logprobs").value_or(20);
    } else if (job.form != Form::chat) {
      job.top_logprobs = integer(body, "logprobs");
    }
    if (job.top_logprobs == 0) job.top_logprobs.reset();  // The real one takes this to mean that none are wanted.
    if (const json::value* more = body.if_contains("stream_options"); more && more->is_object()) {
      job.include_usage = flag(more->as_object(), "include_usage");
    }
    for (const char* key : {"n_predict", "max_tokens", "max_completion_tokens"}) {
      job.tokens_max = integer(body, key).value_or(job.tokens_max);
    }
    if (const auto unknown = read_directives(job.prompt, job.directives)) return "unknown directive: " + *unknown;
    if (!job.directives.record.empty()) {
      log_.write("request_body", {{"record", job.directives.record}, {"path", request.path}, {"body", parsed}});
    }
    job.prompt_tokens = static_cast<int>(tokens_of(job.prompt).size());
    fill_pieces(request, job);
    return std::nullopt;
  }

  static std::optional<int> integer(const json::object& object, const char* key) {
    const json::value* value = object.if_contains(key);
    return value && value->is_int64() ? std::optional(static_cast<int>(value->as_int64())) : std::nullopt;
  }

  static void read_stops(const json::object& body, std::vector<std::string>& stops) {
    const json::value* value = body.if_contains("stop");
    if (value && value->is_string()) stops.emplace_back(value->as_string());
    if (!value || !value->is_array()) return;
    for (const json::value& stop : value->as_array()) {
      if (stop.is_string()) stops.emplace_back(stop.as_string());
    }
  }

  // Content is a string, or parts of which some are text.
  static void append_text(const json::value& message, std::string& out) {
    const json::value* content = message.is_object() ? message.as_object().if_contains("content") : nullptr;
    if (!content) return;
    if (content->is_string()) out += content->as_string();
    if (content->is_array()) {
      for (const json::value& part : content->as_array()) {
        const json::value* text = part.is_object() ? part.as_object().if_contains("text") : nullptr;
        if (text && text->is_string()) out += text->as_string();
      }
    }
    out += '\n';
  }

  static void fill_pieces(const HttpRequest& request, Job& job) {
    const Directives& told = job.directives;
    const auto add = [&](Piece::Kind kind, const std::vector<std::string>& texts, int tool_index = 0) {
      for (const auto& text : texts) job.pieces.push_back({.kind = kind, .text = text, .tool_index = tool_index});
    };
    if (!told.echo.empty()) {
      add(Piece::Kind::text, blocks_of(told.echo == "head" ? request.head : request.body));
      return;  // An echo is never cut short: the test wants all of it.
    }
    if (job.form == Form::chat) add(Piece::Kind::thinking, tokens_of(told.thinking));
    if (told.text) {
      add(Piece::Kind::text, tokens_of(until_stop(*told.text, job)));
    } else if (told.tool.empty() || job.form != Form::chat) {
      std::string text;
      for (int i = 0; i < told.tokens; ++i) text += (i == 0 ? "token" : " token") + std::to_string(i);
      add(Piece::Kind::text, tokens_of(until_stop(text, job)));
    }
    if (job.form == Form::chat) add_tool_calls(job);
    if (job.tokens_max >= 0 && job.pieces.size() > static_cast<size_t>(job.tokens_max)) {
      job.pieces.resize(static_cast<size_t>(job.tokens_max));
      job.cut_short = true;
      job.stopping_word.clear();
    }
  }

  // The text before the first stop sequence, none of which is ever seen.
  static std::string until_stop(const std::string& text, Job& job) {
    size_t end = text.size();
    for (const std::string& stop : job.stops) {
      const size_t at = text.find(stop);
      if (at >= end) continue;
      end = at;
      job.stopping_word = stop;
    }
    return text.substr(0, end);
  }

  static void add_tool_calls(Job& job) {
    constexpr size_t kBytesOfPiece = 5;
    const auto arguments = parts_of(job.directives.tool_args);
    int index = 0;
    for (const std::string& name : parts_of(job.directives.tool)) {
      job.pieces.push_back({.kind = Piece::Kind::tool, .text = name, .tool_index = index});
      const auto which = static_cast<size_t>(index);
      std::string_view rest = which < arguments.size() ? std::string_view(arguments[which]) : "{}";
      while (!rest.empty()) {
        size_t size = std::min(rest.size(), kBytesOfPiece);
        while (size < rest.size() && (static_cast<unsigned char>(rest[size]) & 0xC0) == 0x80) ++size;
        job.pieces.push_back(
            {.kind = Piece::Kind::arguments, .text = std::string(rest.substr(0, size)), .tool_index = index});
        rest.remove_prefix(size);
      }
      ++index;
    }
  }

  Ending perform(Connection& connection, const Job& job, int& tokens) {
    const Directives& told = job.directives;
    Timer timer;
    if (!connection.wait_ms(told.head_delay_ms)) return Ending::peer_closed;
    if (told.die_after == 0) leave(log_, kExitAborted, "told to die before any byte");
    if (told.die_loud) die_loud(job);
    if (!told.die_once.empty() && unlink(told.die_once.c_str()) == 0) leave(log_, kExitAborted, "told to die once");
    if (told.status) {
      const std::string body = error_body(*told.status, "scripted failure");
      return connection.send(json_head(*told.status, body.size()) + body) ? Ending::closed : Ending::peer_closed;
    }
    if (told.garbage) {
      constexpr char kGarbage[] = "\x16\x03\x01\x00\xff this is not HTTP\r\n\x00\x01\x02\r\n\r\n";
      connection.send(std::string_view(kGarbage, sizeof kGarbage - 1));
      return Ending::closed;
    }
    connection.dribble(told.dribble);
    const Ending ending = job.stream ? stream(connection, job, timer, tokens) : whole(connection, job, timer, tokens);
    connection.dribble(false);
    return ending;
  }

  // As the real engine dies of an assertion: its own log quotes what it was working on, and so does a debugger's list
  // of calls.
  [[noreturn]] void die_loud(const Job& job) {
    const std::string entry =
        R"({"type":"log","time":1,"level":"error","msg":)" + quoted("failed on " + job.prompt) + "}";
    print(entry);
    std::fprintf(stderr, "%s\n%s\n#5 f (text=0x1 %s)\n", entry.c_str(), "/src/ggml.c:98: GGML_ASSERT(n > 0) failed",
                 quoted(job.prompt).c_str());
    leave(log_, kExitAborted, "told to die of an assertion");
  }

  // What happens at the boundary before token number `count`, the same for both forms. Nothing means: go on.
  std::optional<Ending> at_boundary(Connection& connection, const Directives& told, int count) {
    if (count > 0 && told.die_after == count) leave(log_, kExitAborted, "told to die mid-stream");
    if (told.close_after == count) return Ending::closed;
    if (told.stall_after == count) {
      while (connection.wait(kForever)) {
      }
      return Ending::peer_closed;
    }
    return std::nullopt;
  }

  Ending whole(Connection& connection, const Job& job, Timer& timer, int& tokens) {
    const Directives& told = job.directives;
    if (!connection.wait_ms(told.prefill_ms)) return Ending::peer_closed;
    timer.prompt_done_ns = monotonic_ns();
    for (size_t i = 0; i < job.pieces.size(); ++i) {
      if (const auto ending = at_boundary(connection, told, tokens)) return *ending;
      if (!connection.wait_ms(told.delay_ms)) return Ending::peer_closed;
      ++tokens;
    }
    if (const auto ending = at_boundary(connection, told, tokens)) return *ending;
    std::string body = whole_body(job, timer);
    if (told.garbage_after) body = "{not json" + body;
    const size_t length = body.size() + (told.bad_length ? 1000 : 0);
    if (told.half_event) body.resize(body.size() / 2);
    if (!connection.send(json_head(200, told.half_event ? body.size() : length) + body)) return Ending::peer_closed;
    return told.bad_length ? Ending::closed : Ending::kept_open;
  }

  Ending stream(Connection& connection, const Job& job, Timer& timer, int& tokens) {
    const Directives& told = job.directives;
    const std::string id = random_name("chatcmpl-");
    if (!connection.send(stream_head(told.bad_length))) return Ending::peer_closed;
    if (told.die_after_head) leave(log_, kExitAborted, "told to die after the head");
    if (!connection.wait_ms(told.prefill_ms)) return Ending::peer_closed;
    timer.prompt_done_ns = monotonic_ns();
    if (told.endless_line) return endless_line(connection);
    for (const Piece& piece : job.pieces) {
      if (const auto ending = at_boundary(connection, told, tokens)) return *ending;
      if (told.garbage_after == tokens && !send_event(connection, job, "data: {not json\n\n"))
        return Ending::peer_closed;
      if (told.error_after == tokens) {
        send_event(connection, job, "data: " + error_body(500, "scripted failure") + "\n\n");
        connection.send("0\r\n\r\n");
        return Ending::closed;
      }
      if (!connection.wait_ms(tokens == 0 ? 0 : told.delay_ms)) return Ending::peer_closed;
      ++tokens;
      if (!send_event(connection, job, piece_event(job, id, piece, tokens))) return Ending::peer_closed;
    }
    if (const auto ending = at_boundary(connection, told, tokens)) return *ending;
    std::string end = stream_end(job, id, tokens, timer);
    if (told.half_event) end.resize(end.size() / 3);
    if (!told.no_done && !send_event(connection, job, end)) return Ending::peer_closed;
    const bool has_done = job.form != Form::native && !told.half_event && !told.no_done;
    if (has_done && !send_event(connection, job, "data: [DONE]\n\n")) return Ending::peer_closed;
    if (!told.bad_length) connection.send("0\r\n\r\n");
    // The real engine says Keep-Alive in the head of an event stream and closes after it all the same.
    return Ending::closed;
  }

  static std::string stream_head(bool bad_length) {
    return std::string(
               "HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nAccess-Control-Allow-Origin: \r\nX-Accel-Buffering: no\r\n"
               "Content-Type: text/event-stream\r\n") +
           (bad_length ? "Content-Length: 100000000" : "Transfer-Encoding: chunked") +
           "\r\nKeep-Alive: timeout=5, max=100\r\n\r\n";
  }

  static bool send_event(Connection& connection, const Job& job, const std::string& event) {
    std::string bytes = event;
    if (!job.directives.bad_length) {
      char size[24];
      std::snprintf(size, sizeof size, "%zx\r\n", event.size());
      bytes = size + event + "\r\n";
    }
    if (!job.directives.split_utf8) return connection.send(bytes);
    const auto lead = std::ranges::find_if(bytes, [](unsigned char c) { return c >= 0xC0; });
    if (lead == bytes.end()) return connection.send(bytes);
    const auto cut = static_cast<size_t>(lead - bytes.begin()) + 1;
    // The pause lets the reader see the first half alone; without it one read often gets both.
    return connection.send(std::string_view(bytes).substr(0, cut)) && connection.wait_ms(2) &&
           connection.send(std::string_view(bytes).substr(cut));
  }

  static Ending endless_line(Connection& connection) {
    const std::string block(64 * 1024, 'x');
    if (!connection.send("4000000\r\ndata: ")) return Ending::peer_closed;
    for (size_t sent = 0; sent < kEndlessLineBytes; sent += block.size()) {
      if (!connection.send(block)) return Ending::peer_closed;
    }
    return Ending::closed;
  }

  // --- the shapes ---

  // `age` in seconds: the real one stamps every event with the time at which it is made.
  std::string common_fields(std::string_view id, std::string_view object, int age = 0) const {
    return "\"created\":" + std::to_string(std::time(nullptr) + age) + ",\"id\":\"" + std::string(id) +
           "\",\"model\":" + quoted(options_.alias) + ",\"system_fingerprint\":\"b0-v0.5.0\",\"object\":\"" +
           std::string(object) + "\"";
  }
  static int age_of(const Job& job, int tokens) { return job.directives.restamp ? tokens : 0; }

  static std::string usage(const Job& job, int tokens) {
    return "{\"completion_tokens\":" + std::to_string(tokens) +
           ",\"prompt_tokens\":" + std::to_string(job.prompt_tokens) +
           ",\"total_tokens\":" + std::to_string(job.prompt_tokens + tokens) +
           ",\"prompt_tokens_details\":{\"cached_tokens\":" + std::to_string(job.directives.cached) + "}}";
  }
  static std::string timings(const Job& job, int tokens, const Timer& timer) {
    return ",\"timings\":" + timer.timings(job.prompt_tokens, job.directives.cached, tokens);
  }
  static std::string finish_reason(const Job& job) {
    return job.cut_short ? "\"length\"" : job.calls_tools() ? "\"tool_calls\"" : "\"stop\"";
  }
  // Everything that the real one says on /completion, under a key of its own.
  std::string verbose(const Job& job, const Timer& timer) const {
    return job.verbose ? ",\"__verbose\":" + completion_end(job, "", timer) : "";
  }

  static std::string all_text(const Job& job, Piece::Kind kind) {
    std::string text;
    for (const Piece& piece : job.pieces) {
      if (piece.kind == kind) text += piece.text;
    }
    return text;
  }

  // {"content":[…]} with the probability of each token, or null.
  static std::string probabilities(const Job& job, std::span<const Piece> pieces) {
    if (!job.top_logprobs) return "null";
    const auto one = [](std::string_view token, int rank, std::string_view more) {
      std::string bytes;
      for (const char c : token) {
        bytes += (bytes.empty() ? "" : ",") + std::to_string(static_cast<unsigned char>(c));
      }
      return "{\"id\":" + std::to_string(1000 + rank) + ",\"token\":" + quoted(token) + ",\"bytes\":[" + bytes +
             "],\"logprob\":-" + std::to_string(rank + 1) + ".5" + std::string(more) + "}";
    };
    std::string all;
    for (const Piece& piece : pieces) {
      std::string others;
      for (int rank = 0; rank < *job.top_logprobs; ++rank) {
        const std::string other = rank == 0 ? piece.text : " other" + std::to_string(rank);
        others += (rank == 0 ? "" : ",") + one(other, rank, "");
      }
      all += (all.empty() ? "" : ",") + one(piece.text, 0, ",\"top_logprobs\":[" + others + "]");
    }
    return "{\"content\":[" + all + "]}";
  }

  // --- /v1/chat/completions ---

  std::string chunk(std::string_view id, std::string_view choice, int age) const {
    return "data: {\"choices\":[" + std::string(choice) + "]," + common_fields(id, "chat.completion.chunk", age);
  }
  static std::string chat_choice(std::string_view finish, std::string_view delta, std::string_view more = "") {
    return "{\"finish_reason\":" + std::string(finish) + ",\"index\":0,\"delta\":" + std::string(delta) +
           std::string(more) + "}";
  }

  std::string role_event(std::string_view id, int age) const {
    return chunk(id, chat_choice("null", R"({"role":"assistant","content":null})"), age) + "}\n\n";
  }

  static std::string call_id(std::string_view id, int index) {
    return "call_" + std::string(id.substr(id.find('-') + 1)) + std::to_string(index);
  }

  static std::string chat_delta(std::string_view id, const Piece& piece) {
    const std::string call = "{\"tool_calls\":[{\"index\":" + std::to_string(piece.tool_index);
    switch (piece.kind) {
      case Piece::Kind::text:
        return "{\"content\":" + quoted(piece.text) + "}";
      case Piece::Kind::thinking:
        return "{\"reasoning_content\":" + quoted(piece.text) + "}";
      case Piece::Kind::tool:
        return call + ",\"id\":" + quoted(call_id(id, piece.tool_index)) +
               ",\"type\":\"function\",\"function\":{\"name\":" + quoted(piece.text) + "}}]}";
      case Piece::Kind::arguments:
        return call + ",\"function\":{\"arguments\":" + quoted(piece.text) + "}}]}";
    }
    return "{}";
  }

  std::string chat_event(const Job& job, std::string_view id, const Piece& piece, int tokens) const {
    const int age = age_of(job, tokens);
    // The role travels with the first token, in the same write.
    const std::string role = tokens == 1 ? role_event(id, age) : "";
    const std::string logprobs =
        job.top_logprobs ? ",\"logprobs\":" + probabilities(job, std::span(&piece, 1)) : std::string();
    return role + chunk(id, chat_choice("null", chat_delta(id, piece), logprobs), age) + "}\n\n";
  }

  std::string chat_end(const Job& job, std::string_view id, int tokens, const Timer& timer) const {
    const int age = age_of(job, tokens + 1);
    // An answer of nothing begins all the same.
    const std::string role = tokens == 0 ? role_event(id, age) : "";
    const std::string finish = role + chunk(id, chat_choice(finish_reason(job), "{}"), age);
    const std::string last = timings(job, tokens, timer) + "}\n\n";
    if (!job.include_usage) return finish + verbose(job, timer) + last;
    return finish + verbose(job, timer) + "}\n\ndata: {\"choices\":[]," +
           common_fields(id, "chat.completion.chunk", age) + ",\"usage\":" + usage(job, tokens) + last;
  }

  static std::string tool_calls(const Job& job, std::string_view id) {
    std::string calls;
    const auto arguments = parts_of(job.directives.tool_args);
    const auto names = parts_of(job.directives.tool);
    for (size_t i = 0; i < names.size(); ++i) {
      calls += (i == 0 ? "" : ",") + std::string("{\"type\":\"function\",\"function\":{\"name\":") + quoted(names[i]) +
               ",\"arguments\":" + quoted(i < arguments.size() ? arguments[i] : "{}") +
               "},\"id\":" + quoted(call_id(id, static_cast<int>(i))) + "}";
    }
    return ",\"tool_calls\":[" + calls + "]";
  }

  std::string whole_chat(const Job& job, const Timer& timer) const {
    const int tokens = static_cast<int>(job.pieces.size());
    const std::string id = random_name("chatcmpl-");
    const std::string thinking = all_text(job, Piece::Kind::thinking);
    return "{\"choices\":[{\"finish_reason\":" + finish_reason(job) +
           ",\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":" + quoted(all_text(job, Piece::Kind::text)) +
           (thinking.empty() ? "" : ",\"reasoning_content\":" + quoted(thinking)) +
           (job.calls_tools() ? tool_calls(job, id) : "") + "}" +
           (job.top_logprobs ? ",\"logprobs\":" + probabilities(job, job.pieces) : "") + "}]," +
           common_fields(id, "chat.completion") + ",\"usage\":" + usage(job, tokens) + verbose(job, timer) +
           timings(job, tokens, timer) + "}";
  }

  // --- /v1/completions ---

  std::string text_object(const Job& job, std::string_view id, std::string_view text, std::string_view logprobs,
                          std::string_view finish, int tokens) const {
    return "{\"choices\":[{\"text\":" + quoted(text) + ",\"index\":0,\"logprobs\":" + std::string(logprobs) +
           ",\"finish_reason\":" + std::string(finish) + "}]," +
           common_fields(id, "text_completion", age_of(job, tokens));
  }
  std::string text_end(const Job& job, std::string_view id, int tokens, const Timer& timer) const {
    // Unlike the chat's, the figures stand in the event that ends the answer, whether they were asked for or not.
    return text_object(job, id, "", "null", finish_reason(job), tokens + 1) + ",\"usage\":" + usage(job, tokens) +
           verbose(job, timer) + timings(job, tokens, timer) + "}";
  }
  std::string whole_text(const Job& job, const Timer& timer) const {
    const int tokens = static_cast<int>(job.pieces.size());
    return text_object(job, random_name("chatcmpl-"), all_text(job, Piece::Kind::text), probabilities(job, job.pieces),
                       finish_reason(job), 0) +
           ",\"usage\":" + usage(job, tokens) + verbose(job, timer) + timings(job, tokens, timer) + "}";
  }

  // --- /completion ---

  static std::string native_event(const Job& job, std::string_view text, int tokens) {
    return "{\"index\":0,\"content\":" + quoted(text) + ",\"tokens\":[" + std::to_string(1000 + tokens) +
           "],\"stop\":false,\"id_slot\":-1,\"tokens_predicted\":" + std::to_string(tokens) +
           ",\"tokens_evaluated\":" + std::to_string(job.prompt_tokens) + "}";
  }

  std::string completion_end(const Job& job, std::string_view content, const Timer& timer) const {
    const int tokens = static_cast<int>(job.pieces.size());
    const std::string_view stop_type = job.cut_short ? "limit" : job.stopping_word.empty() ? "eos" : "word";
    return "{\"index\":0,\"content\":" + quoted(content) +
           ",\"tokens\":[],\"id_slot\":0,\"stop\":true,\"model\":" + quoted(options_.alias) +
           ",\"tokens_predicted\":" + std::to_string(tokens) +
           ",\"tokens_evaluated\":" + std::to_string(job.prompt_tokens) +
           ",\"generation_settings\":{\"n_predict\":" + std::to_string(job.tokens_max) +
           ",\"stream\":" + (job.stream ? "true" : "false") + "},\"prompt\":" + quoted(job.prompt) +
           ",\"has_new_line\":false,\"truncated\":false,\"stop_type\":" + quoted(stop_type) +
           ",\"stopping_word\":" + quoted(job.stopping_word) +
           ",\"tokens_cached\":" + std::to_string(job.prompt_tokens + tokens) + timings(job, tokens, timer) + "}";
  }

  // --- one shape or another ---

  std::string piece_event(const Job& job, std::string_view id, const Piece& piece, int tokens) const {
    if (job.form == Form::chat) return chat_event(job, id, piece, tokens);
    if (job.form == Form::native) return "data: " + native_event(job, piece.text, tokens) + "\n\n";
    const std::string logprobs = probabilities(job, std::span(&piece, 1));
    return "data: " + text_object(job, id, piece.text, logprobs, "null", tokens) + "}\n\n";
  }

  std::string stream_end(const Job& job, std::string_view id, int tokens, const Timer& timer) const {
    if (job.form == Form::chat) return chat_end(job, id, tokens, timer);
    if (job.form == Form::text) return "data: " + text_end(job, id, tokens, timer) + "\n\n";
    return "data: " + completion_end(job, "", timer) + "\n\n";
  }

  std::string whole_body(const Job& job, const Timer& timer) const {
    if (!job.embeddings.empty()) return job.embeddings;
    if (job.form == Form::chat) return whole_chat(job, timer);
    if (job.form == Form::text) return whole_text(job, timer);
    return completion_end(job, all_text(job, Piece::Kind::text), timer);
  }

  const Options options_;
  const EventLog log_;
  Slots slots_;
  int listener_ = -1;
  std::atomic<bool> ready_ = false;
  std::atomic<bool> stopping_ = false;
  std::atomic<int64_t> requests_ = 0;
  std::mutex stdout_mutex_;
};

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  // Blocked here, before any thread exists, so that only the thread that waits for them sees them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // Never destroyed: threads use it until the process ends.
  auto* engine = new Engine(read_options(argc, argv));
  return engine->run();
}
