// What the files of a project may be called: relative paths of components that mean the same on every system, and no
// two that some system would take for one. They are data and never become paths on our disk; the rules are for those
// who will unpack the project elsewhere, and for people who must see what they get.
//
// Pure. One EntryNames belongs to one project and one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <unordered_map>

namespace gbgreg::intake {

inline constexpr std::size_t kPathBytesMax = 1'024;
inline constexpr std::size_t kComponentBytesMax = 255;

// Why a name is not taken: a code for programs and a sentence for people, both constant.
struct NameFault {
  std::string_view code;
  std::string_view message;
};

// What bytes that are no UTF-8 are.
enum class OtherBytes : std::uint8_t {
  are_faults,
  are_cp437,  // In a ZIP without the mark for UTF-8, the first PC's characters.
};

// The path that a name from an archive or a browser stands for: '/' between components (a '\' separates them as well),
// in Unicode's composed form (NFC), without "." and empty components. A '/' at the end of a folder's name goes.
// Refused: what is absolute or has a drive, "..", control and invisible characters (which hide what a name says), and
// what is too long or deeper than `depth_max`. Of an empty name an empty path comes back.
std::expected<std::string, NameFault> entry_path(std::string_view name, std::size_t depth_max, OtherBytes other_bytes);

class EntryNames {
 public:
  // Notes a path that entry_path() gave. Refused: one that differs from an earlier one only by case or composition, or
  // that would have to be file and folder at once.
  std::expected<void, NameFault> take_file(std::string_view path);
  std::expected<void, NameFault> take_folder(std::string_view path);

  // About how much memory the names take, those of the folders above each file included.
  std::size_t bytes() const { return bytes_; }

 private:
  enum class What : std::uint8_t { file, folder };
  std::expected<void, NameFault> take_folders_above(const std::string& key);

  // Whether it was not there before, and what it is.
  struct Noted {
    bool is_new;
    What what;
  };
  Noted note(std::string key, What what);

  std::unordered_map<std::string, What> taken_;  // By the path in folded case.
  std::size_t bytes_ = 0;
};

}  // namespace gbgreg::intake
