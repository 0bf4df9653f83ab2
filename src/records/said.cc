#include "records/said.h"

#include "core/utf8.h"

namespace gbgreg::records {

void Said::append(std::string& to, std::string_view text) {
  if (to.size() < kBytesMax) to.append(cut_utf8(text, kBytesMax - to.size()));
}

}  // namespace gbgreg::records
