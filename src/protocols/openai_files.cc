#include "protocols/openai_files.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "protocols/json_writer.h"

namespace gbgreg::protocols::openai_files {
namespace {

constexpr std::string_view kPrefix = "file-";
constexpr std::array<std::string_view, 6> kPurposes{"assistants", "batch", "evals", "fine-tune", "user_data", "vision"};
constexpr std::array<std::string_view, 3> kTheirPurposes{"assistants_output", "batch_output", "fine-tune-results"};

bool is_one_of(std::string_view purpose, auto& purposes) {
  return std::ranges::find(purposes, purpose) != purposes.end();
}

void write_object(JsonWriter& json, const File& file) {
  json.open_object();
  json.key("id").text(file_id(file.upload_id));
  json.key("object").text("file");
  json.key("bytes").number(static_cast<std::int64_t>(file.size_bytes));
  json.key("created_at")
      .number(std::chrono::duration_cast<std::chrono::seconds>(file.created.time_since_epoch()).count());
  json.key("expires_at").null();
  json.key("filename").text(file.filename);
  json.key("purpose").text(file.purpose);
  json.key("status").text("processed");
  json.key("status_details").null();
  json.close_object();
}

}  // namespace

std::string file_id(std::string_view upload_id) { return std::string(kPrefix).append(upload_id); }

std::optional<std::string> upload_id(std::string_view file_id) {
  if (!file_id.starts_with(kPrefix) || !is_uuid(file_id.substr(kPrefix.size()))) return std::nullopt;
  return std::string(file_id.substr(kPrefix.size()));
}

bool is_purpose(std::string_view purpose) { return is_one_of(purpose, kPurposes); }

bool is_listed_purpose(std::string_view purpose) { return is_purpose(purpose) || is_one_of(purpose, kTheirPurposes); }

std::string write_file(const File& file) {
  std::string out;
  JsonWriter json(out);
  write_object(json, file);
  return out;
}

std::string write_files(std::span<const File> files, bool has_more) {
  std::string out;
  JsonWriter json(out);
  const auto id_or_null = [&](std::string_view key, bool is_first) {
    json.key(key);
    if (files.empty()) return json.null();
    json.text(file_id(is_first ? files.front().upload_id : files.back().upload_id));
  };
  json.open_object();
  json.key("object").text("list");
  json.key("data").open_array();
  for (const File& file : files) write_object(json, file);
  json.close_array();
  id_or_null("first_id", true);
  id_or_null("last_id", false);
  json.key("has_more").boolean(has_more);
  json.close_object();
  return out;
}

std::string write_deleted(std::string_view upload_id) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("id").text(file_id(upload_id));
  json.key("object").text("file");
  json.key("deleted").boolean(true);
  json.close_object();
  return out;
}

}  // namespace gbgreg::protocols::openai_files
