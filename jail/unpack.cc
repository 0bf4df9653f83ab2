// gbgreg-jail-unpack: tells the gateway what is in an archive, from within the cage. It has the archive as standard
// input and nothing else; what becomes of the entries, and which names are good ones, the gateway decides.
//
//   gbgreg-jail-unpack ENTRIES_MAX BYTES_MAX RATIO_MAX RATIO_FROM_BYTES SECONDS_MAX
//   gbgreg-jail-unpack check       only enters the cage and says which of its bars hold
//
// Messages (intake/jail_messages.h):
//   A  once, first: "zip", "tar" or "7z"
//   E  an entry begins: what it is ('f' file, 'd' folder, 'l' link, 's' something else), 8 bytes of the size that it
//   says
//      of itself (all ones: it does not), its name as it came
//   D  bytes of that entry
//   F  that entry is whole
//   R  that entry is damaged, and what came of it is worth nothing
//   X  the archive is refused: a code
//   Z  the end: there are no more entries
//   C  the answer to check: three letters, 1 or 0 each: namespaces, Landlock, system calls
#include <unistd.h>

#include <charconv>
#include <clocale>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cage.h"
#include "mapped_input.h"
#include "say.h"
#include "unpack_entries.h"

namespace gbgreg::jail {
namespace {

constexpr std::uint64_t kMemoryBytes = 768ULL * 1024 * 1024;  // Beside the archive itself, which is mapped.

struct Bounds {
  ZipBounds zip;
  unsigned seconds_max = 0;
};

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Bounds> read_bounds(const std::vector<std::string_view>& words) {
  if (words.size() != 5) return std::nullopt;
  std::vector<std::uint64_t> numbers;
  for (const std::string_view word : words) {
    const auto value = number(word);
    if (!value || *value == 0) return std::nullopt;
    numbers.push_back(*value);
  }
  return Bounds{.zip = {.entries_max = numbers[0],
                        .bytes_max = numbers[1],
                        .ratio_max = numbers[2],
                        .ratio_from_bytes = numbers[3]},
                .seconds_max = static_cast<unsigned>(numbers[4])};
}

int run(const std::vector<std::string_view>& words) {
  const bool is_check = words.size() == 1 && words.front() == "check";
  const auto bounds = is_check ? Bounds{.zip = {}, .seconds_max = 5} : read_bounds(words);
  if (!bounds) return EXIT_FAILURE;
  const MappedInput input;
  const CageOptions options{.memory_bytes = kMemoryBytes + input.bytes().size(), .cpu_seconds = bounds->seconds_max};
  Cage cage;
  // libarchive's names are UTF-8 only where the locale is.
  if (std::setlocale(LC_CTYPE, "C.UTF-8") == nullptr) return EXIT_FAILURE;
  if (!leave_the_world(options, cage) || !lock_the_cage(options, cage)) return EXIT_FAILURE;
  if (is_check) {
    const bool bars[] = {cage.has_namespaces, cage.has_landlock, cage.has_system_calls};
    std::string answer;
    for (const bool bar : bars) answer.push_back(bar ? '1' : '0');
    say('C', answer);
  } else {
    unpack(bounds->zip, input.bytes());
  }
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace gbgreg::jail

int main(int argc, char** argv) {
  // Without the leave-taking of libraries: the kernel takes back all of it, and their ways out are not in the cage.
  ::_exit(gbgreg::jail::run(std::vector<std::string_view>(argv + 1, argv + argc)));
}
