#include "http/handlers/files.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include "http/upload_form.h"
#include "net/grammar.h"
#include "protocols/openai_files.h"

namespace gbgreg::http {
namespace {

namespace openai_files = protocols::openai_files;

constexpr int kLimitMax = 10'000;  // As OpenAI has it.
constexpr std::size_t kFieldBytesMax = 256;
constexpr std::string_view kExpiry = "expires_after";
constexpr UploadForm::Field kFormFields[] = {{.name = "purpose", .bytes_max = kFieldBytesMax},
                                             {.name = "expires_after", .bytes_max = kFieldBytesMax},
                                             {.name = "expires_after[anchor]", .bytes_max = kFieldBytesMax},
                                             {.name = "expires_after[seconds]", .bytes_max = kFieldBytesMax}};

std::unexpected<Error> wrong(std::string_view field, std::string sentence) {
  return std::unexpected(Error{.kind = Kind::malformed,
                               .code = "invalid_field",
                               .message = std::move(sentence),
                               .details_json = R"({"field":")" + std::string(field) + R"("})"});
}

Error file_not_found() {
  return {.kind = Kind::not_found,
          .code = "file_not_found",
          .message = "No file has this id. GET /v1/files lists those that exist."};
}

// What went wrong with an upload, as someone may read it who knows of files only.
std::unexpected<Error> of_a_file(Error error) {
  if (error.kind == Kind::not_found) error = file_not_found();
  return std::unexpected(std::move(error));
}

Result<std::string> upload_id(const Call& call) {
  auto id = openai_files::upload_id(call.parameter);
  if (!id) return std::unexpected(file_not_found());
  return std::move(*id);
}

openai_files::File file_of(storage::Upload upload) {
  return {.upload_id = std::move(upload.id),
          .filename = std::move(upload.filename),
          .purpose = std::move(upload.purpose),
          .size_bytes = upload.size_bytes,
          .created = parse_rfc3339(upload.created_at).value_or(WallTime{})};
}

Result<int> parse_limit(std::string_view text) {
  int limit = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (error != std::errc{} || end != text.data() + text.size() || limit < 1 || limit > kLimitMax) {
    return wrong("limit", "\"limit\" must be a whole number from 1 to " + std::to_string(kLimitMax) + ".");
  }
  return limit;
}

Result<storage::UploadQuery> parse_query(std::string_view query, int page_max) {
  storage::UploadQuery wanted{.limit = page_max};
  std::string limit, order, after;
  struct Text {
    std::string_view name;
    std::string& value;
  };
  for (const Text& text :
       {Text{"limit", limit}, Text{"order", order}, Text{"after", after}, Text{"purpose", wanted.purpose}}) {
    auto value = net::query_parameter(query, text.name);
    if (!value) return std::unexpected(std::move(value.error()));
    text.value = value->value_or("");
  }
  if (!limit.empty()) {
    const auto number = parse_limit(limit);
    if (!number) return std::unexpected(number.error());
    wanted.limit = std::min(*number, page_max);
  }
  if (order == "asc") {
    wanted.order = storage::UploadOrder::oldest_first;
  } else if (!order.empty() && order != "desc") {
    return wrong("order", "\"order\" must be \"asc\" or \"desc\".");
  }
  if (!after.empty()) {
    auto id = openai_files::upload_id(after);
    if (!id) return wrong("after", "\"after\" must be the id of the last file that you have.");
    wanted.after = std::move(*id);
  }
  if (!wanted.purpose.empty() && !openai_files::is_listed_purpose(wanted.purpose)) {
    return wrong("purpose", "\"purpose\" must be one that files have, such as \"user_data\" or \"batch\".");
  }
  return wanted;
}

Result<void> check_fields(const UploadForm& form) {
  const auto purpose = form.field("purpose");
  if (!purpose || !openai_files::is_purpose(*purpose)) {
    return wrong("purpose",
                 "The form must have a part named purpose that says \"assistants\", \"batch\", \"evals\", "
                 "\"fine-tune\", \"user_data\" or \"vision\".");
  }
  for (const UploadForm::Field& field : kFormFields) {
    if (field.name.starts_with(kExpiry) && form.field(field.name)) {
      return wrong(kExpiry,
                   "Files do not expire here: leave \"expires_after\" out, and delete the file when it is done.");
    }
  }
  return {};
}

}  // namespace

Task<Result<void>> FileHandlers::create(Call& call) {
  UploadForm form(call.exchange, intake_, uploads_.upload_bytes_max(), kFormFields);
  auto read = co_await form.read();
  if (!read) co_return read;
  if (auto checked = check_fields(form); !checked) co_return checked;
  services::FileFacts facts{.client_filename = {}, .purpose = form.field("purpose")};
  auto upload = co_await form.store(std::move(facts));
  if (!upload) co_return std::unexpected(std::move(upload.error()));
  call.target = {.id = upload->id, .name = upload->filename};
  const std::string body = openai_files::write_file(file_of(std::move(*upload)));
  co_return co_await call.exchange.respond(200, kJson, body);
}

Task<Result<void>> FileHandlers::list(Call& call) {
  auto query = parse_query(call.exchange.head().query, intake_.list_limit_max());
  if (!query) co_return std::unexpected(std::move(query.error()));
  auto page = co_await intake_.list(std::move(*query));
  if (!page) co_return std::unexpected(std::move(page.error()));
  std::vector<openai_files::File> files;
  for (storage::Upload& upload : page->uploads) files.push_back(file_of(std::move(upload)));
  const std::string body = openai_files::write_files(files, page->next_cursor.has_value());
  co_return co_await call.exchange.respond(200, kJson, body);
}

Task<Result<void>> FileHandlers::find(Call& call) {
  auto id = upload_id(call);
  if (!id) co_return std::unexpected(std::move(id.error()));
  auto upload = co_await intake_.find(std::move(*id));
  if (!upload) co_return of_a_file(std::move(upload.error()));
  const std::string body = openai_files::write_file(file_of(std::move(*upload)));
  co_return co_await call.exchange.respond(200, kJson, body);
}

Task<Result<void>> FileHandlers::content(Call& call) {
  auto id = upload_id(call);
  if (!id) co_return std::unexpected(std::move(id.error()));
  auto sent = co_await uploads_.content(call.exchange, std::move(*id));
  if (!sent) co_return of_a_file(std::move(sent.error()));
  co_return sent;
}

Task<Result<void>> FileHandlers::remove(Call& call) {
  auto id = upload_id(call);
  if (!id) co_return std::unexpected(std::move(id.error()));
  call.target.id = *id;
  auto removed = co_await intake_.remove(*id);
  if (!removed) co_return of_a_file(std::move(removed.error()));
  call.target.name = std::move(removed->filename);
  const std::string body = openai_files::write_deleted(*id);
  co_return co_await call.exchange.respond(200, kJson, body);
}

}  // namespace gbgreg::http
