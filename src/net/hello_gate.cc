#include "net/hello_gate.h"

#include <algorithm>

namespace gbgreg::net {
namespace {

constexpr std::uint8_t kHandshakeRecord = 22;

std::uint8_t byte_at(std::string_view bytes, std::size_t at) { return static_cast<std::uint8_t>(bytes[at]); }

// Copies what is still missing of a header, and returns how many bytes that took.
template <std::size_t Size>
std::size_t complete(std::array<std::uint8_t, Size>& header, std::size_t& have, std::string_view bytes) {
  const std::size_t taken = std::min(Size - have, bytes.size());
  for (std::size_t i = 0; i < taken; ++i) header[have + i] = byte_at(bytes, i);
  have += taken;
  return taken;
}

}  // namespace

HelloGate::Verdict HelloGate::take(std::string_view bytes) {
  if (!begun_ && !bytes.empty()) {
    begun_ = true;
    const char first = bytes.front();
    if (first >= 'A' && first <= 'Z') return Verdict::plain_http;
    if (byte_at(bytes, 0) != kHandshakeRecord) return Verdict::not_tls;
  }
  while (!bytes.empty()) {
    if (record_left_ == 0) {
      bytes.remove_prefix(complete(record_header_, record_header_size_, bytes));
      if (record_header_size_ < kRecordHeaderBytes) break;
      record_header_size_ = 0;
      record_left_ = std::size_t{record_header_[3]} << 8 | record_header_[4];
      continue;
    }
    const std::string_view payload = bytes.substr(0, record_left_);
    bytes.remove_prefix(payload.size());
    record_left_ -= payload.size();
    if (record_header_[0] != kHandshakeRecord) continue;
    const Verdict verdict = take_payload(payload);
    if (verdict != Verdict::pass) return verdict;
  }
  return Verdict::pass;
}

// Handshake messages lie in the records one after the other, and are cut between records anywhere.
HelloGate::Verdict HelloGate::take_payload(std::string_view payload) {
  while (!payload.empty()) {
    if (message_left_ == 0) {
      payload.remove_prefix(complete(message_header_, message_header_size_, payload));
      if (message_header_size_ < kMessageHeaderBytes) break;
      message_header_size_ = 0;
      message_left_ = std::size_t{message_header_[1]} << 16 | std::size_t{message_header_[2]} << 8 | message_header_[3];
      if (message_left_ > message_bytes_max_) return Verdict::too_large;
      continue;
    }
    const std::size_t taken = std::min(message_left_, payload.size());
    payload.remove_prefix(taken);
    message_left_ -= taken;
  }
  return Verdict::pass;
}

}  // namespace gbgreg::net
