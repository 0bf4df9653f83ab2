// Every question that the routes of analytics ask of a database.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "gateway.h"

namespace gbgreg::bench {

struct Question {
  std::string name;
  // How many rows, or sums, came back.
  std::function<std::size_t(Gateway&)> ask;
};

// Of records that begin at `from` and end at `to`.
std::vector<Question> all_questions(WallTime from, WallTime to);

}  // namespace gbgreg::bench
