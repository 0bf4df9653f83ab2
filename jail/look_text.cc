#include "look_text.h"

#include <string_view>

namespace gbgreg::jail {
namespace {

constexpr const char* kLanguage = "eng";
// Out of 100. What is drawn, and no text, becomes words of a few strokes that Tesseract itself does not believe in.
constexpr float kBelievedMin = 40;
constexpr int kDotsPerInch = 150;  // It is not known; without a word Tesseract guesses from the size.

struct DeleteText {
  void operator()(char* text) const { ::TessDeleteText(text); }
};
struct DeleteIterator {
  void operator()(TessResultIterator* iterator) const { ::TessResultIteratorDelete(iterator); }
};
struct DeleteMonitor {
  void operator()(ETEXT_DESC* monitor) const { ::TessMonitorDelete(monitor); }
};

// What it takes for a word on a textured background may be nothing but blanks.
bool is_blank(std::string_view word) { return word.find_first_not_of(" \t\n\r") == std::string_view::npos; }

// Adds one word, behind what separates it from the one before.
void add_word(std::string& text, std::string_view word, bool begins_line, bool begins_paragraph) {
  if (!text.empty()) text.append(begins_paragraph ? "\n\n" : begins_line ? "\n" : " ");
  text.append(word);
}

std::string words_of(TessResultIterator* words) {
  std::string text;
  const TessPageIterator* const place = ::TessResultIteratorGetPageIteratorConst(words);
  bool begins_line = false, begins_paragraph = false;
  do {
    begins_line |= ::TessPageIteratorIsAtBeginningOf(place, tesseract::RIL_TEXTLINE) != 0;
    begins_paragraph |= ::TessPageIteratorIsAtBeginningOf(place, tesseract::RIL_PARA) != 0;
    if (::TessResultIteratorConfidence(words, tesseract::RIL_WORD) < kBelievedMin) continue;
    const std::unique_ptr<char, DeleteText> word(::TessResultIteratorGetUTF8Text(words, tesseract::RIL_WORD));
    if (!word || is_blank(word.get())) continue;
    if (text.size() + std::string_view(word.get()).size() + 2 > kTextBytesMax) break;
    add_word(text, word.get(), begins_line, begins_paragraph);
    begins_line = begins_paragraph = false;
  } while (::TessResultIteratorNext(words, tesseract::RIL_WORD) != 0);
  return text;
}

}  // namespace

TextReader::TextReader() : api_(::TessBaseAPICreate()) {
  if (!api_) return;
  is_ready_ = ::TessBaseAPIInit3(api_.get(), nullptr, kLanguage) == 0;
  // Rows stay rows, as in tables, forms and logs. When it looks for columns itself, Tesseract takes the numbers in
  // front of lines for one, and the lines for another.
  ::TessBaseAPISetPageSegMode(api_.get(), tesseract::PSM_SINGLE_COLUMN);
}

std::string TextReader::read(const Pixels& image) {
  if (!is_ready_) return {};
  ::TessBaseAPISetImage(api_.get(), image.bytes.data(), static_cast<int>(image.width), static_cast<int>(image.height),
                        static_cast<int>(image.bands), static_cast<int>(image.row_bytes()));
  ::TessBaseAPISetSourceResolution(api_.get(), kDotsPerInch);
  const std::unique_ptr<ETEXT_DESC, DeleteMonitor> monitor(::TessMonitorCreate());
  ::TessMonitorSetDeadlineMSecs(monitor.get(), static_cast<int>(kReadTimeMax.count()));
  if (::TessBaseAPIRecognize(api_.get(), monitor.get()) != 0) return {};
  const std::unique_ptr<TessResultIterator, DeleteIterator> words(::TessBaseAPIGetIterator(api_.get()));
  return words ? words_of(words.get()) : std::string{};
}

}  // namespace gbgreg::jail
