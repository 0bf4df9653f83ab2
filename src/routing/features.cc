#include "routing/features.h"

#include <algorithm>
#include <string>

#include "core/utf8.h"
#include "routing/byte_masks.h"
#include "routing/lexicon.h"
#include "routing/patterns.h"

namespace gbgreg::routing {
namespace {

constexpr std::string_view kSignNames[] = {
    "code_fence",  "code_inline", "code_lines", "stack_trace", "shell",       "file_name",     "identifier",
    "tech_strong", "tech_weak",   "write_act",  "text_form",   "explain_act", "reason_act",    "numbers",
    "pick_act",    "greeting",    "thanks",     "personal",    "errand",      "fact_question", "how_question",
    "arithmetic",  "short_text",  "long_text",  "quoted_text", "many_steps",  "no_words",      "talk_of_code",
};
static_assert(std::size(kSignNames) == kSigns);

// What a byte may be, in a table: each is asked several times of each byte.
enum Kind : std::uint8_t { kDigit = 1, kLower = 2, kUpper = 4, kWord = 8, kMark = 16, kOperator = 32 };
constexpr auto kKinds = [] {
  std::array<std::uint8_t, 256> kinds{};
  for (int c = '0'; c <= '9'; ++c) kinds[static_cast<std::size_t>(c)] = kDigit | kWord;
  for (int c = 'a'; c <= 'z'; ++c) kinds[static_cast<std::size_t>(c)] = kLower | kWord;
  for (int c = 'A'; c <= 'Z'; ++c) kinds[static_cast<std::size_t>(c)] = kUpper | kWord;
  kinds['_'] = kWord;
  // What read_marks() looks at.
  for (const unsigned char c : std::string_view("`_(./|-:=&")) kinds[c] |= kMark;
  for (const unsigned char c : std::string_view("-=:!&|+")) kinds[c] |= kOperator;
  return kinds;
}();
bool is(std::uint8_t kind, char c) { return (kKinds[static_cast<unsigned char>(c)] & kind) != 0; }
bool is_digit(char c) { return is(kDigit, c); }
bool is_lower(char c) { return is(kLower, c); }
bool is_upper(char c) { return is(kUpper, c); }
bool is_word(char c) { return is(kWord, c); }

// ---- The part of a text that is read.

std::string_view tail_of(std::string_view text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  std::size_t from = text.size() - bytes;
  while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xC0U) == 0x80U) ++from;
  return text.substr(from);
}

// Lower case for Latin, Cyrillic and Greek; white space to one space or one line feed; ’ to '.
class Folded {
 public:
  Folded(std::string_view text, const PromptMasks& masks) : text_(text) {
    for (std::size_t block = 0; block < masks.count(); ++block) {
      const std::size_t end = std::min(64 * (block + 1), text_.size());
      if (is_plain(masks[block])) {
        copy_plain(end);
      } else {
        is_same_but_for_case_ = false;
        while (at_ < end) take_character();
      }
    }
  }
  Folded(const Folded&) = delete;
  Folded& operator=(const Folded&) = delete;

  std::string_view text() const { return {bytes_.data(), size_}; }
  // Then the masks of the text are those of this, too.
  bool is_same_but_for_case() const { return is_same_but_for_case_; }

 private:
  // Nothing to do but for lower case.
  bool is_plain(const ByteMasks& block) const {
    const bool after_blank = size_ == 0 || is_blank(bytes_[size_ - 1]);
    const std::uint64_t behind_blanks = (block.blank << 1U) | (after_blank ? 1U : 0U);
    return block.foreign == 0 && block.blank == (block.space | block.line_feed) && (block.blank & behind_blanks) == 0;
  }
  static bool is_blank(char c) { return c == ' ' || c == '\n'; }

