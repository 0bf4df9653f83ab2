#include "services/attach.h"

#include <algorithm>
#include <ranges>

#include "intake/encoding.h"
#include "protocols/base64.h"
#include "protocols/request_fields.h"

namespace gbgreg::services {
namespace {

std::unexpected<Error> wrong(const Attachment& attachment, std::string code, std::string_view sentence) {
  // A field's path has only our own names and numbers in it.
  return std::unexpected(Error{.kind = Kind::malformed,
                               .code = std::move(code),
                               .message = "\"" + attachment.field + "\" " + std::string(sentence),
                               .details_json = R"({"field":")" + attachment.field + R"("})"});
}

// The first `bytes` of a file.
Task<Result<std::string>> read_front(Outgoing& file, std::uint64_t bytes) {
  std::string front;
  front.reserve(bytes);
  while (front.size() < bytes) {
    auto piece = co_await file.read(front.size(), bytes - front.size());
    if (!piece) co_return std::unexpected(std::move(piece.error()));
    if (piece->empty()) co_return fail(Kind::internal, "bytes_missing", "The file ended early.", file.file().sha256);
    front.append(*piece);
  }
  co_return front;
}

bool is_kind_of_text(std::string_view kind) { return kind == "text" || kind == "code"; }

std::unexpected<Error> about(const storage::Upload& upload, Kind kind, std::string code, std::string_view sentence) {
  return std::unexpected(Error{.kind = kind,
                               .code = std::move(code),
                               .message = "The upload \"" + upload.filename + "\" " + std::string(sentence),
                               .details_json = R"({"upload_id":")" + upload.id + R"("})"});
}

std::unexpected<Error> not_usable(const storage::Upload& upload) {
  if (upload.kind == "archive") {
    return about(upload, Kind::refused, "upload_not_usable",
                 "is an archive, which a model cannot read: upload the files in it one by one.");
  }
  return about(
      upload, Kind::refused, "upload_not_usable",
      "is neither text nor an image that a model can be given (PNG, JPEG, WebP, GIF, BMP): upload what matters "
      "as text, or put it into the prompt.");
}

// An upload as it is to be put in: its row, how much of it is read, and what that came to.
struct Piece {
  storage::Upload upload;
  bool is_image = false;
  std::uint64_t bytes = 0;
  std::string content = {};  // Text, or base64.
  std::string_view media_type = {};
};

Task<Result<std::vector<Piece>>> look_up(Intake& intake, const std::vector<std::string>& upload_ids) {
  std::vector<Piece> pieces;
  pieces.reserve(upload_ids.size());
  for (const std::string& id : upload_ids) {
    auto upload = co_await intake.find(id);
    if (!upload) {
      if (upload.error().kind == Kind::not_found) upload.error().details_json = R"({"upload_id":")" + id + R"("})";
      co_return std::unexpected(std::move(upload.error()));
    }
    if (upload->kind == "archive") co_return not_usable(*upload);
    Piece piece{.upload = std::move(*upload)};
    piece.is_image = piece.upload.kind == "image";
    piece.bytes = piece.upload.size_bytes;
    pieces.push_back(std::move(piece));
  }
  co_return pieces;
}

// What of each text is read, so that all together stay within the bound.
void share_out(std::vector<Piece>& pieces, std::uint64_t text_bytes_max) {
  std::vector<std::uint64_t> sizes;
  sizes.reserve(pieces.size());
  for (const Piece& piece : pieces) sizes.push_back(piece.is_image ? 0 : piece.bytes);
  const auto shares = fair_shares(sizes, text_bytes_max);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (!pieces[i].is_image) pieces[i].bytes = shares[i];
  }
}

Result<void> check_images(const std::vector<Piece>& pieces, const UploadBounds& bounds, const llm::Request& request) {
  std::size_t images = 0;
  for (const auto& message : request.messages) images += message.images.size();
  for (const Piece& piece : pieces) {
    if (!piece.is_image) continue;
    if (++images > bounds.images_max) {
      return about(piece.upload, Kind::too_large, "too_many_images",
                   "is one image more than the limit of " + std::to_string(bounds.images_max) + " in a request.");
    }
    if (piece.bytes > bounds.image_bytes_max) {
      return about(piece.upload, Kind::too_large, "image_too_large",
                   "is larger than the limit of " + std::to_string(bounds.image_bytes_max) + " bytes an image.");
    }
  }
  return {};
}

Task<Result<void>> read(Intake& intake, Piece& piece) {
  auto file = co_await intake.open(piece.upload.id);
  if (!file) co_return std::unexpected(std::move(file.error()));
  auto bytes = co_await read_front(**file, piece.bytes);
  if (!bytes) co_return std::unexpected(std::move(bytes.error()));
  if (piece.is_image) {
    piece.media_type = protocols::sniff_image(*bytes);
    if (piece.media_type.empty()) co_return not_usable(piece.upload);
    protocols::append_base64(piece.content, *bytes);
    co_return Result<void>{};
  }
  const auto extent = piece.bytes < piece.upload.size_bytes ? intake::Extent::front : intake::Extent::whole;
  auto text = is_kind_of_text(piece.upload.kind) ? intake::to_utf8(*bytes, extent) : intake::as_utf8(*bytes, extent);
  if (!text) co_return not_usable(piece.upload);
  piece.content = std::move(*text);
  co_return Result<void>{};
}

// The message of the user's that comes last, which is the question; one is made where there is none.
std::size_t message_for(llm::Request& request) {
  const auto last = std::find_if(request.messages.rbegin(), request.messages.rend(),
                                 [](const auto& message) { return message.speaker == llm::Speaker::user; });
  if (last != request.messages.rend()) return static_cast<std::size_t>(request.messages.rend() - last) - 1;
  request.messages.push_back({.speaker = llm::Speaker::user, .text = {}});
  return request.messages.size() - 1;
}

void put(Piece piece, std::string& texts, Attached& attached, llm::Message& message) {
  if (piece.is_image) {
    message.images.push_back({.base64 = std::move(piece.content), .media_type = std::string(piece.media_type)});
    attached.images.push_back({.upload_id = std::move(piece.upload.id), .path = std::move(piece.upload.filename)});
    return;
  }
  const Fenced file = fenced(piece.upload.filename, piece.content);
  attached.texts.push_back({.upload_id = std::move(piece.upload.id),
                            .path = std::move(piece.upload.filename),
                            .offset = texts.size() + file.offset,
                            .bytes = piece.content.size(),
                            .note_bytes = file.note_bytes,
                            .size_bytes = piece.content.size() + (piece.upload.size_bytes - piece.bytes)});
  texts.append(file.text);
}

}  // namespace

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
    const auto read = co_await read_front(**file, (*file)->size_bytes());
    if (!read) co_return std::unexpected(read.error());
    const auto text = is_kind_of_text((*file)->file().kind) ? intake::to_utf8(*read) : intake::as_utf8(*read);
    if (!text) {
      co_return wrong(attachment, "file_not_text",
                      "must name a file of text: put what matters into the input as text.");
    }
    request.messages.at(attachment.message)
        .text.insert(attachment.offset, fenced((*file)->file().filename, *text).text);
  }
  co_return Result<void>{};
}

