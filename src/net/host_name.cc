#include "net/host_name.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstring>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "net/io_thread.h"

namespace gbgreg::net {
namespace {

// How often who waits looks whether the lookup is over. To be woken by its thread he would have to outlive it.
constexpr std::chrono::milliseconds kLookEvery{5};

Error not_known(std::string detail) {
  return {.kind = Kind::unavailable,
          .code = "backend_name_unknown",
          .message = "The name in the `url` of the model's server is not known: correct it, or this machine's DNS.",
          .detail = std::move(detail),
          .retry_after_seconds = 1};
}

Error not_in_time() {
  return {.kind = Kind::unavailable,
          .code = "backend_name_unknown",
          .message = "The name in the `url` of the model's server was not found in time: see to this machine's DNS.",
          .detail = "getaddrinfo takes too long",
          .retry_after_seconds = 1};
}

std::vector<Endpoint> endpoints_of(const HostName::Addresses& addresses, std::uint16_t port) {
  std::vector<Endpoint> endpoints;
  endpoints.reserve(std::min(addresses.size(), HostName::kAddressesMax));
  for (const auto& address : addresses) {
    if (endpoints.size() < HostName::kAddressesMax) endpoints.emplace_back(asio::ip::tcp::endpoint(address, port));
  }
  return endpoints;
}

}  // namespace

struct HostName::Known {
  std::mutex mutex;  // Guards all of it.
  std::vector<Endpoint> found = {};
  SteadyTime found_at = {};
  std::optional<Error> failure = {};  // Of the last lookup.
  SteadyTime failed_at = {};
  bool is_fixed = false;  // No name, but an address.
  bool is_being_looked_up = false;
};

Result<HostName::Addresses> HostName::ask_the_system(const std::string& host) {
  addrinfo wanted{};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int failed = getaddrinfo(host.c_str(), nullptr, &wanted, &list); failed != 0) {
    return std::unexpected(not_known(host + ": " + gai_strerror(failed)));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, freeaddrinfo);
  Addresses addresses;
  addresses.reserve(kAddressesMax);
  for (const addrinfo* one = list; one != nullptr && addresses.size() < kAddressesMax; one = one->ai_next) {
    asio::ip::tcp::endpoint endpoint;
    if (one->ai_addrlen > endpoint.capacity()) continue;
    std::memcpy(endpoint.data(), one->ai_addr, one->ai_addrlen);
    addresses.push_back(endpoint.address());
  }
  if (addresses.empty()) return std::unexpected(not_known(host + ": no address"));
  return addresses;
}

HostName::HostName(std::string host, std::uint16_t port, LookUp look_up, const HostNameOptions& options)
    : host_(std::move(host)),
      port_(port),
      look_up_(std::move(look_up)),
      options_(options),
      known_(std::make_shared<Known>()) {
  boost::system::error_code is_name;
  const auto address = asio::ip::make_address(host_ == "localhost" ? "127.0.0.1" : host_, is_name);
  if (is_name) return;
  known_->found = endpoints_of({address}, port_);
  known_->is_fixed = true;
}

Task<Result<std::vector<Endpoint>>> HostName::endpoints(IoThread& io, SteadyTime deadline) const {
  const SteadyTime give_up_at = std::min(deadline, std::chrono::steady_clock::now() + options_.look_up_max);
  asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor> timer(
      io.executor());
  while (true) {
    const SteadyTime now = std::chrono::steady_clock::now();
    {
      const std::lock_guard lock(known_->mutex);
      const bool has_some = !known_->found.empty();
      if (known_->is_fixed || (has_some && now < known_->found_at + options_.kept_for)) co_return known_->found;
      const bool may_ask = !known_->failure || now >= known_->failed_at + options_.failure_kept_for;
      if (!known_->is_being_looked_up && may_ask) begin_look_up();
      if (has_some && now < known_->found_at + options_.stale_max) co_return known_->found;
      if (!known_->is_being_looked_up && known_->failure) co_return std::unexpected(*known_->failure);
    }
    if (now >= give_up_at) co_return std::unexpected(not_in_time());
    timer.expires_after(kLookEvery);
    auto [error] = co_await timer.async_wait(use_tuple);
    if (error) co_return fail(Kind::cancelled, "cancelled", "The request was cancelled.");
  }
}

// With the mutex held. The thread knows nothing of this object, which may be gone before it ends.
void HostName::begin_look_up() const {
  auto work = [known = known_, look_up = look_up_, host = host_, port = port_] {
    Result<Addresses> found;
    try {
      found = look_up(host);
    } catch (const std::exception& error) {
      found = std::unexpected(not_known(error.what()));
    }
    const std::lock_guard lock(known->mutex);
    known->is_being_looked_up = false;
    const SteadyTime now = std::chrono::steady_clock::now();
    if (!found) {
      known->failure = std::move(found.error());
      known->failed_at = now;
      return;
    }
    known->failure.reset();
    known->found_at = now;
    // The one that answers stays in front.
    const Endpoint first = known->found.empty() ? Endpoint() : known->found.front();
    known->found = endpoints_of(*found, port);
    const auto same = std::ranges::find(known->found, first);
    if (same != known->found.end()) std::rotate(known->found.begin(), same, same + 1);
  };
  known_->is_being_looked_up = true;
  known_->failure.reset();
  try {
    std::thread(std::move(work)).detach();
  } catch (const std::system_error& error) {
    known_->is_being_looked_up = false;
    known_->failure = not_known(error.what());
    known_->failed_at = std::chrono::steady_clock::now();
  }
}

void HostName::answers_at(const Endpoint& endpoint) const {
  const std::lock_guard lock(known_->mutex);
  const auto found = std::ranges::find(known_->found, endpoint);
  if (found != known_->found.end()) std::rotate(known_->found.begin(), found, found + 1);
}

}  // namespace gbgreg::net
