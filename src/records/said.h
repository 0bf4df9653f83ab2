// What a request keeps of its words while it is under way, where they are to be kept.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gbgreg::records {

struct Said {
  static constexpr std::size_t kBytesMax = 64 * 1024;  // Of either; what goes beyond is left out.

  std::string prompt = {};
  std::string answer = {};

  void add_prompt(std::string_view text) { append(prompt, text); }
  void add_answer(std::string_view text) { append(answer, text); }
  std::size_t bytes() const { return prompt.size() + answer.size(); }

 private:
  static void append(std::string& to, std::string_view text);
};

}  // namespace gbgreg::records
