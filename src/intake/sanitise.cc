#include "intake/sanitise.h"

#include <algorithm>
#include <array>

#include "core/utf8.h"
#include "intake/unicode_form.h"

namespace gbgreg::intake {
namespace {

constexpr std::string_view kNameless = "upload";

struct Range {
  char32_t first, last;
};

// Nothing that a person sees: controls, direction overrides (which make "gpj.exe" read as "exe.jpg"), invisible
// formatting, line separators, tags, private and non-characters at the ends. ZWNJ and ZWJ stay: words and emoji need
// them.
constexpr Range kInvisible[] = {
    {0x0000, 0x001f}, {0x007f, 0x009f}, {0x00ad, 0x00ad}, {0x061c, 0x061c},   {0x180e, 0x180e},
    {0x200b, 0x200b}, {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},   {0xfdd0, 0xfdef},
    {0xfeff, 0xfeff}, {0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, 0xe0fff},
};

bool is_reserved(char32_t value) {
  return value < 0x80 && std::string_view("<>:\"|?*").contains(static_cast<char>(value));
}

// Both separators, because a browser of another system may have sent a whole path.
std::string_view last_component(std::string_view name) {
  const std::size_t separator = name.find_last_of("/\\");
  return separator == std::string_view::npos ? name : name.substr(separator + 1);
}

std::string without_what_misleads(std::string_view name) {
  std::string clean;
  while (!name.empty()) {
    const CodePoint next = first_code_point(name);
    name.remove_prefix(next.bytes);
    if (is_invisible(next.value)) continue;
    append_utf8(clean, is_reserved(next.value) ? U'_' : next.value);
  }
  return clean;
}

std::string_view trimmed(std::string_view name) {
  const std::size_t first = name.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  const std::size_t last = name.find_last_not_of(" .");  // Windows drops dots and blanks at the end.
  return last == std::string_view::npos ? std::string_view{} : name.substr(first, last - first + 1);
}

// CON, NUL, COM1 and the like are devices on Windows, with any extension and in any case.
bool is_device_name(std::string_view name) {
  std::string stem = lower(name.substr(0, name.find('.')));
  stem.erase(stem.find_last_not_of(' ') + 1);
  constexpr std::array<std::string_view, 6> kDevices = {"con", "prn", "aux", "nul", "conin$", "conout$"};
  if (std::ranges::find(kDevices, stem) != kDevices.end()) return true;
  return stem.size() == 4 && (stem.starts_with("com") || stem.starts_with("lpt")) && stem[3] >= '0' && stem[3] <= '9';
}

std::string shortened(std::string_view name) {
  if (name.size() <= kNameBytesMax) return std::string(name);
  const std::size_t dot = name.rfind('.');
  const bool has_extension = dot != std::string_view::npos && dot > 0 && name.size() - dot - 1 <= kExtensionBytesMax;
  const std::string_view extension = has_extension ? name.substr(dot) : std::string_view{};
  return std::string(cut_utf8(name, kNameBytesMax - extension.size())) + std::string(extension);
}

// Trimmed again after the cut, which may end behind a blank.
std::string fitted(std::string_view name) { return std::string(trimmed(shortened(trimmed(name)))); }

}  // namespace

bool is_invisible(char32_t value) {
  return std::ranges::any_of(kInvisible, [value](Range r) { return value >= r.first && value <= r.last; });
}

std::string safe_filename(std::string_view name) {
  // Composed before it is cut: what stays may be a little longer, or shorter.
  std::string safe = fitted(composed(without_what_misleads(last_component(name))));
  // After the cut, which may have made a device of "con" and three hundred blanks and a letter.
  if (is_device_name(safe)) safe = fitted("_" + safe);
  return safe.empty() ? std::string(kNameless) : safe;
}

std::string original_filename(std::string_view name) {
  // Each broken byte may become three, so what is cut first is only work saved.
  const std::string valid = to_valid_utf8(name.substr(0, kOriginalNameBytesMax + 4));
  return std::string(cut_utf8(valid, kOriginalNameBytesMax));
}

std::string lower(std::string_view text) {
  std::string lowered(text);
  std::ranges::transform(lowered, lowered.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return lowered;
}

std::string extension_of(std::string_view filename) {
  const std::size_t dot = filename.rfind('.');
  if (dot == std::string_view::npos || dot == 0 || filename.size() - dot - 1 > kExtensionBytesMax) return {};
  return lower(filename.substr(dot + 1));
}

}  // namespace gbgreg::intake
