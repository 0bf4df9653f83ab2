// Puts the text of uploaded files into a request where it names them: each under its name, fenced, so that a model can
// tell what was uploaded from what was said.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/core.h"
#include "llm/llm.h"
#include "services/intake.h"

namespace gbgreg::services {

struct Attachment {
  std::string upload_id;
  std::size_t message = 0;  // Of Request::messages.
  std::size_t offset = 0;   // In that message's text.
  std::string field;        // Where it was named, for errors.
};

// `attachments` in the order of their places. `reserve` is asked for each file's memory before it is taken.
// Errors: malformed, naming the field (file_not_found; file_not_text: no UTF-8, or with NUL); too_large when the files
// together have more than `bytes_max`; those of services::Intake::open and of `reserve`.
using ReserveBytes = std::function<Result<void>(std::uint64_t bytes)>;
Task<Result<void>> attach(Intake& intake, std::vector<Attachment> attachments, std::uint64_t bytes_max,
                          ReserveBytes reserve, llm::Request& request);

// "File a.txt:\n```\n…\n```\n", with a fence that no line of the text can end. Pure.
std::string fenced(std::string_view filename, std::string_view text);

}  // namespace gbgreg::services
