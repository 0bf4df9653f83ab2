// For tests: the table of routes, without the handlers behind it.
#pragma once

#include <cstddef>
#include <vector>

#include "http/routes.h"

namespace gbgreg::http {

// Stands for a handler: the lines of the table only hold on to it, and nothing here calls them.
struct Nobody {
  template <class Handlers>
  operator Handlers&() const {
    return *reinterpret_cast<Handlers*>(memory);
  }
  alignas(std::max_align_t) static inline std::byte memory[64];
};

inline std::vector<Route> all_routes() {
  const Nobody nobody;
  return make_routes({nobody, nobody, nobody, nobody, nobody, nobody, nobody, nobody, nobody, nobody, nobody, nobody,
                      nobody, nobody, nobody, nobody, nobody, nobody});
}

}  // namespace gbgreg::http
