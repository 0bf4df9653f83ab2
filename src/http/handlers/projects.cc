#include "http/handlers/projects.h"

#include <boost/asio/post.hpp>
#include <boost/json.hpp>

#include "http/file_content.h"
#include "http/form.h"
#include "http/query.h"
#include "http/upload_form.h"
#include "net/grammar.h"
#include "net/io_thread.h"

namespace gbgreg::http {
namespace {

namespace json = boost::json;

constexpr Form::Field kFields[] = {{.name = "name", .bytes_max = services::kProjectNameBytesMax},
                                   {.name = "description", .bytes_max = 16 * 1024}};
// A form of twelve thousand files has so much around them, with long paths.
constexpr std::uint64_t kAroundFilesBytesMax = 16 * 1024 * 1024;
// Answers about many files leave in pieces of this size, so that they are never held as a whole.
constexpr std::size_t kAnswerPieceBytes = 64 * 1024;
constexpr int kProjectsOfAPage = 50;

json::object to_json(const storage::Project& project) {
  json::object object{{"id", project.id}, {"name", project.name}};
  if (project.description) object["description"] = *project.description;
  object["file_count"] = project.file_count;
  object["size_bytes"] = project.size_bytes;
  object["languages"] = json::parse(project.languages_json);
  object["status"] = project.status;
  object["created_at"] = project.created_at;
  return object;
}

json::object to_json(const storage::ProjectFile& file) {
  json::object object{{"path", file.path}, {"kind", file.kind}, {"media_type", file.media_type}};
  if (file.language) object["language"] = *file.language;
  object["size_bytes"] = file.size_bytes;
  object["sha256"] = file.sha256;
  return object;
}

json::object to_json(const services::RejectedEntry& entry) {
  return {{"path", entry.path}, {"code", entry.code}, {"message", entry.message}};
}

json::object to_json(const storage::Extraction& extraction) {
  return {{"id", extraction.id},
          {"archive_upload_id", extraction.archive_upload_id},
          {"entries_total", extraction.entries_total},
          {"entries_extracted", extraction.entries_extracted},
          {"entries_rejected", extraction.entries_rejected},
          {"bytes_extracted", extraction.bytes_extracted},
          {"duration_ms", extraction.duration_ms}};
}

// Writes one long answer in pieces. Between them others on this thread have their turn: ten thousand files take some
// ten milliseconds to write down.
class LongAnswer {
 public:
  explicit LongAnswer(net::Exchange& exchange) : exchange_(exchange) {}

  void begin() { exchange_.begin_stream(200, kJson); }

  Task<Result<void>> add(std::string_view text) {
    text_.append(text);
    if (text_.size() < kAnswerPieceBytes) co_return Result<void>{};
    auto flushed = co_await flush();
    if (flushed) co_await asio::post(exchange_.io().executor(), use_task);
    co_return flushed;
  }

  // The members of an array, without its brackets.
  template <class Value>
  Task<Result<void>> add_all(const std::vector<Value>& values) {
    bool is_first = true;
    for (const Value& value : values) {
      const std::string text = (is_first ? "" : ",") + json::serialize(to_json(value));
      is_first = false;
      auto added = co_await add(text);
      if (!added) co_return added;
    }
    co_return Result<void>{};
  }

  Task<Result<void>> finish(std::string_view last) {
    text_.append(last);
    auto flushed = co_await flush();
    if (!flushed) co_return flushed;
    co_return co_await exchange_.finish();
  }

 private:
  Task<Result<void>> flush() {
    auto written = co_await exchange_.write(text_);
    text_.clear();
    co_return written;
  }

  net::Exchange& exchange_;
  std::string text_;
};

Task<Result<void>> answer_new(net::Exchange& exchange, const services::NewProject& made) {
  LongAnswer answer(exchange);
  answer.begin();
  const std::string head = "{\"project\":" + json::serialize(to_json(made.project)) + ",\"files\":[";
  auto added = co_await answer.add(head);
  if (added) added = co_await answer.add_all(made.files);
  if (added) added = co_await answer.add("],\"rejected\":[");
  if (added) added = co_await answer.add_all(made.rejected);
  if (!added) co_return added;
  const std::string tail =
      made.extraction ? "],\"extraction\":" + json::serialize(to_json(*made.extraction)) + "}" : std::string("]}");
  co_return co_await answer.finish(tail);
}

// The files of a form, into a project.
class ManyFiles final : public FormFiles {
 public:
  explicit ManyFiles(services::IncomingProject& project) : project_(project) {}
  std::string_view part_name() const override { return "files"; }
  Task<Result<void>> begin(std::string_view client_filename) override {
    has_any_ = true;
    return project_.begin_file(client_filename);
  }
  Task<Result<void>> write(std::string_view piece) override { return project_.write(piece); }
  Task<Result<void>> end() override { return project_.end_file(); }
  bool has_any() const { return has_any_; }