  void copy_plain(std::size_t end) {
    const std::string_view from = text_.substr(at_, end - at_);
    char* to = bytes_.data() + size_;
    for (std::size_t i = 0; i < from.size(); ++i) {
      const auto byte = static_cast<unsigned char>(from[i]);
      const bool is_capital = static_cast<unsigned char>(byte - 'A') < 26;
      to[i] = static_cast<char>(byte | (is_capital ? 0x20U : 0U));
    }
    at_ = end;
    size_ += from.size();
  }

  void put(unsigned byte) { bytes_[size_++] = static_cast<char>(byte); }
  void put_pair(unsigned first, unsigned second) {
    put(first);
    put(second);
    ++at_;
  }

  void take_character() {
    const auto byte_at = [this](std::size_t at) {
      return at < text_.size() ? static_cast<unsigned char>(text_[at]) : 0U;
    };
    const unsigned byte = byte_at(at_);
    const unsigned next = byte_at(at_ + 1);
    if (byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n') {
      put_blank(byte == '\n' ? '\n' : ' ');
    } else if (byte < 0x80) {
      put(is_upper(static_cast<char>(byte)) ? byte | 0x20U : byte);
    } else if (byte == 0xC3 && next >= 0x80 && next <= 0x9E && next != 0x97) {
      put_pair(byte, next + 0x20);  // À … Þ
    } else if (byte == 0xD0 && next >= 0x90 && next <= 0x9F) {
      put_pair(0xD0, next + 0x20);  // А … П
    } else if (byte == 0xD0 && next >= 0xA0 && next <= 0xAF) {
      put_pair(0xD1, next - 0x20);  // Р … Я
    } else if (byte == 0xE2 && next == 0x80 && byte_at(at_ + 2) == 0x99) {
      put('\'');
      at_ += 2;
    } else {
      put(byte);
    }
    ++at_;
  }

