// Reads a GGUF file's beginning value by value: a bounded part, any bytes, without believing a length it finds.
//
// After the first failure all that follows fails and is zero or empty; good() says so. Any thread, one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <istream>
#include <string>

namespace gbgreg::fleet {

inline constexpr std::size_t kModelMetadataBytesMax = 64 * 1024 * 1024;  // A large vocabulary has 20 MB.

// A value's type, by the format's own numbers.
enum class GgufType : std::uint32_t { uint32 = 4, float32 = 6, boolean = 7, text = 8, array = 9, uint64 = 10 };

// What the file begins with: its version has been understood.
struct GgufCounts {
  std::uint64_t tensors = 0;
  std::uint64_t entries = 0;
};

class GgufReader {
 public:
  static constexpr std::size_t kKeyBytesMax = 65'535;  // The format's own bound.

  explicit GgufReader(std::istream& file) : file_(file) {}

  bool good() const { return good_; }
  // So far, and those that were skipped.
  std::uint64_t bytes_read() const { return kModelMetadataBytesMax - left_; }
  void fail_unless(bool holds) { good_ = good_ && holds; }

  // Fails when the file is not GGUF of a version that engines read.
  GgufCounts begin();
  // Little-endian: std::uint8_t, std::uint32_t, std::uint64_t.
  template <class Number>
  Number number();
  // Fails when it is longer than `bytes_max`.
  std::string text(std::size_t bytes_max);
  void skip(std::uint64_t bytes);
  // A value of the type, whatever it is.
  void skip_value(std::uint32_t type);

 private:
  void skip_array();
  bool take(std::uint64_t bytes);

  std::istream& file_;
  std::uint64_t left_ = kModelMetadataBytesMax;
  bool good_ = true;
};

}  // namespace gbgreg::fleet
