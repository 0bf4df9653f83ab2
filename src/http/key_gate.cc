#include "http/key_gate.h"

#include "net/io_thread.h"

namespace gbgreg::http {
namespace {

using keys::Answer;

std::unexpected<Error> not_let_in(Answer answer) {
  switch (answer) {
    case Answer::expired:
      return fail(Kind::unauthorized, "key_expired", "This key has expired: ask for another.");
    case Answer::revoked:
      return fail(Kind::unauthorized, "key_revoked", "This key was revoked: ask for another.");
    case Answer::malformed:
      return fail(Kind::unauthorized, "key_invalid",
                  "This is no key of gbgreg's: they begin with gbg_ and have 53 characters. Was all of it copied?");
    case Answer::good:
    case Answer::unknown:
      break;
  }
  return fail(Kind::unauthorized, "key_invalid", "Nobody here has this key.");
}

Result<void> check_access(const keys::Key& key, Access access) {
  if (access != Access::key && !key.rights.is_admin) return needs_admin();
  return {};
}

}  // namespace

Result<std::optional<keys::Refused>> KeyGate::let_in(Call& call, Access access) {
  if (access == Access::open) return std::nullopt;
  if (!keys_.are_required() && access != Access::keys) return std::nullopt;
  const std::string_view secret = secret_of(call.exchange.head());
  if (secret.empty()) {
    return fail(Kind::unauthorized, "key_missing",
                "A key is needed: send it as \"Authorization: Bearer …\" or \"x-api-key: …\". "
                "`gbgreg keys create NAME` makes one.");
  }
  const keys::Moment now = keys::now_by(clock_);
  auto looked = keys::look_up(keys_.table(call.exchange.io().index()), secret, now.wall);
  if (looked.answer != Answer::good) return not_let_in(looked.answer);

  const keys::Key& key = *looked.key;
  call.caller.identify(std::move(looked.key), keys_, clock_);
  keys::Standing standing;
  const auto refused = key.account->admit(now, key.rights.limits.is_unbounded() ? nullptr : &standing);
  if (refused && refused->may_be_got) return refused;
  call.caller.tell(standing);
  if (refused) return std::unexpected(over_limit(*refused));
  if (auto may = check_access(key, access); !may) return std::unexpected(std::move(may.error()));
  return std::nullopt;
}

Task<Result<void>> KeyGate::let_in_later(Call& call, Access access, keys::Refused lacking) {
  const keys::Key& key = *call.caller.key();
  keys::Standing standing;
  services::Keys::Attempt attempt = [&] { return key.account->admit(keys::now_by(clock_), &standing); };
  const auto refused = co_await keys_.with_more(lacking, std::move(attempt));
  call.caller.tell(standing);
  if (refused) co_return std::unexpected(over_limit(*refused));
  co_return check_access(key, access);
}

}  // namespace gbgreg::http
