// A form that brings one file: multipart/form-data with a part named `file` and perhaps some fields of text. The file
// goes to the intake as it comes; nothing of it is held.
//
// One form belongs to one request and its task. A form that is not stored leaves nothing behind.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "http/multipart.h"
#include "net/exchange.h"
#include "services/intake.h"

namespace gbgreg::http {

// What the form around a file may add to it: heads of parts, other fields, boundaries.
inline constexpr std::uint64_t kFormBytesMax = 1024 * 1024;

class UploadForm {
 public:
  // A field of text that may be there, once. Fields of other names are passed over.
  struct Field {
    std::string_view name;
    std::size_t bytes_max;
  };

  // All outlive this; `fields` too.
  UploadForm(net::Exchange& exchange, services::Intake& intake, std::uint64_t file_bytes_max,
             std::span<const Field> fields);

  // Reads the whole body. A declared length over the limit is refused before a byte of it. Errors, each naming the part
  // at fault: unsupported_type (no form), malformed, too_large, and those of services::Intake::begin and
  // services::Incoming::write.
  Task<Result<void>> read();

  // The text of a field, once the form has been read.
  std::optional<std::string> field(std::string_view name) const;

  // Gives the file to the intake, with the name that the form has for it. Errors: malformed (file_missing), and those
  // of services::Intake::finish.
  Task<Result<storage::Upload>> store(services::FileFacts facts);

 private:
  struct Text {
    const Field* field;
    std::string text;
  };

  Task<Result<void>> take(MultipartParser::Event event, const MultipartParser& parser);
  Result<void> begin(const PartHead& head);
  Result<void> begin_file(const PartHead& head);
  Result<void> add_text(std::string_view piece);
  Result<void> check_texts() const;

  net::Exchange& exchange_;
  services::Intake& intake_;
  std::uint64_t file_bytes_max_;
  std::span<const Field> fields_;
  bool in_file_ = false;
  bool in_text_ = false;  // Of the last of texts_.
  std::vector<Text> texts_;
  std::string client_filename_;
  std::unique_ptr<services::Incoming> file_;
};

}  // namespace gbgreg::http
