// The forms of Unicode in which two ways of writing the same text become one. Pure, any thread.
#pragma once

#include <string>
#include <string_view>

namespace gbgreg::intake {

// Valid UTF-8 in composed form (NFC): "e" and an accent become the one letter that most systems write. As it is where
// that cannot be had.
std::string composed(std::string_view text);

// The same without the difference of case, for comparing as a system does that ignores both.
std::string folded(std::string_view text);

}  // namespace gbgreg::intake
