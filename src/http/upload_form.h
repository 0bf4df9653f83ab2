// A form that brings one file in a part named `file`, which goes to the intake as it comes.
//
// One form belongs to one request and its task. A form whose file nobody takes leaves nothing behind.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/core.h"
#include "http/form.h"
#include "services/intake.h"

namespace gbgreg::http {

class UploadForm {
 public:
  using Field = Form::Field;

  // All outlive this; `fields` too.
  UploadForm(net::Exchange& exchange, services::Intake& intake, std::uint64_t file_bytes_max,
             std::span<const Field> fields)
      : intake_(intake),
        file_(intake, file_bytes_max),
        form_(exchange, file_, {.files_bytes_max = file_bytes_max}, fields) {}

  // Reads the whole body. Errors: those of Form::read, services::Intake::begin and services::Incoming::write; malformed
  // (two_files).
  Task<Result<void>> read() { return form_.read(); }

  // The text of a field, once the form has been read.
  std::optional<std::string> field(std::string_view name) const { return form_.field(name); }

  // Gives the file to the intake, with the name that the form has for it. Errors: malformed (file_missing), and those
  // of services::Intake::finish.
  Task<Result<storage::Upload>> store(services::FileFacts facts);

  // The file and the client's name for it, for who does something else with it. Errors: malformed (file_missing).
  struct Taken {
    std::unique_ptr<services::Incoming> file;
    std::string client_filename;
  };
  Result<Taken> take();

 private:
  class OneFile final : public FormFiles {
   public:
    OneFile(services::Intake& intake, std::uint64_t bytes_max) : intake_(intake), bytes_max_(bytes_max) {}
    std::string_view part_name() const override { return "file"; }
    Task<Result<void>> begin(std::string_view client_filename) override;
    Task<Result<void>> write(std::string_view piece) override;
    Task<Result<void>> end() override;

    std::unique_ptr<services::Incoming> file = nullptr;
    std::string client_filename = {};

   private:
    services::Intake& intake_;
    std::uint64_t bytes_max_;
  };

  services::Intake& intake_;
  OneFile file_;
  Form form_;
};

}  // namespace gbgreg::http
