// A form with files in it: multipart/form-data with one or more parts of files and perhaps some fields of text. What
// the files are for is their taker's business; they go to it as they come, and nothing of them is held.
//
// One form belongs to one request and its task.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/core.h"
#include "http/multipart.h"
#include "net/exchange.h"

namespace gbgreg::http {

// What a form around its files may add to them: heads of parts, other fields, boundaries.
inline constexpr std::uint64_t kFormBytesMax = 1024 * 1024;

// Where the files of a form go. Any error ends the form.
class FormFiles {
 public:
  virtual ~FormFiles() = default;
  // The name of the parts that are files: one of our own words.
  virtual std::string_view part_name() const = 0;
  // For each of them: begin, any number of writes, end. The name is the client's bytes, and not empty.
  virtual Task<Result<void>> begin(std::string_view client_filename) = 0;
  virtual Task<Result<void>> write(std::string_view piece) = 0;
  virtual Task<Result<void>> end() = 0;
};

// How large a form may be: its files, and what is around them.
struct FormBounds {
  std::uint64_t files_bytes_max = 0;
  std::uint64_t around_bytes_max = kFormBytesMax;
};

class Form {
 public:
  // A field of text that may be there, once. Fields of other names are passed over.
  struct Field {
    std::string_view name;
    std::size_t bytes_max;
  };

  // All outlive this; `fields` too.
  Form(net::Exchange& exchange, FormFiles& files, const FormBounds& bounds, std::span<const Field> fields);

  // Reads the whole body. A declared length over the limit is refused before a byte of it. Errors, each naming the part
  // at fault: unsupported_type (no form), malformed, too_large, and those of the files' taker.
  Task<Result<void>> read();

  // The text of a field, once the form has been read.
  std::optional<std::string> field(std::string_view name) const;

 private:
  struct Text {
    const Field* field;
    std::string text;
  };

  Task<Result<void>> take(MultipartParser::Event event, const MultipartParser& parser);
  Task<Result<void>> begin(const PartHead& head);
  Result<void> begin_text(const PartHead& head);
  Result<void> add_text(std::string_view piece);
  Result<void> check_texts() const;

  net::Exchange& exchange_;
  FormFiles& files_;
  FormBounds bounds_;
  std::span<const Field> fields_;
  bool in_file_ = false;
  bool in_text_ = false;  // Of the last of texts_.
  std::vector<Text> texts_;
};

// An error of one part of a form. `field` is one of our own names.
std::unexpected<Error> bad_part(Kind kind, std::string_view field, std::string code, std::string message);

}  // namespace gbgreg::http
