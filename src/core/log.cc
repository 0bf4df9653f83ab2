#include "core/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>

namespace gbgreg {
namespace {

// A write for each line would cost a request more than all that is done to read it. Warnings are written at once, the
// rest within kWrittenWithin.
constexpr std::size_t kBufferBytes = 64UL * 1024;
constexpr std::chrono::seconds kWrittenWithin{1};

// Standard error, by many lines at a time. What cannot be written is lost: there is nowhere to say so.
class BufferedStandardError final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  ~BufferedStandardError() override { flush_(); }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    formatter_->format(message, lines_);
    if (lines_.size() >= kBufferBytes) flush_();
  }
  void flush_() override {
    std::string_view rest(lines_.data(), lines_.size());
    while (!rest.empty()) {
      const ssize_t written = ::write(STDERR_FILENO, rest.data(), rest.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) break;
      rest.remove_prefix(static_cast<std::size_t>(written));
    }
    lines_.clear();
  }

 private:
  spdlog::memory_buf_t lines_;
};

class EscapedMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    constexpr std::string_view kHex = "0123456789abcdef";
    const auto is_plain = [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; };
    bool all_plain = true;
    for (const char c : message.payload) all_plain &= is_plain(c);  // To the end: many bytes at a time.
    if (all_plain) return out.append(message.payload);
    for (const char c : message.payload) {
      const auto byte = static_cast<unsigned char>(c);
      if (is_plain(c)) {
        out.push_back(c);
      } else {
        out.push_back('\\');
        out.push_back('x');
        out.push_back(kHex[byte >> 4]);
        out.push_back(kHex[byte & 0xf]);
      }
    }
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<EscapedMessage>(); }
};

spdlog::level::level_enum level_of(std::string_view name) {
  const auto level = spdlog::level::from_str(std::string(name));
  const bool is_unknown = level == spdlog::level::off && name != "off";
  return is_unknown ? spdlog::level::info : level;
}

}  // namespace

void set_up_log(std::string_view level) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<EscapedMessage>('*').set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %*");
  auto logger = std::make_shared<spdlog::logger>("gbgreg", std::make_shared<BufferedStandardError>());
  logger->set_formatter(std::move(formatter));
  logger->set_level(level_of(level));
  logger->flush_on(spdlog::level::warn);
  spdlog::set_default_logger(std::move(logger));
  spdlog::flush_every(kWrittenWithin);
}

void set_log_level(std::string_view level) { spdlog::default_logger_raw()->set_level(level_of(level)); }

}  // namespace gbgreg
