#include "http/caller.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace gbgreg::http {
namespace {

using keys::Bucket;

constexpr std::string_view kBearer = "bearer ";

// What was sent as a key, whatever its form: as long as keys are not checked it is as good as any other.
std::string_view word_of(const net::RequestHead& head) {
  std::string_view key = head.field("authorization").value_or("");
  if (key.empty()) return head.field("x-api-key").value_or("");
  if (net::equal_ignoring_case(key.substr(0, kBearer.size()), kBearer)) key.remove_prefix(kBearer.size());
  return key;
}

void append_number(std::string& to, std::int64_t number) {
  std::array<char, 20> digits{};
  to.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr);
}

// "120ms", "1.5s", "6m0s", "11h59m59s": as OpenAI's servers write them, rounded up.
void append_duration(std::string& to, Bucket::Micros duration) {
  const std::int64_t ms = std::chrono::ceil<std::chrono::milliseconds>(duration).count();
  if (ms < 1000) {
    append_number(to, ms);
    to.append("ms");
    return;
  }
  if (ms < 60'000) {
    append_number(to, ms / 1000);
    if (ms % 1000 != 0) {
      std::string digits = std::to_string(1000 + ms % 1000).substr(1);
      digits.erase(digits.find_last_not_of('0') + 1);
      to.append(".").append(digits);
    }
    to.append("s");
    return;
  }
  const std::int64_t seconds = (ms + 999) / 1000, hours = seconds / 3600;
  if (hours > 0) {
    append_number(to, hours);
    to.append("h");
  }
  append_number(to, seconds / 60 % 60);
  to.append("m");
  append_number(to, seconds % 60);
  to.append("s");
}

void append_left(std::string& to, std::string_view of, const keys::Standing::Left& left) {
  append_number(to.append("x-ratelimit-limit-").append(of).append(": "), left.limit);
  append_number(to.append("\r\nx-ratelimit-remaining-").append(of).append(": "), left.left);
  append_duration(to.append("\r\nx-ratelimit-reset-").append(of).append(": "), left.reset);
  to.append("\r\n");
}

int whole_seconds(Bucket::Micros wait) {
  constexpr std::int64_t kMost = 7 * 86'400;
  return static_cast<int>(std::clamp<std::int64_t>(std::chrono::ceil<std::chrono::seconds>(wait).count(), 1, kMost));
}

}  // namespace

ExchangeCaller::~ExchangeCaller() { settle(); }

void ExchangeCaller::identify(std::shared_ptr<const keys::Key> key, services::Keys& keys, const Clock& clock) {
  key_ = std::move(key);
  keys_ = &keys;
  clock_ = &clock;
  exchange_.add_late_fields(*this);
}

llm::CallerId ExchangeCaller::id() const {
  // A key's id is nothing that the others below could be.
  if (key_) return llm::CallerId{std::hash<std::string_view>{}(key_->id)};
  const std::string_view word = word_of(exchange_.head());
  std::string who(word.empty() ? "address " : "key ");
  who.append(word.empty() ? address_of(exchange_.peer()) : word);
  return llm::CallerId{std::hash<std::string>{}(who)};
}

bool ExchangeCaller::is_metered() const {
  return key_ && (key_->rights.limits.tokens_per_minute || key_->rights.limits.tokens_per_day);
}

std::optional<keys::Refused> ExchangeCaller::reserve(std::int64_t tokens) {
  keys::Reserved more;
  keys::Standing standing;
  const auto refused = key_->account->reserve(tokens, keys::now_by(*clock_), more, is_metered() ? &standing : nullptr);
  if (!refused && more.day != reserved_.day) settle();
  if (!refused) {
    reserved_.day = more.day;
    reserved_.tokens += more.tokens;
  }
  // What this answer may take is not left any more.
  if (standing.tokens) standing_.tokens = standing.tokens;
  return refused;
}

std::optional<Result<void>> ExchangeCaller::expect(std::int64_t tokens) {
  if (!key_) return Result<void>{};
  const auto refused = reserve(tokens);
  if (!refused) return Result<void>{};
  if (!refused->may_be_got) return std::unexpected(over_limit(*refused));
  lacking_ = *refused;
  return std::nullopt;
}

Task<Result<void>> ExchangeCaller::expect_later(std::int64_t tokens) {
  services::Keys::Attempt again = [this, tokens] { return reserve(tokens); };
  const auto refused = co_await keys_->with_more(lacking_, std::move(again));
  if (refused) co_return std::unexpected(over_limit(*refused));
  co_return Result<void>{};
}

void ExchangeCaller::settle() {
  const auto reserved = std::exchange(reserved_, {});
  const auto spent = std::exchange(spent_, 0);
  if (!key_ || (reserved.tokens == 0 && spent == 0)) return;
  const keys::Moment now = keys::now_by(*clock_);
  // Where nothing was reserved, because nothing is limited, it is of today.
  const bool is_reserved = reserved.day != keys::Day{};
  key_->account->settle(is_reserved ? reserved : keys::Reserved{.tokens = 0, .day = keys::day_of(now.wall)}, spent,
                        now);
}

std::string_view address_of(std::string_view peer) {
  return peer.starts_with("unix:") ? peer : peer.substr(0, peer.rfind(':'));
}

std::string_view secret_of(const net::RequestHead& head) {
  const std::string_view authorization = head.field("authorization").value_or("");
  if (!net::equal_ignoring_case(authorization.substr(0, kBearer.size()), kBearer)) {
    return head.field("x-api-key").value_or("");
  }
  std::string_view secret = authorization.substr(kBearer.size());
  secret.remove_prefix(std::min(secret.find_first_not_of(' '), secret.size()));
  return secret;
}

void ExchangeCaller::append_to(std::string& head) const {
  if (standing_.requests) append_left(head, "requests", *standing_.requests);
  if (standing_.tokens) append_left(head, "tokens", *standing_.tokens);
}

Error over_limit(const keys::Refused& refused) {
  using keys::Bound;
  const std::string limit = std::to_string(refused.limit);
  const std::string what = refused.bound == Bound::requests_per_minute ? limit + " requests a minute"
                           : refused.bound == Bound::tokens_per_minute ? limit + " tokens a minute"
                                                                       : limit + " tokens a day";
  if (refused.is_for_ever) {
    return {.kind = Kind::too_large,
            .code = "request_over_limit",
            .message = "Prompt and answer may come to more than this key's limit of " + what +
                       " altogether: shorten the prompt, or ask for fewer tokens."};
  }
  const std::string code = refused.bound == Bound::requests_per_minute ? "requests_per_minute_exceeded"
                           : refused.bound == Bound::tokens_per_minute ? "tokens_per_minute_exceeded"
                                                                       : "tokens_per_day_exceeded";
  const int seconds = whole_seconds(refused.wait);
  return {.kind = Kind::busy,
          .code = code,
          .message = "This key's limit of " + what + " is used up. Try again in " + std::to_string(seconds) + " s.",
          .retry_after_seconds = seconds};
}

std::unexpected<Error> needs_admin() {
  return fail(Kind::forbidden, "admin_only", "Only a key of an admin may do this (gbgreg keys create NAME --admin).");
}

}  // namespace gbgreg::http
