#include "models/fetch.h"

#include <algorithm>
#include <array>
#include <boost/asio/ip/address.hpp>
#include <cctype>
#include <charconv>
#include <exception>
#include <memory>
#include <new>

#include "models/curl_library.h"
#include "models/manifest.h"

namespace gbgreg::models {
namespace {

namespace ip = boost::asio::ip;

// Loopback, private, link-local and the like: nowhere that a server outside may send us to.
bool is_inside(const ip::address& address) {
  if (address.is_v6()) {
    const auto v6 = address.to_v6();
    if (v6.is_v4_mapped()) return is_inside(ip::make_address_v4(ip::v4_mapped, v6));
    const auto bytes = v6.to_bytes();
    return v6.is_loopback() || v6.is_unspecified() || v6.is_link_local() || (bytes[0] & 0xfe) == 0xfc;
  }
  const auto bytes = address.to_v4().to_bytes();
  const bool is_private = bytes[0] == 10 || (bytes[0] == 172 && (bytes[1] & 0xf0) == 16) ||
                          (bytes[0] == 192 && bytes[1] == 168) || (bytes[0] == 169 && bytes[1] == 254) ||
                          (bytes[0] == 100 && (bytes[1] & 0xc0) == 64);
  return is_private || bytes[0] == 127 || bytes[0] == 0;
}

struct FreeEasy {
  const CurlLibrary* library;
  void operator()(CURL* handle) const { library->easy_cleanup(handle); }
};
struct FreeList {
  const CurlLibrary* library;
  void operator()(curl_slist* list) const { library->slist_free_all(list); }
};

// What the callbacks share during one transfer. None of them may throw through C.
class Transfer {
 public:
  Transfer(const FetchRequest& request, const std::stop_token& stop, const TakeHead& take_head,
           const TakeBytes& take_bytes)
      : stop_(stop), take_head_(take_head), take_bytes_(take_bytes) {
    const std::size_t begin = request.url.find("://") + 3;
    is_local_ = is_loopback(request.url.substr(begin, request.url.find('/', begin) - begin));
  }

  bool is_local() const { return is_local_; }
  FetchHead& head() { return head_; }

  static std::size_t on_field(char* bytes, std::size_t, std::size_t size, void* self) {
    return static_cast<Transfer*>(self)->field(std::string_view(bytes, size)) ? size : 0;
  }
  static std::size_t on_bytes(char* bytes, std::size_t, std::size_t size, void* self) {
    return static_cast<Transfer*>(self)->bytes(std::string_view(bytes, size)) ? size : 0;
  }
  static int on_tick(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<Transfer*>(self)->stop_.stop_requested() ? 1 : 0;
  }
  static int on_connected(void* self, char* address, char*, int, int) {
    return static_cast<Transfer*>(self)->connected(address) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
  }

  // `why` are the library's words.
  Result<FetchHead> end(CURLcode code, const std::string& why) {
    if (thrown_) std::rethrow_exception(thrown_);
    if (refusal_) return std::unexpected(std::move(*refusal_));
    if (stop_.stop_requested()) return fail(Kind::cancelled, "cancelled", "The download was given up.");
    if (code != CURLE_OK) return std::unexpected(said(code, why));
    if (!tell_head()) return end(CURLE_WRITE_ERROR, "");
    return head_;
  }

 private:
  bool field(std::string_view line) {
    head_bytes_ += line.size();
    if (head_bytes_ > kHeadBytesMax) {
      return refuse({.kind = Kind::backend_failed,
                     .code = "head_too_large",
                     .message = "The server's answer has more header fields than any needs."});
    }
    if (line.starts_with("HTTP/")) {
      // The next answer; what was said of the linked file stays.
      head_ = {.linked_sha256 = head_.linked_sha256, .linked_size = head_.linked_size};
    }
    read_field(line, head_);
    return true;
  }

  bool bytes(std::string_view piece) {
    if (!tell_head()) return false;
    return call([&] { return take_bytes_(piece); });
  }

