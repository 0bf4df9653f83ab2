#include "http/caller.h"

#include <functional>
#include <string>
#include <string_view>

namespace gbgreg::http {
namespace {

// "Bearer x" of the Authorization field and "x" of x-api-key are the same key.
std::string_view key_of(const net::RequestHead& head) {
  constexpr std::string_view kBearer = "bearer ";
  std::string_view key = head.field("authorization").value_or("");
  if (key.empty()) return head.field("x-api-key").value_or("");
  if (net::equal_ignoring_case(key.substr(0, kBearer.size()), kBearer)) key.remove_prefix(kBearer.size());
  return key;
}

// Of "127.0.0.1:50312" what is before the port, which is another one for each connection.
std::string_view address_of(std::string_view peer) {
  return peer.starts_with("unix:") ? peer : peer.substr(0, peer.rfind(':'));
}

}  // namespace

llm::CallerId ExchangeCaller::id() const {
  const std::string_view key = key_of(exchange_.head());
  std::string who(key.empty() ? "address " : "key ");
  who.append(key.empty() ? address_of(exchange_.peer()) : key);
  return llm::CallerId{std::hash<std::string>{}(who)};
}

}  // namespace gbgreg::http
