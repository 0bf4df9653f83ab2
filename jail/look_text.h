// Reads the text off an image, by Tesseract. One thread: the gateway starts its jails so that Tesseract has no other.
#pragma once

#include <tesseract/capi.h>

#include <chrono>
#include <memory>
#include <string>

#include "look_pixels.h"

namespace gbgreg::jail {

// Reading ends then, with what has been read.
inline constexpr std::chrono::milliseconds kReadTimeMax{20'000};
inline constexpr std::size_t kTextBytesMax = 64 * 1024;

class TextReader {
 public:
  // Loads what is known of the language; before the cage is locked.
  TextReader();

  // Whether that could be loaded: without it nothing is read.
  bool is_ready() const { return is_ready_; }

  // The words of a grey image, line by line, without those that are more likely marks than words. Empty when there is
  // nothing to read.
  std::string read(const Pixels& image);

 private:
  struct Delete {
    void operator()(TessBaseAPI* api) const { ::TessBaseAPIDelete(api); }
  };
  std::unique_ptr<TessBaseAPI, Delete> api_;
  bool is_ready_ = false;
};

}  // namespace gbgreg::jail
