#include "services/attached.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/utf8.h"
#include "routing/features.h"

namespace gbgreg::services {
namespace {

constexpr int kAnswerTokens = 512;          // Room for an answer of no given length …
constexpr int kAnswerShare = 4;             // … but no more than this part of the context for any.
constexpr int kMessageTokens = 16;          // What a chat template puts around a message, and around them all.
constexpr std::size_t kTokenBytesMax = 16;  // Hardly a text has longer tokens: more of it is not worth counting.
constexpr int kCountsMax = 8;
constexpr std::size_t kWorthKeepingBytes = 64;  // A shorter front says nothing.

// A fence of more backticks than any that stand together in the text.
std::string fence_for(std::string_view text) {
  std::size_t longest = 2, run = 0;
  for (const char c : text) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  return std::string(longest + 1, '`');
}

std::string_view whole_lines(std::string_view front) {
  const std::size_t end = front.rfind('\n');
  // Of a text with very long lines a part of one is better than nothing.
  return end == std::string_view::npos || end + 1 < front.size() / 2 ? front : front.substr(0, end + 1);
}

std::string cut_note(std::string_view kept, std::uint64_t size_bytes) {
  std::string note = kept.empty() || kept.ends_with('\n') ? "" : "\n";
  return note + "[Cut here: " + std::to_string(kept.size()) + " of " + std::to_string(size_bytes) +
         " bytes. The rest does not fit into the model's context.]\n";
}

int count_lines(std::string_view text) {
  const auto ends = static_cast<int>(std::ranges::count(text, '\n'));
  return text.empty() || text.ends_with('\n') ? ends : ends + 1;
}

std::size_t text_bytes_of(const llm::Request& request) {
  std::size_t bytes = 0;
  for (const auto& message : request.messages) {
    bytes += message.text.size() + message.thinking.size();
    for (const auto& call : message.tool_calls) bytes += call.name.size() + call.arguments.size();
  }
  for (const auto& tool : request.tools) {
    bytes += tool.name.size() + tool.description.size() + tool.parameters_json.size();
  }
  return bytes;
}

int estimated_tokens(const llm::Request& request) {
  return routing::read_features(request, routing::Reading::for_complexity).prompt_tokens;
}

struct Counted {
  int tokens = 0;
  bool is_estimate = false;
};

Task<Counted> count(net::IoThread& io, const llm::Request& request, backends::Backend& backend) {
  const auto counted = co_await backend.count_tokens(io, request);
  // Whatever went wrong: the question itself will tell.
  if (!counted || *counted <= 0) co_return Counted{.tokens = estimated_tokens(request), .is_estimate = true};
  co_return Counted{.tokens = *counted};
}

int tokens_in(std::uint64_t bytes, int tokens, std::size_t of_bytes) {
  const double share = static_cast<double>(bytes) / static_cast<double>(std::max<std::size_t>(1, of_bytes));
  return static_cast<int>(std::min(1e9, share * std::max(1, tokens)));
}

std::uint64_t left_out(const Attached& attached) {
  std::uint64_t bytes = 0;
  for (const AttachedText& text : attached.texts) bytes += text.size_bytes - text.bytes;
  return bytes;
}

// What to keep of `text_bytes` when the request has so many tokens too many. Each further try takes more, for the end
// of a text may have fewer tokens a byte than its front.
std::size_t bytes_to_keep(std::size_t text_bytes, int over, double bytes_a_token, int tries) {
  const double less = (over * (1 + tries / 2.0) + kMessageTokens) * bytes_a_token;
  return less >= static_cast<double>(text_bytes) ? 0 : text_bytes - static_cast<std::size_t>(less);
}

}  // namespace

Fenced fenced(std::string_view filename, std::string_view text) {
  const std::string fence = fence_for(text);
  Fenced out;
  out.text.reserve(text.size() + filename.size() + 2 * fence.size() + 16);
  out.text.append("\nFile ").append(filename).append(":\n").append(fence).append("\n");
  out.offset = out.text.size();
  out.text.append(text);
  if (!text.ends_with('\n')) {
    out.text.append("\n");
    out.note_bytes = 1;
  }
  out.text.append(fence).append("\n");
  return out;
}

std::size_t Attached::text_bytes() const {
  return std::accumulate(texts.begin(), texts.end(), std::size_t{0},
                         [](std::size_t sum, const AttachedText& text) { return sum + text.bytes; });
}

std::vector<std::size_t> fair_shares(const std::vector<std::uint64_t>& sizes, std::size_t bytes_max) {
  std::vector<std::size_t> by_size(sizes.size());
  std::iota(by_size.begin(), by_size.end(), 0);
  std::ranges::sort(by_size, {}, [&](std::size_t which) { return std::pair(sizes[which], which); });
  std::vector<std::size_t> shares(sizes.size());
  for (std::size_t done = 0; done < by_size.size(); ++done) {
    const std::size_t which = by_size[done];
    const std::size_t equal = bytes_max / (by_size.size() - done);
    shares[which] = static_cast<std::size_t>(std::min<std::uint64_t>(sizes[which], equal));
    bytes_max -= shares[which];
  }
  return shares;
}

void keep_bytes(Attached& attached, llm::Request& request, std::size_t bytes_max) {
  std::vector<std::uint64_t> sizes;
  sizes.reserve(attached.texts.size());
  for (const AttachedText& text : attached.texts) sizes.push_back(text.bytes);
  const auto shares = fair_shares(sizes, bytes_max);

  const std::string before = std::move(request.messages.at(attached.message).text);
  const std::string_view all = before;
  std::string after;
  after.reserve(before.size());
  std::size_t taken = 0;
  for (std::size_t i = 0; i < attached.texts.size(); ++i) {
    AttachedText& text = attached.texts[i];
    after.append(all.substr(taken, text.offset - taken));
    taken = text.offset + text.bytes + text.note_bytes;
    std::string_view kept = all.substr(text.offset, text.bytes);
    std::string note(all.substr(text.offset + text.bytes, text.note_bytes));
    if (shares[i] < text.size_bytes) {
      kept = shares[i] < kWorthKeepingBytes ? std::string_view() : whole_lines(cut_utf8(kept, shares[i]));
    }
    if (kept.size() < text.size_bytes) note = cut_note(kept, text.size_bytes);
    text.offset = after.size();
    text.bytes = kept.size();
    text.note_bytes = note.size();
    after.append(kept).append(note);
  }
  after.append(all.substr(taken));
  request.messages.at(attached.message).text = std::move(after);
}

Task<void> fit(net::IoThread& io, llm::Request& request, Attached& attached, backends::Backend& backend,
               int context_tokens) {
  if (attached.texts.empty() || context_tokens <= 0) co_return;
  const int for_answer =
      std::min(request.sampling.tokens_max.value_or(kAnswerTokens), std::max(1, context_tokens / kAnswerShare));
  const int room = context_tokens - for_answer;
  const std::uint64_t counted_before = attached.is_fitted ? left_out(attached) : 0;

  // No token has less than a byte.
  const std::size_t around = kMessageTokens * (request.messages.size() + request.tools.size() + 1);
  const bool surely_fits = !request.has_image() && text_bytes_of(request) + around <= static_cast<std::size_t>(room);
  if (surely_fits && left_out(attached) == counted_before) co_return;

  const std::size_t worth_counting = static_cast<std::size_t>(room) * kTokenBytesMax;
  if (attached.text_bytes() > worth_counting) keep_bytes(attached, request, worth_counting);
  Counted counted = co_await count(io, request, backend);
  const int at_first = counted.tokens;
  // What was left out before anybody counted: as many tokens a byte as the rest.
  const int dropped_uncounted = tokens_in(left_out(attached) - counted_before, at_first, text_bytes_of(request));
  attached.is_fitted = true;
  for (int tries = 0; tries < kCountsMax; ++tries) {
    const int over = counted.tokens - (counted.is_estimate ? room - room / 5 : room);
    const std::size_t bytes = attached.text_bytes();
    if (over <= 0 || bytes == 0) break;
    const double bytes_a_token = static_cast<double>(text_bytes_of(request)) / std::max(1, counted.tokens);
    keep_bytes(attached, request, bytes_to_keep(bytes, over, bytes_a_token, tries));
    counted = co_await count(io, request, backend);
  }
  attached.dropped_tokens += dropped_uncounted + std::max(0, at_first - counted.tokens);
}

bool keep_less(Attached& attached, llm::Request& request) {
  const std::size_t bytes = attached.text_bytes();
  if (bytes == 0) return false;
  const int tokens = estimated_tokens(request);
  keep_bytes(attached, request, bytes / 3 * 2);
  attached.dropped_tokens += std::max(0, tokens - estimated_tokens(request));
  return true;
}

void tell(const Attached& attached, const llm::Request& request, llm::AnswerNotes& notes) {
  notes.dropped_tokens = attached.dropped_tokens;
  const std::string_view message = request.messages.at(attached.message).text;
  for (const AttachedText& text : attached.texts) {
    // An empty file was given as it is; of one that is cut to nothing there is nothing to point at.
    if (text.bytes == 0 && text.size_bytes > 0) continue;
    const int lines = std::max(1, count_lines(message.substr(text.offset, text.bytes)));
    notes.sources.push_back({.upload_id = text.upload_id, .path = text.path, .first_line = 1, .last_line = lines});
  }
  notes.sources.insert(notes.sources.end(), attached.images.begin(), attached.images.end());
}

}  // namespace gbgreg::services
