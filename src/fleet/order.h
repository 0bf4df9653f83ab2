// What somebody who runs the fleet has a worker do, beyond what its requests have it do.
#pragma once

#include <cstdint>

namespace gbgreg::fleet {

enum class Order : std::uint8_t {
  // To be in memory, as if somebody waited for it: who has nothing to do makes room. What failed before counts no more.
  load,
  // To leave memory when what it answers is answered; the next request wakes it, and so do those that wait.
  unload,
  // As unload as soon as it has nothing to do: those that wait go first.
  unload_when_idle,
  // To begin a new life, after what it answers is answered. One that is not in memory is loaded.
  restart,
  // There may be other files of its model now. One that has failed tries again; all else goes on as it is.
  look_again,
};

}  // namespace gbgreg::fleet
