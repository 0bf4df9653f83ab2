#include "app/progress.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>

namespace gbgreg::app {
namespace {

constexpr std::chrono::milliseconds kDrawEvery{100};
constexpr std::uint64_t kBarCells = 24;
constexpr std::size_t kLabelBytes = 28;
// Back to the line's begin, and whatever stood there is gone.
constexpr const char* kBeginOfLine = "\r\x1b[K";

std::string label_of(const std::string& text) {
  constexpr std::size_t kDigestBytes = 12;
  const bool is_digest = text.size() == 64 && text.find_first_not_of("0123456789abcdef") == text.npos;
  std::string label = text.substr(0, is_digest ? kDigestBytes : kLabelBytes);
  // A file's name comes from the server.
  std::ranges::replace_if(label, [](char c) { return c < ' ' || c == 0x7f; }, '?');
  return label;
}

std::string bar(std::uint64_t completed, std::uint64_t total) {
  const std::uint64_t full = total == 0 ? kBarCells : std::min(kBarCells, completed * kBarCells / total);
  std::string cells;
  for (std::uint64_t i = 0; i < kBarCells; ++i) cells += i < full ? "█" : "░";
  return cells;
}

std::string duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

}  // namespace

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "KB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 999.95 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

void ProgressDisplay::show(const models::PullProgress& progress, std::chrono::steady_clock::time_point now) {
  using Stage = models::PullStage;
  switch (progress.stage) {
    case Stage::manifest:
      return say("reading the manifest");
    case Stage::blob:
      return show_blob(progress, now);
    case Stage::verifying:
      return say("every SHA-256 is right");
    case Stage::writing:
      return say("writing the manifest");
    case Stage::done:
      return end_line();
  }
}

void ProgressDisplay::show_blob(const models::PullProgress& progress, std::chrono::steady_clock::time_point now) {
  if (progress.sha256 != label_) {
    end_line();
    label_ = progress.sha256;
    first_bytes_ = progress.completed_bytes;
    first_at_ = now;
    drawn_at_ = {};
    tenths_told_ = 0;
    is_complete_ = false;
  }
  if (is_complete_) return;
  const std::uint64_t done = progress.completed_bytes;
  const std::uint64_t total = progress.total_bytes.value_or(0);
  // The first one says where it begins: at nothing, or at what an earlier time left.
  if (first_bytes_ == 0 && done > 0 && now - first_at_ < kDrawEvery) first_bytes_ = done;
  is_complete_ = total > 0 && done >= total;
  const std::string label = label_of(label_);
  if (screen_ == Screen::plain) {
    const std::uint64_t tenths = total == 0 ? 0 : done * 10 / total;
    if (tenths <= tenths_told_ && !is_complete_) return;
    tenths_told_ = tenths;
    out_ << fmt::format("fetching {} {:3}% of {}\n", label, tenths * 10, human_bytes(total)) << std::flush;
    return;
  }
  if (!is_complete_ && now - drawn_at_ < kDrawEvery) return;
  drawn_at_ = now;
  const double seconds = std::chrono::duration<double>(now - first_at_).count();
  const double rate = seconds > 0.2 && done > first_bytes_ ? static_cast<double>(done - first_bytes_) / seconds : 0;
  out_ << kBeginOfLine << "fetching " << label << "  ";
  if (total > 0) out_ << bar(done, total) << fmt::format(" {:3}%  ", done * 100 / total);
  out_ << human_bytes(done);
  if (total > 0) out_ << " of " << human_bytes(total);
  if (rate > 0) out_ << "  " << human_bytes(static_cast<std::uint64_t>(rate)) << "/s";
  if (rate > 0 && total > done) out_ << "  " << duration(static_cast<double>(total - done) / rate) << " left";
  out_ << std::flush;
  is_line_open_ = true;
}

void ProgressDisplay::say(const std::string& line) {
  end_line();
  out_ << line << std::endl;
}

void ProgressDisplay::end_line() {
  if (is_line_open_) out_ << std::endl;
  is_line_open_ = false;
}

}  // namespace gbgreg::app
