// What is seen in a prompt, told in one pass over a bounded part of its text. Pure, UTF-8 safe on any bytes.
//
// The words that count are in lexicon.cc, in the languages people ask in. What they are worth is policy.cc's business.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "llm/llm.h"

namespace gbgreg::routing {

// One thing that can be seen in a prompt.
enum class Sign : std::uint8_t {
  // Shapes of code, told by their form.
  code_fence,   // ``` around a block.
  code_inline,  // `x` in the text.
  code_lines,   // Lines that look like a program: braces, semicolons, indented definitions …
  stack_trace,  // "Traceback", "at Foo.bar(Baz.java:12)", "error: …", "exit code 1" …
  shell,        // A prompt, a pipe, a flag, a well-known command with arguments.
  file_name,    // main.cc, package.json, /etc/nginx/…
  identifier,   // snake_case, camelCase, f(), a.b.c, std::x.
  // Words.
  tech_strong,    // Words that hardly occur outside computing: python, kubectl, dataframe, regex …
  tech_weak,      // Words that also occur elsewhere: function, table, server, list …
  write_act,      // Write, draft, rewrite, translate, summarise …
  text_form,      // A story, an essay, a mail, a poem …
  explain_act,    // Explain, describe, compare, discuss, why, what if …
  reason_act,     // Solve, prove, calculate, step by step …
  numbers,        // Several numbers in running text: a word problem.
  pick_act,       // Classify, sort into, name, suggest, list: small tasks.
  greeting,       // Hello, good morning, how are you.
  thanks,         // Thanks, bye, ok, never mind.
  personal,       // Your name, do you like, tell me about yourself: talk with the assistant.
  errand,         // Set an alarm, my card, book a table: commands to an assistant.
  fact_question,  // Who, when, where, what is, how far: one fact.
  how_question,   // How do I, how can: a way of doing something.
  arithmetic,     // 3 + 4.
  // The whole.
  short_text,    // Up to a line.
  long_text,     // A page and more.
  quoted_text,   // A passage to work on: a colon and a block after it, or long quotes.
  many_steps,    // Numbered or bulleted asks, several sentences of conditions.
  no_words,      // Empty, or nothing but signs.
  talk_of_code,  // The conversation before it was about code.
  count_,
};
inline constexpr std::size_t kSigns = static_cast<std::size_t>(Sign::count_);
// "code_fence": the name that the decision shows.
std::string_view sign_name(Sign sign);

struct Features {
  std::array<float, kSigns> strength{};  // 0 (not seen) to 1 (plain to see).
  std::size_t bytes = 0;                 // Of the last user message, all of it.
  int characters = 0;                    // Of the part that was read.
  int words = 0;                         // A CJK character counts as half a word.
  int sentences = 0;
  int lines = 0;
  int images = 0;
  int messages = 0;
  int prompt_tokens = 0;  // An estimate, over the whole conversation.
  int length_asked = 0;   // "3000 words", "500 字": the length of text that was asked for, in words.
  std::optional<int> answer_tokens_max = {};

  float operator[](Sign sign) const { return strength[static_cast<std::size_t>(sign)]; }
  float& operator[](Sign sign) { return strength[static_cast<std::size_t>(sign)]; }
};

// Of a long text only so much of the beginning and of the end is read: what is asked stands at one of them.
inline constexpr std::size_t kHeadBytesRead = 1536;
inline constexpr std::size_t kTailBytesRead = 512;

// What it is read for: where a model was asked for by name only the complexity is still to be told, and the shapes of
// code and what was said before, which it does not depend on, are passed over.
enum class Reading : std::uint8_t { whole, for_complexity };

// Looks at the last user message, a little at what came before it, and at the images.
Features read_features(const llm::Request& request, Reading reading = Reading::whole);
// The same for a single prompt.
Features read_features(std::string_view prompt, int images = 0, Reading reading = Reading::whole);

}  // namespace gbgreg::routing
