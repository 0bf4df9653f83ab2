// gbgreg-jail-look: decodes one image and reads the text off it, from within the cage. It has the image as standard
// input and nothing else.
//
//   gbgreg-jail-look PIXELS_MAX SIDE_MAX SHOWN_SIDE_MAX SECONDS_MAX
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
#include "intake/options.h"
#include "look_image.h"
#include "look_text.h"
#include "mapped_input.h"
#include "say.h"

namespace gbgreg::jail {
namespace {

// Beside the image itself, which is mapped: the libraries and the text reader; and for each pixel that an image may
// have the decoded ones twice, and what a decoder holds of a progressive JPEG.
constexpr std::uint64_t kMemoryBytes = 512ULL * 1024 * 1024;
constexpr std::uint64_t kMemoryBytesAPixel = 14;

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

Looked<Seen> see(std::span<const std::uint8_t> file, intake::ImageKind kind, const intake::ImageLimits& limits) {
  const auto image = decode(file, kind, limits);
  if (!image) return std::unexpected(image.error());
  const auto shown = shrink_to_show(*image, limits.shown_side_max);
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

void look(std::span<const std::uint8_t> file, intake::ImageKind kind, const intake::ImageLimits& limits,
          TextReader& reader) {
  const auto seen = see(file, kind, limits);
  if (!seen) return refuse(seen.error());
  say('I', seen->head);
  say_all('P', seen->png);
  say_all('T', reader.read(seen->to_read));
  say('Z', {});
}

template <class Number>
bool read_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() && number > 0;
}

std::optional<intake::ImageLimits> read_limits(const std::vector<std::string_view>& words) {
  intake::ImageLimits limits;
  const bool are_read = words.size() == 4 && read_number(words[0], limits.pixels_max) &&
                        read_number(words[1], limits.side_max) && read_number(words[2], limits.shown_side_max) &&
                        read_number(words[3], limits.seconds_max);
  return are_read ? std::optional(limits) : std::nullopt;
}

void say_bars(const Cage& cage) {
  std::string answer;
  for (const bool holds : {cage.has_namespaces, cage.has_landlock, cage.has_system_calls}) {
    answer.push_back(holds ? '1' : '0');
  }
  say('C', answer);
}

int run(const std::vector<std::string_view>& words) {
  const bool is_check = words.size() == 1 && words.front() == "check";
  const auto limits = is_check ? intake::ImageLimits{.seconds_max = 5} : read_limits(words);
  if (!limits) return EXIT_FAILURE;
  const MappedInput input;
  const auto kind = intake::image_kind(front_of(input.bytes()));
  if (!kind && !is_check) {
    refuse(kTypeUnknown);  // Its front is looked at and nothing else; the libraries take a tenth of a second to load.
    return EXIT_SUCCESS;
  }
  const CageOptions options{
      .memory_bytes = kMemoryBytes + kMemoryBytesAPixel * limits->pixels_max + input.bytes().size(),
      .cpu_seconds = static_cast<unsigned>(limits->seconds_max),
      .may_have_threads = true};
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
    look(input.bytes(), *kind, *limits, reader);
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