  void put_blank(char blank) {
    if (size_ == 0) return;
    if (!is_blank(bytes_[size_ - 1])) {
      bytes_[size_++] = blank;
    } else if (blank == '\n') {
      bytes_[size_ - 1] = blank;
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t size_ = 0;
  bool is_same_but_for_case_ = true;
  std::array<char, kBytesReadMax> bytes_;  // It never becomes longer. Only the first `size_` are set.
};

// ---- Shapes of code.

constexpr auto kCodeBeginnings = patterns(
    "#include", "import ", "from ", "def ", "fn ", "func ", "const ", "let ", "var ", "using ", "public ", "private ",
    "static ", "void ", "SELECT ", "INSERT ", "CREATE TABLE", "FROM ", "@@ ", "+++ ", "--- a", "<?php", "<!DOCTYPE",
    "package ", "struct ", "async ", "return ", "elif ", "else:", "try:", "console.log", "print(", "if (", "for (",
    "while (", "class ", "apiVersion:", "services:", "RUN ", ".global", ".extern", "use ", "library(");
constexpr auto kBlockBeginnings = patterns("if ", "for ", "while ", "with ", "except", "class ", "def ");
constexpr auto kMarkBeginnings =
    patterns("</", "<div", "<p>", "<a ", "<script", "<html", "//", "/*", ">>> ", "$ ", "# ");
constexpr auto kOperators = patterns(" = ", " == ", "->", "=>", "::", "!=", "&&", "||", "+=");
constexpr auto kPrompts = patterns("$ ", "sudo ", "~$ ");
constexpr auto kCommands =
    patterns("ls ", "cd ", "cat ", "rm ", "cp ", "mv ", "ps ", "df ", "du ", "find ", "git ", "docker ", "kubectl ",
             "npm ", "pip ", "apt ", "ssh ", "curl ", "tar ", "chmod ", "make ");
constexpr auto kRootFolders =
    patterns("/etc", "/var", "/usr", "/proc", "/home", "/dev", "/tmp", "/opt", "/bin", "/path", "/sys");
constexpr auto kPipes = patterns("| grep", "| awk", "| sed", "| xarg", "| sort", "| jq");

bool has_operator(std::string_view line) {
  for (std::size_t at = 0; at < line.size(); ++at) {
    if (!is(kOperator, line[at])) continue;
    if (kOperators.begins(line.substr(at)) || (at > 0 && kOperators.begins(line.substr(at - 1)))) return true;
  }
  return false;
}

// How much one line looks like a line of a program, 0 to 1.
float code_likeness(std::string_view line) {
  std::size_t indent = 0;
  while (indent < line.size() && (line[indent] == ' ' || line[indent] == '\t')) ++indent;
  line.remove_prefix(indent);
  while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
  if (line.size() < 2) return line.starts_with('}') || line.starts_with('{') ? 1.0F : 0.0F;
  if (kCodeBeginnings.begins(line)) {
    // Several of these are also English words: they count when the line goes on like code.
    const bool goes_on = line.find_first_of("(;{=:<\"*.") != std::string_view::npos;
    return goes_on || line.starts_with("import ") ? 0.9F : 0.2F;
  }
  const char last = line.back();
  // A rule of a style sheet, or a block on one line.
  if (last == '}' && line.find('{') != std::string_view::npos) return 0.9F;
  if (last == ';' || last == '{' || last == '}' || line.ends_with("};") || line.ends_with(");")) return 0.9F;
  if (last == ':' && kBlockBeginnings.begins(line)) return 0.9F;
  if (kMarkBeginnings.begins(line) || has_operator(line)) return 0.6F;
  return indent >= 2 && line.find_first_of("(=[") != std::string_view::npos ? 0.5F : 0.0F;
}

void read_lines(std::string_view text, Reading reading, Features& features) {
  float likeness = 0;
  int lines = 0;
  int bullets = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string_view::npos) continue;
    ++lines;
    const std::string_view rest = line.substr(first);
    const bool numbered = rest.size() > 2 && is_digit(rest[0]) && (rest[1] == '.' || rest[1] == ')');
    if (numbered || rest.starts_with("- ") || rest.starts_with("* ")) ++bullets;
    if (reading == Reading::for_complexity) continue;
    likeness += code_likeness(line);
    if (rest.starts_with("```")) add_hint(features, Sign::code_fence, 0.8F);
    if (kPrompts.begins(rest)) add_hint(features, Sign::shell, 0.7F);
    if (kCommands.begins(rest) && rest.find(" -") != std::string_view::npos) {
      add_hint(features, Sign::shell, 0.8F);
    }
  }
  features.lines = lines;
  if (lines > 0) {
    const float share = likeness / static_cast<float>(lines);
    features[Sign::code_lines] = std::min(1.0F, std::max(share, likeness / 8));
  }
  if (bullets >= 2) features[Sign::many_steps] = std::min(1.0F, static_cast<float>(bullets) / 6);
}

constexpr std::string_view kFileEndings[] = {
    "py",  "js",   "ts",  "jsx",   "tsx", "c",    "cc",   "cpp", "h",       "hpp",  "rs",    "go",   "java",
    "rb",  "php",  "cs",  "swift", "kt",  "sh",   "bat",  "ps1", "sql",     "html", "css",   "json", "yaml",
    "yml", "toml", "xml", "csv",   "ini", "conf", "cfg",  "log", "txt",     "md",   "ipynb", "dll",  "exe",
    "so",  "jar",  "gz",  "zip",   "tar", "env",  "lock", "db",  "parquet", "jpg",  "png",
};

// "3 + 4", "3x4": a digit, a sign and a digit, each with a blank between or none.
bool begins_sum(std::string_view text) {
  const auto behind_blank = [](std::string_view rest) { return rest.starts_with(' ') ? rest.substr(1) : rest; };
  std::string_view rest = behind_blank(text.substr(1));
  if (rest.empty() || (rest[0] != '+' && rest[0] != '*' && rest[0] != 'x')) return false;
  rest = behind_blank(rest.substr(1));
  return !rest.empty() && is_digit(rest[0]);
}

