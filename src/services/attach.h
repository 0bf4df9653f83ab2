// Puts uploaded files into a request, where it names them or before what the user says last: texts each under its name,
// fenced, so that a model can tell what was uploaded from what was said, and images beside the text. Text in another
// encoding than UTF-8 is put in as UTF-8 (intake/encoding.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/core.h"
#include "llm/llm.h"
#include "services/attached.h"
#include "services/intake.h"

namespace gbgreg::services {

struct Attachment {
  std::string upload_id;
  std::size_t message = 0;  // Of Request::messages.
  std::size_t offset = 0;   // In that message's text.
  std::string field;        // Where it was named, for errors.
};

// `attachments` in the order of their places. `reserve` is asked for each file's memory before it is taken.
// Errors: malformed, naming the field (file_not_found; file_not_text); too_large when the files
// together have more than `bytes_max`; those of services::Intake::open and of `reserve`.
using ReserveBytes = std::function<Result<void>(std::uint64_t bytes)>;
Task<Result<void>> attach(Intake& intake, std::vector<Attachment> attachments, std::uint64_t bytes_max,
                          ReserveBytes reserve, llm::Request& request);

struct UploadBounds {
  std::uint64_t text_bytes_max = 0;  // Of all texts together; of more, fronts are read.
  std::size_t images_max = 0;        // With those that the request has already.
  std::uint64_t image_bytes_max = 0;
};

// Uploads before what the user says last, in their order: those of kind text and code, those of kind document and data
// that are UTF-8, and images that are PNG, JPEG, WebP, GIF or BMP. What comes back belongs to the request, for fit().
// Errors: not_found (upload_not_found); refused (upload_not_usable: nothing that a model can be given); too_large
// (too_many_images, image_too_large); each with the upload's id in its details. And as attach().
Task<Result<Attached>> attach_uploads(Intake& intake, std::vector<std::string> upload_ids, UploadBounds bounds,
                                      ReserveBytes reserve, llm::Request& request);

}  // namespace gbgreg::services
