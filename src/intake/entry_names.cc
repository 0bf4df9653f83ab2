#include "intake/entry_names.h"

#include <algorithm>

#include "core/utf8.h"
#include "intake/sanitise.h"
#include "intake/unicode_form.h"

namespace gbgreg::intake {
namespace {

constexpr NameFault kAbsolute{"name_absolute",
                              "The path must be relative: without a leading slash and without a drive."};
constexpr NameFault kTraversal{"name_traversal", "The path must not have a component \"..\"."};
constexpr NameFault kNotUtf8{"name_not_utf8", "The path must be valid UTF-8."};
constexpr NameFault kHidden{"name_hidden_characters", "The path must not have control or invisible characters."};
constexpr NameFault kTooLong{"name_too_long", "A path may have 1,024 bytes, and each component of it 255."};
constexpr NameFault kTooDeep{"name_too_deep", "The path has more folders than limits.archive_depth_max allows."};
constexpr NameFault kConflict{
    "name_conflict", "An earlier path is the same, or differs only by case or by how its letters are composed."};
constexpr NameFault kFileAndFolder{"path_conflict",
                                   "An earlier path makes a folder of this file, or a file of its folder."};

// 0x80 to 0xff of the first PC's character set.
constexpr char32_t kCp437[128] = {
    0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8, 0x00ef, 0x00ee,
    0x00ec, 0x00c4, 0x00c5, 0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9, 0x00ff, 0x00d6,
    0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192, 0x00e1, 0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa,
    0x00ba, 0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb, 0x2591, 0x2592, 0x2593, 0x2502,
    0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510, 0x2514,
    0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f, 0x255a, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550,
    0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553, 0x256b, 0x256a, 0x2518, 0x250c,
    0x2588, 0x2584, 0x258c, 0x2590, 0x2580, 0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4,
    0x03a6, 0x0398, 0x03a9, 0x03b4, 0x221e, 0x03c6, 0x03b5, 0x2229, 0x2261, 0x00b1, 0x2265, 0x2264, 0x2320,
    0x2321, 0x00f7, 0x2248, 0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0,
};

std::string from_cp437(std::string_view name) {
  std::string text;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    append_utf8(text, byte < 0x80 ? byte : kCp437[byte - 0x80]);
  }
  return text;
}

bool has_drive(std::string_view name) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return name.size() >= 2 && name[1] == ':' && is_letter(name[0]);
}

bool has_hidden(std::string_view name) {
  while (!name.empty()) {
    const CodePoint next = first_code_point(name);
    if (is_invisible(next.value)) return true;
    name.remove_prefix(next.bytes);
  }
  return false;
}

}  // namespace

std::expected<std::string, NameFault> entry_path(std::string_view name, std::size_t depth_max, OtherBytes other_bytes) {
  // Before the work that its length costs; what NFC makes of it is looked at again below.
  if (name.size() > 4 * kPathBytesMax) return std::unexpected(kTooLong);
  std::string text(name);
  if (!is_valid_utf8(text)) {
    if (other_bytes == OtherBytes::are_faults) return std::unexpected(kNotUtf8);
    text = from_cp437(text);
  }
  if (has_hidden(text)) return std::unexpected(kHidden);
  text = composed(text);
  std::ranges::replace(text, '\\', '/');
  if (text.starts_with('/')) return std::unexpected(kAbsolute);

  std::string path;
  std::size_t depth = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view component = rest.substr(0, rest.find('/'));
    rest.remove_prefix(std::min(rest.size(), component.size() + 1));
    if (component.empty() || component == ".") continue;
    if (component == "..") return std::unexpected(kTraversal);
    if (component.size() > kComponentBytesMax) return std::unexpected(kTooLong);
    if (++depth > depth_max) return std::unexpected(kTooDeep);
    if (!path.empty()) path.push_back('/');
    path.append(component);
  }
  if (has_drive(path)) return std::unexpected(kAbsolute);  // Of "./C:x", too.
  if (path.size() > kPathBytesMax) return std::unexpected(kTooLong);
  return path;
}

std::expected<void, NameFault> EntryNames::take_file(std::string_view path) {
  std::string key = folded(path);
  if (auto above = take_folders_above(key); !above) return above;
  const Noted noted = note(std::move(key), What::file);
  if (noted.is_new) return {};
  return std::unexpected(noted.what == What::folder ? kFileAndFolder : kConflict);
}

std::expected<void, NameFault> EntryNames::take_folder(std::string_view path) {
  return take_folders_above(folded(path) + "/");
}

EntryNames::Noted EntryNames::note(std::string key, What what) {
  constexpr std::size_t kBesideKey = 64;  // What a map takes for an entry beside the bytes of its key.
  const std::size_t size = key.size();
  const auto [entry, is_new] = taken_.try_emplace(std::move(key), what);
  if (is_new) bytes_ += size + kBesideKey;
  return {.is_new = is_new, .what = entry->second};
}

// Every prefix that ends before a '/'.
std::expected<void, NameFault> EntryNames::take_folders_above(const std::string& key) {
  // From the deepest up: where one is known as a folder, all above it are.
  for (std::size_t end = key.rfind('/'); end != std::string::npos && end > 0; end = key.rfind('/', end - 1)) {
    const Noted noted = note(key.substr(0, end), What::folder);
    if (noted.what == What::file) return std::unexpected(kFileAndFolder);
    if (!noted.is_new) return {};
  }
  return {};
}

}  // namespace gbgreg::intake
