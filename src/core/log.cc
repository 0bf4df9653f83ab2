#include "core/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>

namespace gbgreg {
namespace {

// A write for each line would cost a request more than all that is done to read it. Warnings are written at once, the
// rest within kWrittenWithin.
constexpr std::size_t kBufferBytes = 64UL * 1024;
constexpr std::chrono::seconds kWrittenWithin{1};

class EscapedMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    constexpr std::string_view kHex = "0123456789abcdef";
    const auto is_plain = [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; };
    if (std::ranges::all_of(message.payload, is_plain)) return out.append(message.payload);
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

}  // namespace

void set_up_log(std::string_view level) {
  std::setvbuf(stderr, nullptr, _IOFBF, kBufferBytes);
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<EscapedMessage>('*').set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %*");
  auto logger = std::make_shared<spdlog::logger>("gbgreg", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_formatter(std::move(formatter));
  const auto wanted = spdlog::level::from_str(std::string(level));
  const bool unknown = wanted == spdlog::level::off && level != "off";
  logger->set_level(unknown ? spdlog::level::info : wanted);
  logger->flush_on(spdlog::level::warn);
  spdlog::set_default_logger(std::move(logger));
  spdlog::flush_every(kWrittenWithin);
}

}  // namespace gbgreg
