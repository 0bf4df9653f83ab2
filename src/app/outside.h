// From the configuration of outside servers to what speaks to their models.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/core.h"
#include "fleet/fleet.h"
#include "net/address.h"

namespace gbgreg::app {

// All models of a server share its address: what is known of its name, and the sessions of TLS with it. Any thread;
// outlives the fleet.
class OutsideBackends {
 public:
  // The servers that there are from now on; those whose address is the same go on with what is known of it.
  // Errors: unavailable, which names the server and what is wrong with its `ca_file`; then all is as it was.
  Result<void> adopt(const std::vector<fleet::ServerOptions>& servers);
  // Makes backends for the models of servers that were adopted.
  fleet::OutsideFactory factory() const;

 private:
  struct Known {
    net::ServerUrl url;
    std::filesystem::path ca_file;
    net::Address address;
  };
  mutable std::mutex mutex_;
  std::map<std::string, Known> known_;  // By name. Guarded by mutex_.
};

}  // namespace gbgreg::app
