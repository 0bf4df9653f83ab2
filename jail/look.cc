// gbgreg-jail-look: decodes one image and reads the text off it, from within the cage. It has the image as standard
// input and nothing else.
//
//   gbgreg-jail-look SECONDS_MAX
//   gbgreg-jail-look check         only enters the cage and says which of its bars hold
//
// Messages (intake/jail_messages.h):
//   I  width and height of the image as it is seen (upright), width and height of the PNG: four numbers of 4 bytes
//   P  bytes of the PNG
//   T  bytes of the text, UTF-8
//   X  the image is refused, and nothing follows: a code (look_pixels.h)
//   Z  the end
//   C  the answer to check: three letters, 1 or 0 each: namespaces, Landlock, system calls
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cage.h"
#include "intake/image_kind.h"
#include "look_image.h"
#include "look_text.h"
#include "mapped_input.h"
#include "say.h"

namespace gbgreg::jail {
namespace {

// Beside the image itself, which is mapped: the libraries, the decoded pixels twice, and what a decoder holds of a
// progressive JPEG, each for intake::kImagePixelsMax.
constexpr std::uint64_t kMemoryBytes = 1'024ULL * 1024 * 1024;

std::string_view front_of(std::span<const std::uint8_t> file) {
  const auto front = file.first(std::min(file.size(), intake::kImageFrontBytes));
  return {reinterpret_cast<const char*>(front.data()), front.size()};
}

void refuse(Refusal refusal) { say('X', refusal.code); }

// What of the image is answered first, before its pixels make room for those to read from.
struct Seen {
  Pixels to_read;
  std::string head;
  std::string png;
};

Looked<Seen> see(std::span<const std::uint8_t> file, intake::ImageKind kind) {
  const auto image = decode(file, kind);
  if (!image) return std::unexpected(image.error());
  const auto shown = shrink_to_show(*image);
  if (!shown) return std::unexpected(shown.error());
  auto png = to_png(*shown);
  if (!png) return std::unexpected(png.error());
  auto to_read = scale_to_read(*image);
  if (!to_read) return std::unexpected(to_read.error());

  Seen seen{.to_read = std::move(*to_read), .head = {}, .png = std::move(*png)};
  for (const std::uint32_t side : {image->width, image->height, shown->width, shown->height}) {
    append_u32(seen.head, side);
  }
  return seen;
}

void look(std::span<const std::uint8_t> file, intake::ImageKind kind, TextReader& reader) {
  const auto seen = see(file, kind);
  if (!seen) return refuse(seen.error());
  say('I', seen->head);
  say_all('P', seen->png);
  say_all('T', reader.read(seen->to_read));
  say('Z', {});
}

std::optional<unsigned> read_seconds(std::string_view text) {
  unsigned seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc{} || end != text.data() + text.size() || seconds == 0) return std::nullopt;
  return seconds;
}

void say_bars(const Cage& cage) {
  std::string answer;
  for (const bool holds : {cage.has_namespaces, cage.has_landlock, cage.has_system_calls}) {
    answer.push_back(holds ? '1' : '0');
  }
  say('C', answer);
}

int run(const std::vector<std::string_view>& words) {
  if (words.size() != 1) return EXIT_FAILURE;
  const bool is_check = words.front() == "check";
  const auto seconds = is_check ? std::optional(5U) : read_seconds(words.front());
  if (!seconds) return EXIT_FAILURE;
  const MappedInput input;
  const auto kind = intake::image_kind(front_of(input.bytes()));
  if (!kind && !is_check) {
    refuse(kTypeUnknown);  // Its front is looked at and nothing else; the libraries take a tenth of a second to load.
    return EXIT_SUCCESS;
  }
  const CageOptions options{
      .memory_bytes = kMemoryBytes + input.bytes().size(), .cpu_seconds = *seconds, .may_have_threads = true};
  Cage cage;
  if (!leave_the_world(options, cage) || !start_decoding()) return EXIT_FAILURE;
  TextReader reader;
  if (!reader.is_ready()) {
    refuse(kReaderMissing);
    return EXIT_SUCCESS;
  }
  if (!lock_the_cage(options, cage)) return EXIT_FAILURE;
  if (is_check) {
    say_bars(cage);
    return EXIT_SUCCESS;
  }
  try {
    look(input.bytes(), *kind, reader);
  } catch (const std::bad_alloc&) {
    refuse(kTooLarge);
  }
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace gbgreg::jail

int main(int argc, char** argv) {
  // Without the leave-taking of libraries: the kernel takes back all of it, and their ways out are not in the cage.
  ::_exit(gbgreg::jail::run(std::vector<std::string_view>(argv + 1, argv + argc)));
}
