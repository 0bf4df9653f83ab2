#include "http/upload_json.h"

#include <optional>
#include <string>
#include <string_view>

namespace gbgreg::http {

namespace json = boost::json;

namespace {

void add_if_known(json::object& object, std::string_view name, const std::optional<std::string>& value) {
  if (value) object[name] = *value;
}

}  // namespace

json::object upload_json(const storage::Upload& upload) {
  json::object object{{"id", upload.id},
                      {"filename", upload.filename},
                      {"original_filename", upload.original_filename},
                      {"kind", upload.kind},
                      {"media_type", upload.media_type}};
  add_if_known(object, "language", upload.language);
  object["size_bytes"] = upload.size_bytes;
  object["sha256"] = upload.sha256;
  object["created_at"] = upload.created_at;
  add_if_known(object, "description", upload.description);
  add_if_known(object, "duplicate_of", upload.duplicate_of);
  add_if_known(object, "text_preview", upload.text_preview);
  return object;
}

}  // namespace gbgreg::http