// Calls use(at) wherever a number begins.
template <class Use>
void for_each_number(const PromptMasks& masks, Use use) {
  std::uint64_t behind_word = 0;
  for (std::size_t block = 0; block < masks.count(); ++block) {
    const std::uint64_t word = masks[block].alnum | masks[block].underscore;
    for_each_bit(masks[block].digit & ~((word << 1U) | behind_word), [&](std::size_t bit) { use(64 * block + bit); });
    behind_word = word >> 63U;
  }
}

void read_numbers(std::string_view text, const PromptMasks& masks, Features& features) {
  int numbers = 0;
  for_each_number(masks, [&](std::size_t at) { numbers += at == 0 || text[at - 1] != '.' ? 1 : 0; });
  if (numbers >= 2) features[Sign::numbers] = std::min(1.0F, static_cast<float>(numbers) / 6);
}

// What stands around the signs that code is full of.
void read_marks(std::string_view text, Features& features) {
  int backticks = 0;
  int identifiers = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (!is(kDigit | kUpper | kMark, c)) continue;
    const char before = at > 0 ? text[at - 1] : ' ';
    const char next = at + 1 < text.size() ? text[at + 1] : ' ';
    if (is_digit(c)) {
      if (begins_sum(text.substr(at))) add_hint(features, Sign::arithmetic, 0.7F);
      continue;
    }
    switch (c) {
      case '`':
        ++backticks;
        break;
      case '_':
        if (is_word(before) && is_word(next) && next != '_') ++identifiers;
        break;
      case '(':
        if (is_word(before) && (next == ')' || next == '"' || next == '\'')) ++identifiers;
        break;
      case '.': {
        if (!is_word(next) || is_digit(next)) break;
        const std::string_view rest = text.substr(at + 1, 8);
        const auto is_ending = [&](std::string_view ending) {
          return rest.starts_with(ending) && (rest.size() == ending.size() || !is_word(rest[ending.size()]));
        };
        if ((is_word(before) || before == '*') && std::ranges::any_of(kFileEndings, is_ending)) {
          add_hint(features, Sign::file_name, 0.6F);
        } else if (is_lower(before) && is_lower(next)) {
          ++identifiers;
        }
        break;
      }
      case '/':
        if (before == ' ' && kRootFolders.begins(text.substr(at))) add_hint(features, Sign::file_name, 0.6F);
        break;
      case '|':
        if (before == ' ' && kPipes.begins(text.substr(at))) add_hint(features, Sign::shell, 0.7F);
        break;
      case '-':
        if (before == ' ' && next == '-' && at + 2 < text.size() && is_lower(text[at + 2])) {
          add_hint(features, Sign::shell, 0.5F);
        } else if (before == ' ' && is_lower(next) && (at + 2 == text.size() || text[at + 2] == ' ') && at > 1 &&
                   text[at - 2] != '\n') {
          add_hint(features, Sign::shell, 0.4F);  // "-l", but not a dash that begins a list's line.
        } else if (next == '>' && (is_word(before) || before == ')')) {
          ++identifiers;
        }
        break;
      case ':':
        if (next == ':' && is_word(before)) ++identifiers;
        break;
      case '=':
        if (next == '=' || next == '>') ++identifiers;
        break;
      case '&':
        if (next == '&') ++identifiers;
        break;
      default:
        if (is_upper(c) && is_lower(before) && is_lower(next)) ++identifiers;
        break;
    }
  }
  if (backticks >= 2) features[Sign::code_inline] = std::min(1.0F, 0.55F + static_cast<float>(backticks) * 0.05F);
  if (identifiers > 0) features[Sign::identifier] = std::min(1.0F, static_cast<float>(identifiers) * 0.25F);
}

