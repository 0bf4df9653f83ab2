#include "http/upload_form.h"

namespace gbgreg::http {

Task<Result<void>> UploadForm::OneFile::begin(std::string_view name) {
  if (file) {
    co_return bad_part(Kind::malformed, "file", "two_files",
                       "This route takes one file. Send each in a request of its own.");
  }
  auto begun = intake_.begin(bytes_max_);
  if (!begun) co_return std::unexpected(std::move(begun.error()));
  file = std::move(*begun);
  client_filename = name;
  co_return Result<void>{};
}

Task<Result<void>> UploadForm::OneFile::write(std::string_view piece) { return file->write(piece); }

Task<Result<void>> UploadForm::OneFile::end() { co_return Result<void>{}; }

Result<UploadForm::Taken> UploadForm::take() {
  if (!file_.file) {
    return bad_part(Kind::malformed, "file", "file_missing",
                    "The form must have a part named file. With curl: -F file=@the-file.");
  }
  return Taken{.file = std::move(file_.file), .client_filename = std::move(file_.client_filename)};
}

Task<Result<storage::Upload>> UploadForm::store(services::FileFacts facts) {
  auto taken = take();
  if (!taken) co_return std::unexpected(std::move(taken.error()));
  facts.client_filename = std::move(taken->client_filename);
  co_return co_await intake_.finish(std::move(taken->file), std::move(facts));
}

}  // namespace gbgreg::http
