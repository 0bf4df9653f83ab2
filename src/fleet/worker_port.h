// The TCP port that a worker has where its role names one.
#pragma once

namespace gbgreg::fleet {

// Whether somebody listens at this port of the loopback address, which takes kPortPatience at most. Only a look: what
// is free now may be taken by the time the worker is there, and then the worker says so itself.
bool is_port_taken(int port);

}  // namespace gbgreg::fleet
