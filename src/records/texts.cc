#include "records/texts.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/utf8.h"

namespace gbgreg::records {
namespace {

constexpr std::size_t kAtOnce = 256;
constexpr int kForgottenAtOnce = 2'000;
constexpr int kForgottenTimes = 10;

std::size_t bytes_of(const storage::RequestTexts& texts) { return texts.prompt.size() + texts.answer.size(); }

}  // namespace

Texts::Texts(storage::RequestTextStore& store, metrics::Registry& registry)
    : store_(store),
      dropped_(registry.counter("gbgreg_record_texts_dropped_total",
                                "Requests whose texts were to be kept and are not, because the database was away.")) {}

void Texts::add(std::string id, const Said& said) {
  storage::RequestTexts texts{
      .id = std::move(id), .prompt = to_valid_utf8(said.prompt), .answer = to_valid_utf8(said.answer)};
  const std::size_t bytes = bytes_of(texts);
  if (waiting_bytes_ + bytes > kWaitingBytesMax) return dropped_.add(metrics::kOtherLane);
  waiting_bytes_ += bytes;
  waiting_.push_back(std::move(texts));
}

Result<void> Texts::write() {
  while (!waiting_.empty()) {
    const auto count = static_cast<std::ptrdiff_t>(std::min(waiting_.size(), kAtOnce));
    const std::vector<storage::RequestTexts> batch(waiting_.begin(), waiting_.begin() + count);
    if (auto written = store_.write(batch); !written) return written;
    for (const storage::RequestTexts& texts : batch) waiting_bytes_ -= bytes_of(texts);
    waiting_.erase(waiting_.begin(), waiting_.begin() + count);
  }
  return {};
}

Result<void> Texts::forget_before(WallTime time) {
  for (int i = 0; i < kForgottenTimes; ++i) {
    const auto gone = store_.forget(first_uuid_of(time), kForgottenAtOnce);
    if (!gone) return std::unexpected(gone.error());
    if (*gone < kForgottenAtOnce) break;
  }
  return {};
}

}  // namespace gbgreg::records