  bool tell_head() {
    if (is_head_told_) return true;
    is_head_told_ = true;
    return call([&] { return take_head_(head_); });
  }

  bool connected(const char* text) {
    boost::system::error_code error;
    const auto address = ip::make_address(text, error);
    const bool inside = error || is_inside(address);
    if (!first_is_inside_) first_is_inside_ = inside;
    const bool is_well = is_local_ ? !error && address.is_loopback() : !inside || *first_is_inside_;
    return is_well || refuse({.kind = Kind::backend_failed,
                              .code = "redirect_refused",
                              .message = "The server leads to an address that it must not lead to."});
  }

  template <class Work>
  bool call(Work work) {
    try {
      Result<void> taken = work();
      return taken || refuse(std::move(taken.error()));
    } catch (...) {
      thrown_ = std::current_exception();
      return false;
    }
  }

  bool refuse(Error error) {
    refusal_ = std::move(error);
    return false;
  }

  static Error said(CURLcode code, const std::string& why) {
    Error error;
    error.kind = Kind::backend_failed;
    error.detail = why;
    switch (code) {
      case CURLE_TOO_MANY_REDIRECTS:
      case CURLE_UNSUPPORTED_PROTOCOL:
      case CURLE_URL_MALFORMAT:
        error.code = "redirect_refused";
        error.message = "The server leads on and on, or to an address that is no https. Is the name right?";
        break;
      case CURLE_OPERATION_TIMEDOUT:
        error.kind = Kind::timed_out;
        error.code = "transfer_stalled";
        error.message = "The server went silent. What came so far is kept: try again later.";
        break;
      case CURLE_COULDNT_RESOLVE_HOST:
      case CURLE_COULDNT_RESOLVE_PROXY:
      case CURLE_COULDNT_CONNECT:
        error.code = "server_unreachable";
        error.message = "The server of the model cannot be reached. Are the name and the network right?";
        break;
      case CURLE_PEER_FAILED_VERIFICATION:
      case CURLE_SSL_CONNECT_ERROR:
      case CURLE_SSL_CACERT_BADFILE:
        error.code = "server_not_trusted";
        error.message = "The server cannot prove who it is, so nothing is fetched from it.";
        break;
      default:
        error.code = "transfer_broken";
        error.message = "The transfer was cut. What came so far is kept: try again.";
    }
    return error;
  }

  const std::stop_token& stop_;
  const TakeHead& take_head_;
  const TakeBytes& take_bytes_;
  FetchHead head_;
  bool is_local_ = false;
  bool is_head_told_ = false;
  std::optional<bool> first_is_inside_;
  std::size_t head_bytes_ = 0;
  std::optional<Error> refusal_;
  std::exception_ptr thrown_;
};

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::string_view(" \t\r\n").contains(text.front())) text.remove_prefix(1);
  while (!text.empty() && std::string_view(" \t\r\n").contains(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "bytes 100-199/200"
void read_range(std::string_view text, FetchHead& head) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return;
  text.remove_prefix(kUnit.size());
  const std::size_t dash = text.find('-');
  const std::size_t slash = text.find('/');
  if (dash == text.npos || slash == text.npos || dash > slash) return;
  head.range_from = number(text.substr(0, dash));
  head.range_total = number(text.substr(slash + 1));
}

std::string strong_etag(std::string_view text) {
  constexpr std::size_t kEtagBytesMax = 200;
  const bool is_strong =
      text.size() >= 2 && text.size() <= kEtagBytesMax && text.starts_with('"') && text.ends_with('"');
  return is_strong ? std::string(text) : std::string();
}

void set_up(const CurlLibrary& library, CURL* curl, const FetchRequest& request, const FetchOptions& options,
            Transfer& transfer) {
  const auto set = [&](CURLoption option, auto value) { library.easy_setopt(curl, option, value); };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_USERAGENT, "gbgreg");
  set(CURLOPT_PROTOCOLS_STR, transfer.is_local() ? "http,https" : "https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, request.url.starts_with("http://") ? "http,https" : "https");
  if (transfer.is_local()) set(CURLOPT_NOPROXY, "*");
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, static_cast<long>(options.redirects_max));
  set(CURLOPT_CONNECTTIMEOUT, static_cast<long>(options.connect_timeout.count()));
  set(CURLOPT_LOW_SPEED_LIMIT, kBytesPerSecondMin);
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.stall_timeout.count()));
  if (request.is_head) set(CURLOPT_NOBODY, 1L);
  if (!request.token.empty()) {
    set(CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    set(CURLOPT_XOAUTH2_BEARER, request.token.c_str());
  }
  set(CURLOPT_HEADERFUNCTION, &Transfer::on_field);
  set(CURLOPT_HEADERDATA, &transfer);
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_bytes);
  set(CURLOPT_WRITEDATA, &transfer);
  set(CURLOPT_BUFFERSIZE, 256L * 1024);
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &Transfer::on_tick);
  set(CURLOPT_XFERINFODATA, &transfer);
  set(CURLOPT_PREREQFUNCTION, &Transfer::on_connected);
  set(CURLOPT_PREREQDATA, &transfer);
}

}  // namespace

