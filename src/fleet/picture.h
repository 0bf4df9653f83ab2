// What the fleet's thread shows to the others, and what they share with it. Private to the fleet.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backends/backend.h"
#include "fleet/report_box.h"
#include "fleet/server_view.h"
#include "fleet/slot_gate.h"
#include "llm/llm.h"

namespace gbgreg::fleet {

// What the leases on one worker share with it, over all of its lives. Made once and never changed.
struct Seat {
  std::string id;
  std::shared_ptr<SlotGate> gate;
  std::shared_ptr<ReportBox> reports;
};

struct Picture {
  // One worker in its present life.
  struct Place {
    std::shared_ptr<const Seat> seat;
    std::uint64_t generation = 0;
    std::shared_ptr<backends::Backend> backend;  // Null when there is none to speak to.
  };
  std::vector<llm::BackendView> views;  // With the free slots of the scheduler; those of the gates come on top.
  bool has_choice = false;              // Some role has more than one backend.
  std::vector<Place> places;            // One for each view.
  std::vector<ServerView> servers;      // Each outside server once.
};

}  // namespace gbgreg::fleet
