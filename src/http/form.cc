#include "http/form.h"

#include <algorithm>

#include "core/utf8.h"

namespace gbgreg::http {
namespace {

std::unexpected<Error> body_too_large(std::uint64_t files_bytes_max) {
  Error error{
      .kind = Kind::too_large,
      .code = "body_too_large",
      .message = "An upload may have at most " + std::to_string(files_bytes_max) +
                 " bytes of files (limits.upload_bytes_max) and a little around them. Send less, or raise the limit.",
      .details_json = R"({"limit":"limits.upload_bytes_max","limit_bytes":)" + std::to_string(files_bytes_max) + "}"};
  return std::unexpected(std::move(error));
}

// "expires_after" of "expires_after[anchor]": for codes.
std::string word_of(std::string_view name) { return std::string(name.substr(0, name.find('['))); }

std::unexpected<Error> no_text(std::string_view name) {
  return bad_part(Kind::malformed, name, word_of(name) + "_not_utf8",
                  "\"" + std::string(name) + "\" must be valid UTF-8 without NUL.");
}

}  // namespace

std::unexpected<Error> bad_part(Kind kind, std::string_view field, std::string code, std::string message) {
  return std::unexpected(Error{.kind = kind,
                               .code = std::move(code),
                               .message = std::move(message),
                               .details_json = R"({"field":")" + std::string(field) + R"("})"});
}

Form::Form(net::Exchange& exchange, FormFiles& files, const FormBounds& bounds, std::span<const Field> fields)
    : exchange_(exchange), files_(files), bounds_(bounds), fields_(fields) {}

Task<Result<void>> Form::read() {
  const net::RequestHead& head = exchange_.head();
  const auto boundary = multipart_boundary(head.field("content-type").value_or(""));
  if (!boundary) co_return std::unexpected(boundary.error());
  const bool is_declared = head.framing == net::Framing::length;
  if (is_declared && head.content_length > bounds_.files_bytes_max + bounds_.around_bytes_max)
    co_return body_too_large(bounds_.files_bytes_max);

  MultipartParser parser(*boundary);
  std::uint64_t body_bytes = 0;
  while (true) {
    auto piece = co_await exchange_.read_body();
    if (!piece) co_return std::unexpected(std::move(piece.error()));
    if (piece->empty()) break;
    body_bytes += piece->size();
    if (body_bytes > bounds_.files_bytes_max + bounds_.around_bytes_max)
      co_return body_too_large(bounds_.files_bytes_max);

    parser.feed(*piece);
    while (true) {
      auto event = parser.next();
      if (!event) co_return std::unexpected(std::move(event.error()));
      if (*event == MultipartParser::Event::need_more) break;
      auto taken = co_await take(*event, parser);
      if (!taken) co_return taken;
    }
  }
  auto finished = parser.finish();
  co_return finished ? check_texts() : std::move(finished);
}

Task<Result<void>> Form::take(MultipartParser::Event event, const MultipartParser& parser) {
  if (event == MultipartParser::Event::part_begin) co_return co_await begin(parser.part());
  if (event == MultipartParser::Event::part_end && in_file_) {
    in_file_ = false;
    co_return co_await files_.end();
  }
  if (event != MultipartParser::Event::data) co_return Result<void>{};
  if (in_file_) co_return co_await files_.write(parser.data());
  if (in_text_) co_return add_text(parser.data());
  co_return Result<void>{};
}

Task<Result<void>> Form::begin(const PartHead& head) {
  in_file_ = in_text_ = false;
  const std::string_view part = files_.part_name();
  if (head.name != part) co_return begin_text(head);
  if (!head.filename || head.filename->empty()) {
    const std::string name(part);
    co_return bad_part(
        Kind::malformed, part, "file_without_name",
        "The part named " + name + " must be a file with a filename. With curl: -F " + name + "=@the-file.");
  }
  auto begun = co_await files_.begin(*head.filename);
  if (!begun) co_return begun;
  // Not before: the places of the files' taker bound this memory too.
  exchange_.want_large_pieces();
  in_file_ = true;
  co_return Result<void>{};
}

Result<void> Form::begin_text(const PartHead& head) {
  const auto field = std::ranges::find(fields_, head.name, &Field::name);
  if (field == fields_.end()) return {};
  if (this->field(field->name)) {
    return bad_part(Kind::malformed, field->name, "two_" + word_of(field->name) + "s",
                    "The form may have one part named " + std::string(field->name) + ".");
  }
  in_text_ = true;
  texts_.push_back({.field = &*field, .text = {}});
  return {};
}

Result<void> Form::add_text(std::string_view piece) {
  Text& last = texts_.back();
  const Field& field = *last.field;
  if (last.text.size() + piece.size() > field.bytes_max) {
    return bad_part(
        Kind::too_large, field.name, word_of(field.name) + "_too_large",
        "\"" + std::string(field.name) + "\" may have at most " + std::to_string(field.bytes_max) + " bytes.");
  }
  if (piece.contains('\0')) return no_text(field.name);
  last.text.append(piece);
  return {};
}

Result<void> Form::check_texts() const {
  for (const Text& each : texts_) {
    if (!is_valid_utf8(each.text)) return no_text(each.field->name);
  }
  return {};
}

std::optional<std::string> Form::field(std::string_view name) const {
  const auto found = std::ranges::find_if(texts_, [&](const Text& each) { return each.field->name == name; });
  return found == texts_.end() ? std::nullopt : std::optional(found->text);
}

}  // namespace gbgreg::http
