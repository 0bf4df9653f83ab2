#include "protocols/openai.h"

#include "protocols/json_reader.h"
#include "protocols/json_writer.h"

namespace gbgreg::protocols::openai {
namespace {

std::string_view error_type(Kind kind) {
  switch (kind) {
    case Kind::unauthorized:
      return "authentication_error";
    case Kind::forbidden:
      return "permission_error";
    case Kind::busy:
      return "rate_limit_error";
    case Kind::internal:
    case Kind::backend_failed:
    case Kind::unavailable:
    case Kind::timed_out:
    case Kind::unsupported:
    case Kind::unknown_version:
      return "server_error";
    default:
      return "invalid_request_error";
  }
}

// Our `details` name the field at fault as OpenAI's `param` does.
std::string field_at_fault(const Error& error) {
  std::string field;
  auto read_field = [&](std::string_view name, JsonValue& value) -> Result<void> {
    if (name == "field" && value.type() == JsonType::text) return value.read_text(field);
    return {};
  };
  if (error.details_json.empty()) return field;
  const auto read = read_json_object(error.details_json, {.what = "details"}, read_field);
  return read ? field : std::string{};
}

void write_model_object(JsonWriter& json, const Model& model, WallTime created) {
  json.open_object();
  json.key("id").text(model.id);
  json.key("object").text("model");
  json.key("created").number(std::chrono::duration_cast<std::chrono::seconds>(created.time_since_epoch()).count());
  json.key("owned_by").text(model.owned_by);
  json.close_object();
}

}  // namespace

SentOn engine_body(std::string_view model, const SentOn& fields, Takes server) {
  constexpr std::size_t kExtensionBytes = 48;
  SentOn body;
  body.begin.reserve(fields.begin.size() + model.size() + 32 + fields.extensions.size() * kExtensionBytes);
  body.begin.append(R"({"model":)");
  append_json_text(body.begin, model);
  for (const Extension& extension : fields.extensions) {
    const std::string_view name = name_at(server, extension.name);
    if (!name.empty()) body.begin.append(",\"").append(name).append("\":").append(extension.json);
  }
  if (!fields.begin.empty()) body.begin.append(",").append(fields.begin);
  body.large = fields.large;
  body.end = fields.end;
  (body.large.empty() ? body.begin : body.end).append("}");
  return body;
}

std::string write_error(const Error& error) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("error").open_object();
  json.key("message").text(error.message);
  json.key("type").text(error_type(error.kind));
  const std::string field = field_at_fault(error);
  json.key("param");
  if (field.empty()) {
    json.null();
  } else {
    json.text(field);
  }
  json.key("code").text(error.code.empty() ? kind_name(error.kind) : std::string_view(error.code));
  if (!error.details_json.empty()) json.key("details").raw(error.details_json);
  json.close_object();
  json.close_object();
  return out;
}

std::string write_models(const std::vector<Model>& models, WallTime created) {
  std::string out;
  JsonWriter json(out);
  json.open_object();
  json.key("object").text("list");
  json.key("data").open_array();
  for (const Model& model : models) write_model_object(json, model, created);
  json.close_array();
  json.close_object();
  return out;
}

std::string write_model(const Model& model, WallTime created) {
  std::string out;
  JsonWriter json(out);
  write_model_object(json, model, created);
  return out;
}

}  // namespace gbgreg::protocols::openai
