#include "look_bmp.h"

#include <array>
#include <bit>
#include <optional>

namespace gbgreg::jail {
namespace {

constexpr std::size_t kFileHeaderBytes = 14;
constexpr std::uint32_t kUncompressed = 0;
constexpr std::uint32_t kMasks = 3;

// Little-endian numbers; the caller has made sure that they are there.
std::uint32_t number16(std::span<const std::uint8_t> bytes, std::size_t at) {
  return std::uint32_t{bytes[at]} | std::uint32_t{bytes[at + 1]} << 8;
}
std::uint32_t number32(std::span<const std::uint8_t> bytes, std::size_t at) {
  return number16(bytes, at) | number16(bytes, at + 2) << 16;
}

struct Header {
  std::uint32_t pixels_at = 0;
  std::uint32_t header_bytes = 0;
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  bool is_top_down = false;
  std::uint32_t bits = 0;
  std::uint32_t compression = 0;
  std::uint32_t colours = 0;

  std::size_t row_bytes() const { return (std::size_t{width} * bits + 31) / 32 * 4; }  // In the file.
};

Looked<Header> read_header(std::span<const std::uint8_t> file, const intake::ImageLimits& limits) {
  constexpr std::size_t kShortest = kFileHeaderBytes + 40;
  if (file.size() < kShortest || file[0] != 'B' || file[1] != 'M') return std::unexpected(kDamaged);
  const auto width = std::bit_cast<std::int32_t>(number32(file, 18));
  const auto height = std::bit_cast<std::int32_t>(number32(file, 22));
  if (width < 0) return std::unexpected(kDamaged);
  Header header{.pixels_at = number32(file, 10),
                .header_bytes = number32(file, 14),
                .width = static_cast<std::uint32_t>(width),
                .height = height < 0 ? 0U - static_cast<std::uint32_t>(height) : static_cast<std::uint32_t>(height),
                .is_top_down = height < 0,
                .bits = number16(file, 28),
                .compression = number32(file, 30),
                .colours = number32(file, 46)};
  if (auto checked = check_size(header.width, header.height, limits); !checked) return std::unexpected(checked.error());
  if (header.header_bytes < 40 || number16(file, 26) != 1) return std::unexpected(kDamaged);
  return header;
}

// Where in a pixel of four bytes each channel stands; none for how opaque it is when that is not said.
struct Channels {
  std::size_t red = 2, green = 1, blue = 0;
  std::optional<std::size_t> alpha = {};
};

// The byte that a mask takes. Masks of any other form are for images of 16 bits, which are not read.
std::optional<std::size_t> byte_of(std::uint32_t mask) {
  for (std::size_t byte = 0; byte < 4; ++byte) {
    if (mask == std::uint32_t{0xff} << (8 * byte)) return byte;
  }
  return std::nullopt;
}

// The masks stand behind the first 40 bytes, inside of a longer header or behind it.
Looked<Channels> read_masks(std::span<const std::uint8_t> file, const Header& header) {
  constexpr std::size_t kMasksAt = kFileHeaderBytes + 40;
  const bool has_alpha = header.header_bytes >= 56;
  if (file.size() < kMasksAt + (has_alpha ? 16 : 12)) return std::unexpected(kDamaged);
  const auto red = byte_of(number32(file, kMasksAt));
  const auto green = byte_of(number32(file, kMasksAt + 4));
  const auto blue = byte_of(number32(file, kMasksAt + 8));
  if (!red || !green || !blue) return std::unexpected(kDamaged);
  Channels channels{.red = *red, .green = *green, .blue = *blue};
  if (has_alpha && number32(file, kMasksAt + 12) != 0) {
    channels.alpha = byte_of(number32(file, kMasksAt + 12));
    if (!channels.alpha) return std::unexpected(kDamaged);
  }
  return channels;
}

using Palette = std::array<std::array<std::uint8_t, 3>, 256>;

// Colours that the file does not have are black.
Looked<Palette> read_palette(std::span<const std::uint8_t> file, const Header& header) {
  const std::size_t colours_max = std::size_t{1} << header.bits;
  const std::size_t colours = header.colours == 0 ? colours_max : header.colours;
  const std::size_t begin = kFileHeaderBytes + std::size_t{header.header_bytes};
  if (colours > colours_max || begin > file.size() || file.size() - begin < colours * 4) {
    return std::unexpected(kDamaged);
  }
  Palette palette{};
  for (std::size_t i = 0; i < colours; ++i) {
    const auto entry = file.subspan(begin + i * 4, 4);
    palette[i] = {entry[2], entry[1], entry[0]};
  }
  return palette;
}

// The rows of the file in the order of the image.
Looked<std::span<const std::uint8_t>> find_rows(std::span<const std::uint8_t> file, const Header& header) {
  const std::size_t wanted = header.row_bytes() * header.height;
  if (header.pixels_at < kFileHeaderBytes + 40 || header.pixels_at > file.size() ||
      file.size() - header.pixels_at < wanted) {
    return std::unexpected(kDamaged);
  }
  return file.subspan(header.pixels_at, wanted);
}

template <class PutPixel>
Pixels read_rows(std::span<const std::uint8_t> rows, const Header& header, std::uint32_t bands, PutPixel put) {
  Pixels pixels{.width = header.width, .height = header.height, .bands = bands};
  pixels.bytes.resize(pixels.row_bytes() * header.height);
  for (std::size_t y = 0; y < header.height; ++y) {
    const std::size_t in_file = header.is_top_down ? y : header.height - 1 - y;
    const auto row = rows.subspan(in_file * header.row_bytes(), header.row_bytes());
    std::uint8_t* out = pixels.bytes.data() + y * pixels.row_bytes();
    for (std::size_t x = 0; x < header.width; ++x, out += bands) put(row, x, out);
  }
  return pixels;
}

}  // namespace

Looked<Pixels> read_bmp(std::span<const std::uint8_t> file, const intake::ImageLimits& limits) {
  using Row = std::span<const std::uint8_t>;
  const auto header = read_header(file, limits);
  if (!header) return std::unexpected(header.error());
  const auto rows = find_rows(file, *header);
  if (!rows) return std::unexpected(rows.error());

  const bool is_plain = header->compression == kUncompressed;
  if (is_plain && header->bits == 24) {
    return read_rows(*rows, *header, 3, [](Row row, std::size_t x, std::uint8_t* out) {
      for (std::size_t band = 0; band < 3; ++band) out[band] = row[x * 3 + 2 - band];
    });
  }
  if (header->bits == 32 && (is_plain || header->compression == kMasks)) {
    // Without masks the fourth byte means nothing, and programs leave anything in it.
    const auto channels = is_plain ? Looked<Channels>(Channels{}) : read_masks(file, *header);
    if (!channels) return std::unexpected(channels.error());
    return read_rows(*rows, *header, channels->alpha ? 4 : 3, [&](Row row, std::size_t x, std::uint8_t* out) {
      const Row pixel = row.subspan(x * 4, 4);
      out[0] = pixel[channels->red];
      out[1] = pixel[channels->green];
      out[2] = pixel[channels->blue];
      if (channels->alpha) out[3] = pixel[*channels->alpha];
    });
  }
  if (is_plain && (header->bits == 1 || header->bits == 4 || header->bits == 8)) {
    const auto palette = read_palette(file, *header);
    if (!palette) return std::unexpected(palette.error());
    const std::uint32_t bits = header->bits, in_byte = 8 / bits;
    return read_rows(*rows, *header, 3, [&](Row row, std::size_t x, std::uint8_t* out) {
      const std::uint32_t shift = 8 - bits * (static_cast<std::uint32_t>(x) % in_byte + 1);
      const auto& colour = (*palette)[(row[x / in_byte] >> shift) & ((1U << bits) - 1)];
      for (std::size_t band = 0; band < 3; ++band) out[band] = colour[band];
    });
  }
  return std::unexpected(kDamaged);
}

}  // namespace gbgreg::jail