 private:
  services::IncomingProject& project_;
  bool has_any_ = false;
};

services::ProjectFacts facts_of(std::optional<std::string> name, std::optional<std::string> description) {
  return {.name = std::move(name), .description = std::move(description)};
}

}  // namespace

Task<Result<void>> ProjectHandlers::upload_project(Call& call) {
  const std::uint64_t bytes_max = uploads_.upload_bytes_max();
  auto incoming = projects_.begin(bytes_max);
  if (!incoming) co_return std::unexpected(std::move(incoming.error()));
  ManyFiles files(**incoming);
  const FormBounds bounds{.files_bytes_max = bytes_max, .around_bytes_max = kAroundFilesBytesMax};
  Form form(call.exchange, files, bounds, kFields);
  auto read = co_await form.read();
  if (!read) co_return read;
  if (!files.has_any()) {
    co_return bad_part(Kind::malformed, "files", "files_missing",
                       "The form must have parts named files. With curl: -F 'files=@a.cc;filename=src/a.cc'.");
  }
  auto made = co_await projects_.finish(std::move(*incoming), facts_of(form.field("name"), form.field("description")));
  if (!made) co_return std::unexpected(std::move(made.error()));
  call.target = {.id = made->project.id, .name = made->project.name};
  co_return co_await answer_new(call.exchange, *made);
}

Task<Result<void>> ProjectHandlers::upload_archive(Call& call) {
  UploadForm form(call.exchange, intake_, uploads_.upload_bytes_max(), kFields);
  auto read = co_await form.read();
  if (!read) co_return read;
  auto taken = form.take();
  if (!taken) co_return std::unexpected(std::move(taken.error()));
  services::FileFacts archive{.client_filename = std::move(taken->client_filename),
                              .description = form.field("description")};
  auto made = co_await projects_.unpack(std::move(taken->file), std::move(archive),
                                        facts_of(form.field("name"), form.field("description")));
  if (!made) co_return std::unexpected(std::move(made.error()));
  call.target = {.id = made->project.id, .name = made->project.name};
  co_return co_await answer_new(call.exchange, *made);
}

Task<Result<void>> ProjectHandlers::list(net::Exchange& exchange) {
  const std::string_view query = exchange.head().query;
  const auto limit = query_number(query, "limit", kProjectsOfAPage);
  if (!limit) co_return std::unexpected(limit.error());
  auto cursor = query_text(query, "cursor");
  if (!cursor) co_return std::unexpected(std::move(cursor.error()));
  const auto page = co_await projects_.list(*limit, std::move(*cursor));
  if (!page) co_return std::unexpected(page.error());

  json::array projects;
  projects.reserve(page->projects.size());
  for (const storage::Project& project : page->projects) projects.push_back(to_json(project));
  json::value next_cursor;
  if (page->next_cursor) next_cursor = *page->next_cursor;
  const std::string body =
      json::serialize(json::object{{"projects", std::move(projects)}, {"next_cursor", std::move(next_cursor)}});
  co_return co_await exchange.respond(200, kJson, body);
}

Task<Result<void>> ProjectHandlers::find(net::Exchange& exchange, std::string id) {
  const auto found = co_await projects_.find(std::move(id));
  if (!found) co_return std::unexpected(found.error());
  json::object answer{{"project", to_json(found->project)}};
  if (found->extraction) answer["extraction"] = to_json(*found->extraction);
  const std::string body = json::serialize(answer);
  co_return co_await exchange.respond(200, kJson, body);
}

Task<Result<void>> ProjectHandlers::files(net::Exchange& exchange, std::string id) {
  const std::string_view query = exchange.head().query;
  storage::FileQuery wanted;
  const auto limit = query_number(query, "limit", wanted.limit);
  if (!limit) co_return std::unexpected(limit.error());
  auto after = query_text(query, "after");
  if (!after) co_return std::unexpected(std::move(after.error()));
  auto folder = query_text(query, "folder");
  if (!folder) co_return std::unexpected(std::move(folder.error()));
  while (folder->ends_with('/')) folder->pop_back();
  wanted = {.limit = *limit, .after = std::move(*after), .folder = std::move(*folder)};
  const auto page = co_await projects_.files(std::move(id), std::move(wanted));
  if (!page) co_return std::unexpected(page.error());

  LongAnswer answer(exchange);
  answer.begin();
  auto added = co_await answer.add("{\"files\":[");
  if (added) added = co_await answer.add_all(page->files);
  if (!added) co_return added;
  const std::string next = page->next_after ? json::serialize(json::value(*page->next_after)) : "null";
  const std::string tail = "],\"next_after\":" + next + "}";
  co_return co_await answer.finish(tail);
}

Task<Result<void>> ProjectHandlers::file(net::Exchange& exchange, std::string id, std::string path) {
  auto opened = co_await projects_.open_file(std::move(id), std::move(path));
  if (!opened) co_return std::unexpected(std::move(opened.error()));
  co_return co_await send_file(exchange, **opened);
}

Task<Result<void>> ProjectHandlers::remove(Call& call) {
  auto removed = co_await projects_.remove(call.parameter);
  if (!removed) co_return std::unexpected(std::move(removed.error()));
  call.target.name = std::move(removed->name);
  const std::string body = json::serialize(json::object{{"deleted", true}, {"id", call.parameter}});
  co_return co_await call.exchange.respond(200, kJson, body);
}

}  // namespace gbgreg::http
