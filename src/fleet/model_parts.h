// The files that a model lies in: one, or several that belong together ("x-00001-of-00003.gguf"), of which whoever
// names a model names the first. Any thread; blocks for a look at the disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace gbgreg::fleet {

inline constexpr int kModelPartsMax = 1'000;

// All of them by the first one's name, in order, whether or not they are there. Of a file that is no first one of
// several, itself alone.
std::vector<std::filesystem::path> model_parts(const std::filesystem::path& first);

// Of "x-00002-of-00003.gguf" the name of the part that has to be named instead, else empty.
std::string first_part_of(const std::filesystem::path& file);

// Those that cannot be read.
std::vector<std::filesystem::path> missing_parts(const std::filesystem::path& first);

// Of all that are there.
std::int64_t model_file_bytes(const std::filesystem::path& first);

enum class Wholeness : std::uint8_t {
  whole,
  cut_short,  // Its own header wants more bytes than the file has.
  unknown,    // It cannot be read, is no GGUF file, or one of a kind that is not known here.
};

// Of one file: by its header, which is read up to the last of its tensors' places.
Wholeness wholeness_of(const std::filesystem::path& file);

}  // namespace gbgreg::fleet
