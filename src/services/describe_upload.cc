#include "services/describe_upload.h"

#include "intake/intake.h"

namespace gbgreg::services {

storage::Upload describe_upload(std::string id, WallTime now, std::string_view sample, std::uint64_t size_bytes,
                                const FileFacts& facts) {
  storage::Upload upload;
  upload.id = std::move(id);
  upload.filename = intake::safe_filename(facts.client_filename);
  upload.original_filename = intake::original_filename(facts.client_filename);
  upload.description = facts.description;
  if (facts.purpose) upload.purpose = *facts.purpose;
  upload.size_bytes = size_bytes;
  upload.created_at = rfc3339(now);

  intake::FileKind kind = intake::file_kind(sample, upload.filename);
  upload.kind = intake::content_name(kind.content);
  upload.media_type = std::move(kind.media_type);
  if (!kind.language.empty()) upload.language = std::move(kind.language);
  if (kind.content == intake::Content::text || kind.content == intake::Content::code) {
    std::string preview = intake::text_preview(sample);
    if (!preview.empty()) upload.text_preview = std::move(preview);
  }
  return upload;
}

}  // namespace gbgreg::services