// The words that programs print when something went wrong.
constexpr auto kErrorWords =
    patterns("Traceback (most", "Exception", "Error:", "error:", "Error`", "fatal:", "panic:", "Segmentation fault",
             "segmentation fault", "errno", "exit code", "exit status", "core dumped", "onnection refused",
             "Killed process", "undefined reference", "undefined is not", "cannot find symbol", "ermission denied",
             "No such file", "command not found", "Out of memory", "stack trace", "WARN", "ERROR", "[error]",
             "systemd[", "HTTP/1.1", "make: ***", "unexpected indent", "IndentationError", "not defined",
             "cannot import", "AssertionError", "TypeError", "SyntaxError", "ReferenceError");

void read_errors(std::string_view text, Features& features) {
  for (int seen = kErrorWords.occurring(text); seen > 0; --seen) add_hint(features, Sign::stack_trace, 0.5F);
}

// ---- The whole.

// Of the characters that `leads` point to, those that are kana or Han: about two to a word. Their marks are not.
struct Ideographs {
  std::uint64_t all = 0;
  int marks = 0;
  int stops = 0;  // 。
};
Ideographs find_ideographs(std::string_view text, std::size_t block, std::uint64_t leads) {
  Ideographs found;
  for_each_bit(leads, [&](std::size_t bit) {
    const std::string_view here = text.substr(64 * block + bit, 3);
    const auto byte = static_cast<unsigned char>(here[0]);
    if (byte < 0xE3 || byte > 0xE9) return;
    found.all |= std::uint64_t{1} << bit;
    if (!here.starts_with("\xE3\x80")) return;
    ++found.marks;
    if (here.ends_with('\x82')) ++found.stops;
  });
  return found;
}

void count_words(std::string_view text, const PromptMasks& masks, Features& features) {
  int half_words = 0;
  std::size_t characters = text.size();
  int sentences = 0;
  unsigned long long in_word = 0;  // 1 when the block before ended in a word.
  for (std::size_t block = 0; block < masks.count(); ++block) {
    const ByteMasks& mask = masks[block];
    std::uint64_t letters = mask.alnum;
    std::uint64_t ties = mask.tie | mask.underscore;
    if (mask.foreign != 0) {
      const std::uint64_t leads = mask.foreign & ~mask.continuation;
      const Ideographs ideographs = find_ideographs(text, block, leads);
      characters -= static_cast<std::size_t>(std::popcount(mask.continuation));
      half_words += std::popcount(ideographs.all) - ideographs.marks;
      sentences += ideographs.stops;
      letters |= leads & ~ideographs.all;
      ties |= mask.continuation;
    }
    // A letter begins a word unless a letter stands before it with nothing but ties between. That is how an addition
    // carries: a letter makes a carry, a tie hands it on, anything else swallows it.
    unsigned long long carry = 0;
    const std::uint64_t sum = __builtin_addcll(letters | ties, letters, in_word, &carry);
    const std::uint64_t behind_letter = sum ^ (letters | ties) ^ letters;
    half_words += 2 * std::popcount(letters & ~behind_letter);
    in_word = carry;
    // A stop counts before a blank and at the end.
    const std::uint64_t gaps = mask.space | mask.line_feed;
    std::uint64_t before_gap = gaps >> 1U;
    if (block + 1 < masks.count()) {
      before_gap |= (masks[block + 1].space | masks[block + 1].line_feed) << 63U;
    } else {
      before_gap |= std::uint64_t{1} << ((text.size() - 1) % 64);
    }
    sentences += std::popcount(mask.stop & before_gap);
  }
  features.characters += static_cast<int>(characters);
  features.words = (half_words + 1) / 2;
  features.sentences = std::max(features.sentences + sentences, features.words > 0 ? 1 : 0);
}

constexpr auto kWordsAsked = patterns("word", "wörter", "mots", "palabras", "parole", "palavras", "слов");
constexpr auto kCharactersAsked = patterns("字", "多字", "余字");
constexpr auto kPagesAsked = patterns("page", "seite", "página", "страниц");

