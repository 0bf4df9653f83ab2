#include "services/project_builder.h"

#include <algorithm>
#include <boost/json.hpp>

#include "intake/intake.h"

namespace gbgreg::services {
namespace {

using intake::NameFault;

constexpr NameFault kLink{"link_not_taken", "Links are not taken."};
constexpr NameFault kSpecial{"special_not_taken", "Only files and folders are taken."};
constexpr NameFault kNameless{"name_empty", "The file has no name."};
constexpr NameFault kUnknownType{"file_type_not_accepted",
                                 "This is neither text, code, an image, a document, an archive nor data of a known "
                                 "type (uploads.allow_unknown_binaries)."};
constexpr NameFault kDamaged{
    "entry_damaged", "The file could not be unpacked: it is damaged, or packed in a way that nobody here knows."};

std::unexpected<Error> beyond(std::string code, std::string sentence, std::string_view limit, std::uint64_t value) {
  return std::unexpected(Error{
      .kind = Kind::refused,
      .code = std::move(code),
      .message = std::move(sentence),
      .details_json = R"({"limit":")" + std::string(limit) + R"(","limit_value":)" + std::to_string(value) + "}"});
}

}  // namespace

Result<void> ProjectBuilder::begin_file(std::string_view name, intake::OtherBytes other_bytes) {
  if (auto counted = count_entry(); !counted) return counted;
  auto path = intake::entry_path(name, limits_.depth_max, other_bytes);
  if (path && path->empty()) path = std::unexpected(kNameless);
  const auto taken = path ? names_.take_file(*path) : std::unexpected(path.error());
  if (!taken) {
    reject(name, taken.error());
    return {};
  }
  path_ = std::move(*path);
  sample_.clear();
  writer_ = blobs_.writer(new_uuid(clock_.wall()));
  return {};
}

Result<void> ProjectBuilder::write(std::string_view bytes) {
  bytes_seen_ += bytes.size();
  if (bytes_seen_ > limits_.bytes_max) {
    return beyond("archive_too_large",
                  "The files together have more than " + std::to_string(limits_.bytes_max) +
                      " bytes (limits.archive_bytes_max). Send fewer of them, or raise the limit.",
                  "limits.archive_bytes_max", limits_.bytes_max);
  }
  if (!writer_) return {};
  if (sample_.size() < intake::kSampleBytes) sample_.append(bytes.substr(0, intake::kSampleBytes - sample_.size()));
  return writer_->write(bytes);
}

Result<void> ProjectBuilder::end_file() {
  if (!writer_) return {};
  intake::FileKind kind = intake::file_kind(sample_, path_);
  // Without libmagic's database nobody can tell, and then nothing is refused.
  const bool is_unknown = intake::is_unknown_binary(kind.content, kind.media_type) && intake::has_magic_database();
  if (is_unknown && unknown_binaries_ == UnknownBinaries::are_rejected) {
    writer_.reset();
    reject(path_, kUnknownType);
    return {};
  }
  auto sha256 = writer_->close();
  if (!sha256) return std::unexpected(std::move(sha256.error()));
  storage::ProjectFile file{.path = std::move(path_),
                            .kind = std::string(intake::content_name(kind.content)),
                            .media_type = std::move(kind.media_type),
                            .size_bytes = writer_->size_bytes(),
                            .sha256 = std::move(*sha256)};
  if (!kind.language.empty()) {
    ++languages_[kind.language];
    file.language = std::move(kind.language);
  }
  bytes_taken_ += file.size_bytes;
  files_.push_back(std::move(file));
  writers_.push_back(std::move(writer_));
  return {};
}

// Its name stays taken: another file of that name would hide that this one is missing.
Result<void> ProjectBuilder::damage_file() {
  if (!writer_) return {};
  writer_.reset();
  reject(path_, kDamaged);
  return {};
}

Result<void> ProjectBuilder::add_folder(std::string_view name, intake::OtherBytes other_bytes) {
  if (auto counted = count_entry(); !counted) return counted;
  auto path = intake::entry_path(name, limits_.depth_max, other_bytes);
  const auto taken = path ? names_.take_folder(*path) : std::unexpected(path.error());
  if (!taken) reject(name, taken.error());
  return {};
}

Result<void> ProjectBuilder::refuse_link(std::string_view name) {
  if (auto counted = count_entry(); !counted) return counted;
  reject(name, kLink);
  return {};
}

Result<void> ProjectBuilder::refuse_special(std::string_view name) {
  if (auto counted = count_entry(); !counted) return counted;
  reject(name, kSpecial);
  return {};
}

Result<void> ProjectBuilder::count_entry() {
  if (names_.bytes() + rejected_bytes_ > kNamesBytesMax) {
    return fail(Kind::refused, "archive_names_too_long",
                "The paths of the files take more than " + std::to_string(kNamesBytesMax) +
                    " bytes together. Send them as several projects, or with shorter paths.");
  }
  if (++entries_ <= limits_.entries_max) return {};
  return beyond("archive_too_many_entries",
                "There are more than " + std::to_string(limits_.entries_max) +
                    " files and folders (limits.archive_entries_max). Send fewer of them, or raise the limit.",
                "limits.archive_entries_max", limits_.entries_max);
}

void ProjectBuilder::reject(std::string_view name, const NameFault& fault) {
  rejected_.push_back({.path = intake::original_filename(name), .code = fault.code, .message = fault.message});
  rejected_bytes_ += sizeof(RejectedEntry) + rejected_.back().path.size();
}

std::string ProjectBuilder::languages_json() const {
  boost::json::object languages;
  for (const auto& [language, files] : languages_) languages[language] = files;
  return boost::json::serialize(languages);
}

}  // namespace gbgreg::services