void read_field(std::string_view line, FetchHead& head) {
  if (line.starts_with("HTTP/")) {
    const std::size_t blank = line.find(' ');
    const auto status = number(trimmed(line).substr(std::min(blank + 1, trimmed(line).size()), 3));
    head.status = status ? static_cast<long>(*status) : 0;
    return;
  }
  const std::size_t colon = line.find(':');
  if (colon == line.npos) return;
  std::string name(line.substr(0, colon));
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (name == "content-length") head.length = number(value);
  if (name == "content-range") read_range(value, head);
  if (name == "etag") head.etag = strong_etag(value);
  if (name == "www-authenticate") head.authenticate = value;
  if (name == "x-linked-size") head.linked_size = number(value);
  if (name == "x-linked-etag") {
    const std::string etag = strong_etag(value);
    head.linked_sha256 = etag.empty() ? "" : sha256_of_digest("sha256:" + etag.substr(1, etag.size() - 2));
  }
}

Result<FetchHead> fetch(const FetchRequest& request, const FetchOptions& options, const std::stop_token& stop,
                        const TakeHead& take_head, const TakeBytes& take_bytes) {
  const auto found = curl_library();
  if (!found) return std::unexpected(found.error());
  const CurlLibrary& library = **found;
  const std::unique_ptr<CURL, FreeEasy> curl(library.easy_init(), FreeEasy{&library});
  if (!curl) throw std::bad_alloc();
  Transfer transfer(request, stop, take_head, take_bytes);
  set_up(library, curl.get(), request, options, transfer);
  std::unique_ptr<curl_slist, FreeList> fields(nullptr, FreeList{&library});
  const auto add = [&](const std::string& field) {
    curl_slist* longer = library.slist_append(fields.get(), field.c_str());
    if (longer == nullptr) throw std::bad_alloc();
    [[maybe_unused]] const curl_slist* part = fields.release();  // It is a part of the longer one.
    fields.reset(longer);
  };
  if (!request.accept.empty()) add("Accept: " + request.accept);
  if (request.from > 0) add("Range: bytes=" + std::to_string(request.from) + "-");
  if (request.from > 0 && !request.if_range.empty()) add("If-Range: " + request.if_range);
  if (fields) library.easy_setopt(curl.get(), CURLOPT_HTTPHEADER, fields.get());
  std::array<char, CURL_ERROR_SIZE> why{};
  library.easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, why.data());
  const CURLcode code = library.easy_perform(curl.get());
  return transfer.end(code, std::string(library.easy_strerror(code)) + ": " + why.data());
}

bool is_passing(const Error& error) {
  return error.code == "transfer_broken" || error.code == "transfer_stalled" || error.code == "server_unreachable" ||
         error.code == "server_busy";
}

}  // namespace gbgreg::models