// "3000 words", "500字", "1000-word": how long a text was asked for.
void read_length_asked(std::string_view text, const PromptMasks& masks, Features& features) {
  std::size_t read_until = 0;
  for_each_number(masks, [&](std::size_t at) {
    if (at < read_until) return;
    int number = 0;
    while (at < text.size() &&
           (is_digit(text[at]) || (text[at] == ',' && at + 1 < text.size() && is_digit(text[at + 1])))) {
      if (text[at] != ',') number = std::min(number * 10 + (text[at] - '0'), 1'000'000);
      ++at;
    }
    read_until = at;
    std::string_view after = text.substr(at, 16);
    if (!after.empty() && (after.front() == ' ' || after.front() == '-')) after.remove_prefix(1);
    if (kWordsAsked.begins(after)) {
      features.length_asked = std::max(features.length_asked, number);
    } else if (kCharactersAsked.begins(after)) {
      features.length_asked = std::max(features.length_asked, number / 2);
    } else if (kPagesAsked.begins(after)) {
      features.length_asked = std::max(features.length_asked, std::min(number, 100) * 400);
    }
  });
}

// Where the text divides into what is asked and what it is asked of: behind a colon, or at a blank line.
std::size_t find_divide(std::string_view text, const PromptMasks& masks) {
  for (std::size_t block = 0; block < masks.count(); ++block) {
    const ByteMasks& mask = masks[block];
    const bool is_last = block + 1 == masks.count();
    const std::uint64_t next_space = is_last ? 0 : masks[block + 1].space;
    const std::uint64_t next_line_feed = is_last ? 0 : masks[block + 1].line_feed;
    const std::uint64_t before_line_feed = (mask.line_feed >> 1U) | (next_line_feed << 63U);
    const std::uint64_t before_gap = before_line_feed | (mask.space >> 1U) | (next_space << 63U);
    const std::uint64_t divides = (mask.colon & before_gap) | (mask.line_feed & before_line_feed);
    if (divides != 0) return 64 * block + static_cast<std::size_t>(std::countr_zero(divides));
  }
  return masks.any(&ByteMasks::foreign) ? text.find("：") : std::string_view::npos;
}

void read_whole(std::string_view text, const PromptMasks& masks, Features& features) {
  count_words(text, masks, features);
  const int words = features.words;
  if (words == 0) features[Sign::no_words] = 1;
  features[Sign::short_text] = std::clamp(1.2F - static_cast<float>(words) / 20, 0.0F, 1.0F);
  features[Sign::long_text] = std::clamp((static_cast<float>(words) - 40) / 160, 0.0F, 1.0F);
  if (features.bytes > text.size()) features[Sign::long_text] = 1;
  // Something to work on: a colon with the rest of the text after it, or a blank line.
  const std::size_t divide = find_divide(text, masks);
  if (divide != std::string_view::npos && text.size() - divide > 40) features[Sign::quoted_text] = 0.7F;
  const std::size_t quote = std::min(text.find('"'), text.find('\''));
  if (quote != std::string_view::npos) {
    const std::size_t close = text.find(text[quote], quote + 40);
    if (close != std::string_view::npos) add_hint(features, Sign::quoted_text, 0.5F);
  }
  if (features.sentences >= 4) {
    features[Sign::many_steps] =
        std::max(features[Sign::many_steps], std::min(1.0F, static_cast<float>(features.sentences) / 12));
  }
}

void read_text(std::string_view text, Reading reading, Features& features) {
  const PromptMasks masks(text);
  read_lines(text, reading, features);
  read_numbers(text, masks, features);
  if (reading == Reading::whole) {
    read_marks(text, features);
    read_errors(text, features);
  }
  read_whole(text, masks, features);
  const Folded folded(text, masks);
  const auto read_folded = [&](const PromptMasks& folded_masks) {
    read_length_asked(folded.text(), folded_masks, features);
    read_words(folded.text(), folded_masks, features);
  };
  folded.is_same_but_for_case() ? read_folded(masks) : read_folded(PromptMasks(folded.text()));
}

