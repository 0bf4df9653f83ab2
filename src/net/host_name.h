// The host of a server as its owner wrote it, and the addresses behind it.
//
// A name is looked up by getaddrinfo, which may take half a minute, so it runs on a thread of its own for as long as it
// takes, one for a name at most; nobody waits for it longer than look_up_max. What it found is used for kept_for. After
// that it is still used, up to stale_max, while it is looked up again: so only the first connection waits, or the first
// after a long silence. Any thread.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/core.h"
#include "net/endpoint.h"

namespace gbgreg::net {

struct HostNameOptions {
  std::chrono::milliseconds look_up_max{3'000};
  std::chrono::milliseconds kept_for{30'000};
  std::chrono::milliseconds stale_max{600'000};
  std::chrono::milliseconds failure_kept_for{1'000};  // So that nobody asks in a loop.
};

class HostName {
 public:
  static constexpr std::size_t kAddressesMax = 8;  // More are left out.

  // What a lookup finds, in the order in which they are to be tried. Blocks.
  using Addresses = std::vector<asio::ip::address>;
  using LookUp = std::function<Result<Addresses>(const std::string& host)>;
  static Result<Addresses> ask_the_system(const std::string& host);

  // `host` may be an address, which is not looked up.
  HostName(std::string host, std::uint16_t port, LookUp look_up = ask_the_system, const HostNameOptions& options = {});

  const std::string& host() const { return host_; }

  // At least one, the one that last took a connection first.
  // Errors: unavailable (the name is not known, or not in time), timed_out (the deadline), cancelled.
  Task<Result<std::vector<Endpoint>>> endpoints(IoThread& io, SteadyTime deadline) const;
  // Somebody answers there.
  void answers_at(const Endpoint& endpoint) const;

 private:
  struct Known;
  void begin_look_up() const;

  std::string host_;
  std::uint16_t port_;
  LookUp look_up_;
  HostNameOptions options_;
  std::shared_ptr<Known> known_;  // Shared with the thread that looks it up, which nobody can end.
};

}  // namespace gbgreg::net