Task<Result<Attached>> attach_uploads(Intake& intake, std::vector<std::string> upload_ids, UploadBounds bounds,
                                      ReserveBytes reserve, llm::Request& request) {
  auto pieces = co_await look_up(intake, upload_ids);
  if (!pieces) co_return std::unexpected(std::move(pieces.error()));
  if (auto checked = check_images(*pieces, bounds, request); !checked) co_return std::unexpected(checked.error());
  share_out(*pieces, bounds.text_bytes_max);
  for (Piece& piece : *pieces) {
    // As it is read, as it becomes UTF-8 or base64, and in its message.
    if (auto reserved = reserve(3 * piece.bytes); !reserved) co_return std::unexpected(reserved.error());
    if (auto done = co_await read(intake, piece); !done) co_return std::unexpected(std::move(done.error()));
  }

  Attached attached{.message = message_for(request)};
  llm::Message& message = request.messages[attached.message];
  std::string texts;
  bool is_whole = true;
  for (Piece& piece : *pieces) {
    is_whole = is_whole && piece.bytes == piece.upload.size_bytes;
    put(std::move(piece), texts, attached, message);
  }
  if (!texts.empty()) message.text.insert(0, texts.append("\n"));
  if (!is_whole) keep_bytes(attached, request, attached.text_bytes());
  co_return attached;
}

}  // namespace gbgreg::services
