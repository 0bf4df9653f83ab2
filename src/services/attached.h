// The files that a request was given, where they stand in it: so that no more of their text is kept than the model that
// answers can take, and what was left out is said. attach.h puts them in.
//
// A request and its Attached belong to one task.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "backends/backend.h"
#include "core/core.h"
#include "llm/decision.h"
#include "llm/llm.h"
#include "net/io_thread.h"

namespace gbgreg::services {

// "\nFile a.txt:\n```\n…\n```\n", with a fence that no line of the text can end.
struct Fenced {
  std::string text;
  std::size_t offset = 0;      // Where the file's own text begins in it …
  std::size_t note_bytes = 0;  // … and what stands behind it before the fence: a line's end that was missing.
};
Fenced fenced(std::string_view filename, std::string_view text);

// The text of one file within a message.
struct AttachedText {
  std::string upload_id;
  std::string path;
  std::size_t offset = 0;
  std::size_t bytes = 0;         // What is kept of it.
  std::size_t note_bytes = 0;    // What stands behind that: a line's end, and where it is cut a note that says so.
  std::uint64_t size_bytes = 0;  // All of it, with what was never read.
};

struct Attached {
  std::size_t message = 0;               // Of Request::messages.
  std::vector<AttachedText> texts = {};  // In the order of their places.
  std::vector<llm::Source> images = {};
  int dropped_tokens = 0;
  bool is_fitted = false;  // fit() has been here: what is left out by now is counted.

  std::size_t text_bytes() const;
};

// How `bytes_max` is shared out among texts of these sizes: small ones whole, and what they leave to the large ones in
// equal parts.
std::vector<std::size_t> fair_shares(const std::vector<std::uint64_t>& sizes, std::size_t bytes_max);

// Keeps the fronts of the texts, `bytes_max` of them in all by fair_shares(), cut behind a line where there is one, and
// says in each that it is cut.
void keep_bytes(Attached& attached, llm::Request& request, std::size_t bytes_max);

// Cuts the texts until the request leaves some room for an answer in the context of the backend that was chosen. The
// backend's own tokenizer counts; where it has none for us, the router's estimate does, and a fifth of the context is
// left free because of that. A request of fewer bytes than the context has tokens is not counted at all. Nothing else
// than the texts is cut: what is too long without them, the backend refuses. Adds to `attached.dropped_tokens`.
Task<void> fit(net::IoThread& io, llm::Request& request, Attached& attached, backends::Backend& backend,
               int context_tokens);

// A third less, for a backend that refused what fit() left. False when there is nothing left to cut.
bool keep_less(Attached& attached, llm::Request& request);

// What the model was given, and what not.
void tell(const Attached& attached, const llm::Request& request, llm::AnswerNotes& notes);

}  // namespace gbgreg::services