// Of the bytes that do not begin a character.
std::size_t count_continuations(std::string_view text) {
  std::size_t count = 0;
  // Sums of single bytes, which the compiler makes sixteen at a time.
  for (; !text.empty(); text.remove_prefix(std::min<std::size_t>(text.size(), 128))) {
    std::uint8_t sum = 0;
    for (const char c : text.substr(0, 128)) sum += static_cast<signed char>(c) < -64 ? 1 : 0;
    count += sum;
  }
  return count;
}

// Four bytes a token is the usual rule for English; a character of another script has more bytes and is about one
// token.
int estimated_tokens(std::string_view text) {
  const std::string_view looked_at = text.substr(0, 4096);
  const std::size_t continuations = count_continuations(looked_at);
  const double bytes_a_token = continuations * 3 > looked_at.size() ? 3.0 : 4.0;
  return static_cast<int>(static_cast<double>(text.size()) / bytes_a_token) + 1;
}

bool is_about_code(const Features& features) {
  return features[Sign::code_fence] + features[Sign::code_lines] + features[Sign::tech_strong] +
             features[Sign::stack_trace] * 0.8F + features[Sign::identifier] * 0.5F + features[Sign::tech_weak] * 0.4F >
         0.9F;
}

}  // namespace

std::string_view sign_name(Sign sign) { return kSignNames[static_cast<std::size_t>(sign)]; }

Features read_features(std::string_view prompt, int images, Reading reading) {
  Features features;
  features.bytes = prompt.size();
  features.images = images;
  features.messages = 1;
  features.prompt_tokens = estimated_tokens(prompt);
  if (prompt.size() <= kHeadBytesRead + kTailBytesRead) {
    read_text(prompt, reading, features);
    return features;
  }
  std::string read;
  read.reserve(kHeadBytesRead + kTailBytesRead + 1);
  read.append(cut_utf8(prompt, kHeadBytesRead));
  read += '\n';
  read.append(tail_of(prompt, kTailBytesRead));
  read_text(read, reading, features);
  // What was not read is counted as being like what was.
  const double whole = static_cast<double>(prompt.size()) / static_cast<double>(read.size());
  features.words = static_cast<int>(std::min(features.words * whole, 1e9));
  return features;
}

Features read_features(const llm::Request& request, Reading reading) {
  const llm::Message* last = nullptr;
  int images = 0;
  int tokens = 0;
  for (const auto& message : request.messages) {
    if (message.speaker == llm::Speaker::user) last = &message;
    images += static_cast<int>(message.images.size());
  }
  for (const auto& message : request.messages) tokens += &message == last ? 0 : estimated_tokens(message.text);
  Features features =
      read_features(last != nullptr ? std::string_view(last->text) : std::string_view(), images, reading);
  features.messages = static_cast<int>(request.messages.size());
  features.prompt_tokens = tokens + (last != nullptr ? features.prompt_tokens : 0);
  features.answer_tokens_max = request.sampling.tokens_max;

  if (reading == Reading::for_complexity) return features;
  // A short follow-up leans on what it follows; one message back, from either side, is enough to tell.
  constexpr std::size_t kContextBytesRead = 600;
  int seen = 0;
  for (auto message = request.messages.rbegin(); message != request.messages.rend() && seen < 2; ++message) {
    if (&*message == last || message->speaker == llm::Speaker::system) continue;
    ++seen;
    Features before;
    read_text(cut_utf8(message->text, kContextBytesRead), reading, before);
    if (is_about_code(before)) features[Sign::talk_of_code] = 1;
  }
  return features;
}

}  // namespace gbgreg::routing
