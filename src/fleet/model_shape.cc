#include "fleet/model_shape.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <string_view>
#include <utility>
#include <vector>

#include "fleet/gguf_reader.h"
#include "fleet/model_parts.h"

namespace gbgreg::fleet {
namespace {

constexpr std::uint64_t kTensorsMax = 65'536;
constexpr std::uint64_t kDimensionsMax = 4;
constexpr std::uint64_t kNumberMax = std::uint64_t{1} << 40;  // Of values in a tensor: beyond any model.
constexpr std::uint64_t kPlaceMax = std::uint64_t{1} << 44;   // Of a tensor in its file, in bytes.
constexpr std::uint32_t kAlignmentMax = 1U << 20;
constexpr std::uint32_t kLayersMax = 10'000;
constexpr std::uint32_t kWidthMax = 1U << 24;
constexpr std::uint32_t kHeadsMax = 1U << 16;
constexpr std::int64_t kCacheNumbersMax = std::int64_t{1} << 28;  // Of a token.
// Gemma's: of so many layers one sees everything. The file does not say it.
constexpr int kWindowPatternGemma2 = 2;
constexpr int kWindowPatternGemma3 = 6;

// How the values of a tensor are packed: `values` of them take `bytes`.
struct Packing {
  std::uint32_t type = 0;
  std::uint32_t values = 0;
  std::uint32_t bytes = 0;
  bool repacks = false;  // The engine has a faster order of it for AVX2.
};
constexpr std::array<Packing, 26> kPackings = {{
    {0, 1, 4},             // F32
    {1, 1, 2},             // F16
    {2, 32, 18, true},     // Q4_0
    {3, 32, 20},           // Q4_1
    {6, 32, 22},           // Q5_0
    {7, 32, 24},           // Q5_1
    {8, 32, 34},           // Q8_0
    {10, 256, 84, true},   // Q2_K
    {11, 256, 110},        // Q3_K
    {12, 256, 144, true},  // Q4_K
    {13, 256, 176},        // Q5_K
    {14, 256, 210},        // Q6_K
    {15, 256, 292},        // Q8_K
    {16, 256, 66},         // IQ2_XXS
    {17, 256, 74},         // IQ2_XS
    {18, 256, 98},         // IQ3_XXS
    {19, 256, 50},         // IQ1_S
    {20, 32, 18, true},    // IQ4_NL
    {21, 256, 110},        // IQ3_S
    {22, 256, 82},         // IQ2_S
    {23, 256, 136},        // IQ4_XS
    {24, 1, 1},            // I8
    {26, 1, 4},            // I32
    {29, 256, 56},         // IQ1_M
    {30, 1, 2},            // BF16
    {39, 32, 17, true},    // MXFP4
}};
constexpr std::uint64_t kRowsRepackedAtOnce = 8;

// The numbers of the file that count, as they are found.
struct Numbers {
  std::uint32_t layers = 0, embedding = 0, feed_forward = 0, heads = 0, key_length = 0, value_length = 0;
  std::uint32_t window = 0;
  std::vector<std::uint32_t> heads_kv;  // One, or one a layer.
  bool causal = true;
  std::uint32_t alignment = 32;   // Of the tensors, in bytes.
  std::uint64_t tensors_end = 0;  // Behind where they begin.
};

// One number, or a list of them where layers differ.
std::vector<std::uint32_t> numbers_of(GgufReader& bytes, std::uint32_t type) {
  if (type == static_cast<std::uint32_t>(GgufType::uint32) || type == 5) return {bytes.number<std::uint32_t>()};
  if (type != static_cast<std::uint32_t>(GgufType::array)) {
    bytes.skip_value(type);
    return {};
  }
  const auto element = bytes.number<std::uint32_t>();
  const auto count = bytes.number<std::uint64_t>();
  bytes.fail_unless((element == 4 || element == 5) && count <= kLayersMax);
  std::vector<std::uint32_t> numbers;
  for (std::uint64_t i = 0; bytes.good() && i < count; ++i) numbers.push_back(bytes.number<std::uint32_t>());
  return numbers;
}

std::uint32_t largest(const std::vector<std::uint32_t>& numbers) {
  return numbers.empty() ? 0 : *std::ranges::max_element(numbers);
}

void read_entry(GgufReader& bytes, ModelShape& shape, Numbers& numbers) {
  const std::string key = bytes.text(GgufReader::kKeyBytesMax);
  const auto type = bytes.number<std::uint32_t>();
  if (key == "general.architecture" && type == static_cast<std::uint32_t>(GgufType::text)) {
    shape.architecture = bytes.text(GgufReader::kKeyBytesMax);
    return;
  }
  if (key == "general.alignment" && type == static_cast<std::uint32_t>(GgufType::uint32)) {
    numbers.alignment = bytes.number<std::uint32_t>();
    bytes.fail_unless(numbers.alignment > 0 && numbers.alignment <= kAlignmentMax);
    return;
  }
  const bool is_own = key.size() > shape.architecture.size() && !shape.architecture.empty() &&
                      key.starts_with(shape.architecture) && key[shape.architecture.size()] == '.';
  const std::string_view own = is_own ? std::string_view(key).substr(shape.architecture.size() + 1) : "";
  const std::array<std::pair<std::string_view, std::uint32_t*>, 7> wanted = {{
      {"block_count", &numbers.layers},
      {"embedding_length", &numbers.embedding},
      {"feed_forward_length", &numbers.feed_forward},
      {"attention.head_count", &numbers.heads},
      {"attention.key_length", &numbers.key_length},
      {"attention.value_length", &numbers.value_length},
      {"attention.sliding_window", &numbers.window},
  }};
  for (const auto& [name, number] : wanted) {
    if (own != name) continue;
    *number = largest(numbers_of(bytes, type));
    return;
  }
  if (own == "attention.head_count_kv") {
    numbers.heads_kv = numbers_of(bytes, type);
  } else if (own == "attention.causal" && type == static_cast<std::uint32_t>(GgufType::boolean)) {
    numbers.causal = bytes.number<std::uint8_t>() != 0;
  } else {
    bytes.skip_value(type);
  }
}

// "blk.3.ffn_up.weight", and not the table of embeddings, which is looked up and not multiplied with.
bool is_multiplied(std::string_view name) {
  return name == "output.weight" || (name.starts_with("blk.") && name.ends_with(".weight"));
}

void read_tensor(GgufReader& bytes, ModelShape& shape, Numbers& numbers) {
  const std::string name = bytes.text(GgufReader::kKeyBytesMax);
  const auto dimensions = bytes.number<std::uint32_t>();
  bytes.fail_unless(dimensions >= 1 && dimensions <= kDimensionsMax);
  std::array<std::uint64_t, kDimensionsMax> size = {1, 1, 1, 1};
  std::uint64_t values = 1;
  for (std::uint32_t i = 0; bytes.good() && i < dimensions; ++i) {
    size[i] = bytes.number<std::uint64_t>();
    bytes.fail_unless(size[i] <= kNumberMax && (size[i] == 0 || values <= kNumberMax / size[i]));
    if (bytes.good()) values *= size[i];
  }
  const auto type = bytes.number<std::uint32_t>();
  const auto place = bytes.number<std::uint64_t>();
  bytes.fail_unless(place <= kPlaceMax);
  const auto* packing = std::ranges::find(kPackings, type, &Packing::type);
  bytes.fail_unless(packing != kPackings.end());
  if (!bytes.good()) return;
  const auto packed = static_cast<std::int64_t>(values / packing->values * packing->bytes);
  shape.weight_bytes += packed;
  numbers.tensors_end = std::max(numbers.tensors_end, place + static_cast<std::uint64_t>(packed));
  if (name == "token_embd.weight") {
    shape.input_bytes = packed;
    shape.vocabulary = static_cast<int>(std::min<std::uint64_t>(size[1], kWidthMax));
  }
  if (name.ends_with(".ffn_gate.weight")) shape.has_gate = true;
  if (name == "output.weight") shape.ties_output = false;
  const bool is_matrix = dimensions >= 2 && size[1] % kRowsRepackedAtOnce == 0;
  if (packing->repacks && is_matrix && is_multiplied(name)) shape.repackable_bytes += packed;
}

// Which of the layers see only a window.
bool sees_a_window(const ModelShape& shape, const Numbers& numbers, std::uint32_t layer) {
  if (numbers.window == 0) return false;
  const int pattern = shape.architecture == "gemma2"                                      ? kWindowPatternGemma2
                      : shape.architecture == "gemma3" || shape.architecture == "gemma3n" ? kWindowPatternGemma3
                                                                                          : 0;
  return pattern > 0 && (layer + 1) % static_cast<std::uint32_t>(pattern) != 0;
}

bool add_up(ModelShape& shape, const Numbers& numbers) {
  const bool is_sane = numbers.layers >= 1 && numbers.layers <= kLayersMax && numbers.embedding >= 1 &&
                       numbers.embedding <= kWidthMax && numbers.heads >= 1 && numbers.heads <= kHeadsMax &&
                       numbers.feed_forward <= kWidthMax && numbers.key_length <= kWidthMax &&
                       numbers.value_length <= kWidthMax && numbers.window <= kWidthMax;
  if (!is_sane) return false;
  shape.layers = static_cast<int>(numbers.layers);
  shape.embedding_numbers = static_cast<int>(numbers.embedding);
  shape.feed_forward_numbers = static_cast<int>(numbers.feed_forward);
  shape.is_causal = numbers.causal;
  shape.window_tokens = static_cast<int>(numbers.window);
  const std::uint32_t head = numbers.embedding / numbers.heads;
  const std::int64_t of_a_head = (numbers.key_length > 0 ? numbers.key_length : head) +
                                 std::int64_t{numbers.value_length > 0 ? numbers.value_length : head};
  for (std::uint32_t layer = 0; layer < numbers.layers; ++layer) {
    std::uint32_t heads = numbers.heads;
    if (numbers.heads_kv.size() == 1) heads = numbers.heads_kv.front();
    if (numbers.heads_kv.size() > 1) heads = layer < numbers.heads_kv.size() ? numbers.heads_kv[layer] : 0;
    if (heads > kHeadsMax) return false;
    auto& total = sees_a_window(shape, numbers, layer) ? shape.window_cache_numbers : shape.cache_numbers;
    total += heads * of_a_head;
    if (total > kCacheNumbersMax) return false;
  }
  return true;
}

// Without the sums that only a whole model has. Returns how many bytes of the file it has read.
std::optional<std::uint64_t> read_tensors(std::istream& file, ModelShape& shape, Numbers& numbers) {
  GgufReader bytes(file);
  const GgufCounts counts = bytes.begin();
  bytes.fail_unless(counts.tensors <= kTensorsMax);
  for (std::uint64_t i = 0; bytes.good() && i < counts.entries; ++i) read_entry(bytes, shape, numbers);
  for (std::uint64_t i = 0; bytes.good() && i < counts.tensors; ++i) read_tensor(bytes, shape, numbers);
  return bytes.good() ? std::optional(bytes.bytes_read()) : std::nullopt;
}

}  // namespace

std::optional<std::int64_t> read_weight_bytes(std::istream& file) {
  ModelShape shape;
  Numbers numbers;
  if (!read_tensors(file, shape, numbers)) return std::nullopt;
  return shape.weight_bytes;
}

std::optional<std::int64_t> read_weight_bytes(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return read_weight_bytes(stream);
}

std::optional<std::int64_t> read_file_bytes(std::istream& file) {
  ModelShape shape;
  Numbers numbers;
  const auto header = read_tensors(file, shape, numbers);
  if (!header) return std::nullopt;
  // A file that holds no tensor ends with its header.
  if (numbers.tensors_end == 0) return static_cast<std::int64_t>(*header);
  const std::uint64_t begin = (*header + numbers.alignment - 1) / numbers.alignment * numbers.alignment;
  return static_cast<std::int64_t>(begin + numbers.tensors_end);
}

std::optional<ModelShape> read_model_shape(std::istream& file) {
  ModelShape shape{.ties_output = true};
  Numbers numbers;
  if (!read_tensors(file, shape, numbers) || !add_up(shape, numbers)) return std::nullopt;
  return shape;
}

std::optional<ModelShape> read_model_shape(const std::filesystem::path& file) {
  ModelShape shape{.ties_output = true};
  Numbers numbers;
  for (const auto& part : model_parts(file)) {
    std::ifstream stream(part, std::ios::binary);
    Numbers of_a_part;  // Only the first file has those of the model.
    if (!read_tensors(stream, shape, part == file ? numbers : of_a_part)) return std::nullopt;
  }
  if (!add_up(shape, numbers)) return std::nullopt;
  return shape;
}

}  // namespace gbgreg::fleet
