#include "services/attach.h"

#include <algorithm>
#include <ranges>

#include "core/utf8.h"

namespace gbgreg::services {
namespace {

std::unexpected<Error> wrong(const Attachment& attachment, std::string code, std::string_view sentence) {
  // A field's path has only our own names and numbers in it.
  return std::unexpected(Error{.kind = Kind::malformed,
                               .code = std::move(code),
                               .message = "\"" + attachment.field + "\" " + std::string(sentence),
                               .details_json = R"({"field":")" + attachment.field + R"("})"});
}

Task<Result<std::string>> read_all(Outgoing& file) {
  std::string bytes;
  bytes.reserve(file.size_bytes());
  while (bytes.size() < file.size_bytes()) {
    auto piece = co_await file.read(bytes.size(), file.size_bytes() - bytes.size());
    if (!piece) co_return std::unexpected(std::move(piece.error()));
    if (piece->empty()) co_return fail(Kind::internal, "bytes_missing", "The file ended early.", file.file().sha256);
    bytes.append(*piece);
  }
  co_return bytes;
}

}  // namespace

std::string fenced(std::string_view filename, std::string_view text) {
  std::size_t longest = 2, run = 0;
  for (const char c : text) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  const std::string fence(longest + 1, '`');
  std::string out = "\nFile ";
  out.reserve(text.size() + filename.size() + 2 * fence.size() + 16);
  out.append(filename).append(":\n").append(fence).append("\n").append(text);
  if (!text.ends_with('\n')) out.append("\n");
  return out.append(fence).append("\n");
}

Task<Result<void>> attach(Intake& intake, std::vector<Attachment> attachments, std::uint64_t bytes_max,
                          ReserveBytes reserve, llm::Request& request) {
  // From the last to the first, so that the places of those before stay right.
  std::uint64_t bytes = 0;
  for (const Attachment& attachment : std::views::reverse(attachments)) {
    auto file = co_await intake.open(attachment.upload_id);
    if (!file && file.error().kind == Kind::not_found) {
      co_return wrong(attachment, "file_not_found", "names no file. GET /v1/files lists those that exist.");
    }
    if (!file) co_return std::unexpected(std::move(file.error()));
    bytes += (*file)->size_bytes();
    if (bytes > bytes_max) {
      co_return fail(Kind::too_large, "text_too_large",
                     "The files that the request names are larger than the limit of " + std::to_string(bytes_max) +
                         " bytes of text.");
    }
    // Once as it is read and once in its message.
    if (auto reserved = reserve(2 * (*file)->size_bytes()); !reserved) co_return reserved;
    auto text = co_await read_all(**file);
    if (!text) co_return std::unexpected(std::move(text.error()));
    if (!is_valid_utf8(*text) || text->contains('\0')) {
      co_return wrong(attachment, "file_not_text",
                      "must name a file of text: put what matters into the input as text.");
    }
    request.messages.at(attachment.message).text.insert(attachment.offset, fenced((*file)->file().filename, *text));
  }
  co_return Result<void>{};
}

}  // namespace gbgreg::services
