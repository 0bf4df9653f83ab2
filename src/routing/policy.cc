#include "routing/policy.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "routing/candidates.h"
#include "routing/complexity.h"

namespace gbgreg::routing {
namespace {

// ---- The rules.

constexpr std::string_view kVision = "vision";
constexpr std::array<std::string_view, 3> kTextRoles = {"coordinator", "technical", "documentation"};
constexpr std::string_view kNothingSpeaksFor[] = {
    "nothing in the prompt is small talk, an errand or a plain question of fact",
    "nothing in the prompt asks for code or shows any",
    "nothing in the prompt asks for a text, an explanation or reasoning",
};
constexpr std::string_view kByDefault[] = {
    "nothing in it asks for more than a short answer",
    "it leans towards computing",
    "it asks for more than a short answer",
};

// What each sign says for and against each role. A prompt's score for a role is the sum over the signs it shows, each
// times its strength; the highest score wins. The weights came from a regression over labelled prompts in thirty
// languages and were then rounded, and set by hand where examples are few (a fence, a stack trace, a shell line).
struct Rule {
  Sign sign;
  std::array<float, 3> weight;  // coordinator, technical, documentation
  std::string_view seen;        // "Chosen because …"
};
constexpr Rule kRules[] = {
    // Code to be seen.
    {Sign::code_fence, {-0.5F, 1.2F, -0.7F}, "it holds a block of code"},
    {Sign::code_inline, {-0.9F, 2.2F, -1.2F}, "it quotes code"},
    {Sign::code_lines, {-0.4F, 1.4F, -1.0F}, "its lines look like a program"},
    {Sign::stack_trace, {-1.2F, 2.0F, -0.6F}, "it shows an error message of a program"},
    {Sign::shell, {-1.5F, 2.5F, -0.5F}, "it shows a shell command"},
    {Sign::file_name, {-0.4F, 0.6F, -0.2F}, "it names files"},
    {Sign::identifier, {-0.6F, 1.7F, -1.1F}, "it holds names as programs write them"},
    // Words of computing.
    {Sign::tech_strong, {-1.6F, 3.2F, -1.6F}, "it speaks of programming or system administration"},
    {Sign::tech_weak, {-1.6F, 2.3F, -0.7F}, "it uses words of computing"},
    {Sign::how_question, {-1.6F, 1.1F, 0.5F}, "it asks how something is done"},
    {Sign::talk_of_code, {-1.2F, 1.4F, -0.2F}, "the conversation is about code"},
    // Text and thought.
    {Sign::write_act, {-1.1F, -0.4F, 1.5F}, "it asks for a text to be written or worked on"},
    {Sign::text_form, {0.0F, -1.5F, 1.5F}, "it names a kind of text"},
    {Sign::explain_act, {-1.8F, 0.3F, 1.5F}, "it asks for an explanation or a comparison"},
    {Sign::reason_act, {-1.1F, -0.2F, 1.3F}, "it asks for reasoning in steps"},
    {Sign::numbers, {-0.8F, -0.1F, 0.9F}, "it is a problem with several numbers"},
    {Sign::long_text, {-0.9F, -0.8F, 1.7F}, "it is long"},
    {Sign::many_steps, {0.0F, -0.4F, 0.4F}, "it sets several conditions"},
    // Small things.
    {Sign::pick_act, {2.4F, -1.2F, -1.2F}, "it is a small task of picking or sorting"},
    {Sign::greeting, {1.7F, -1.1F, -0.6F}, "it greets"},
    {Sign::thanks, {0.6F, -0.3F, -0.3F}, "it is a reply in a few words"},
    {Sign::personal, {1.2F, -0.3F, -0.9F}, "it talks with the assistant"},
    {Sign::errand, {2.1F, -1.4F, -0.7F}, "it is an errand or about the person's own affairs"},
    {Sign::fact_question, {1.6F, -1.2F, -0.4F}, "it asks for a single fact"},
    {Sign::arithmetic, {1.0F, -0.5F, -0.5F}, "it is a sum"},
    {Sign::short_text, {1.8F, -0.1F, -1.7F}, "it is short"},
    {Sign::no_words, {3.0F, -1.0F, -2.0F}, "it holds no words"},
};
constexpr std::array<float, 3> kBefore = {-0.5F, -0.6F, 1.1F};  // The score before anything was seen.

struct Scores {
  std::array<double, 3> probability{};     // Of each text role; together 1.
  std::array<const Rule*, 3> strongest{};  // What says most for it, if anything does.
};

Scores score(const Features& features) {
  Scores scores;
  std::array<double, 3> sum{};
  std::array<double, 3> most{};
  for (std::size_t role = 0; role < kTextRoles.size(); ++role) {
    sum[role] = kBefore[role];
    for (const Rule& rule : kRules) {
      const double says = static_cast<double>(rule.weight[role]) * static_cast<double>(features[rule.sign]);
      sum[role] += says;
      constexpr double kWorthTelling = 0.4;
      // That a prompt is short or long is told only when nothing better is known.
      const bool is_length = rule.sign == Sign::short_text || rule.sign == Sign::long_text;
      const double telling = is_length ? says / 4 : says;
      if (telling > std::max(most[role], kWorthTelling)) {
        most[role] = telling;
        scores.strongest[role] = &rule;
      }
    }
  }
  const double highest = std::ranges::max(sum);
  double total = 0;
  for (std::size_t role = 0; role < sum.size(); ++role)
    total += scores.probability[role] = std::exp(sum[role] - highest);
  for (double& probability : scores.probability) probability /= total;
  return scores;
}

// ---- The backends.

// The one that will probably answer first, of those that fit and speak: one that embeds has no answer to a prompt.
template <class Fits>
const llm::BackendView* best(std::span<const llm::BackendView> backends, Fits fits) {
  return readiest(backends, [&](const llm::BackendView& backend) { return !backend.embeds && fits(backend); });
}

const llm::BackendView* best_of_role(std::span<const llm::BackendView> backends, std::string_view role) {
  return best(backends, [role](const llm::BackendView& backend) { return backend.role == role; });
}

bool can_take(const llm::BackendView* backend) {
  return backend != nullptr && readiness(backend->state) < readiness(llm::BackendState::failed);
}

llm::Prediction predict(const Features& features, const llm::Complexity& complexity, const llm::BackendView& backend) {
  llm::Prediction predicted{.tokens = expected_answer_tokens(features, complexity)};
  // Before the first measured answer nothing honest can be said about time.
  if (!backend.tokens_per_second || *backend.tokens_per_second <= 0) return predicted;
  const double token_ms = 1000 / *backend.tokens_per_second;
  if (backend.slots_free <= 0) {
    constexpr double kTokensOfAnotherAnswer = 200;
    const double turns = (backend.queued + 1.0) / std::max(1, backend.slots_total);
    predicted.queue_ms = turns * kTokensOfAnotherAnswer * token_ms;
  }
  // The speed at which a prompt is read is not known here: the first token is counted as one token's time.
  predicted.ttft_ms = predicted.queue_ms + token_ms;
  predicted.total_ms = predicted.queue_ms + predicted.tokens * token_ms;
  return predicted;
}

// ---- The sentences.

std::unexpected<Error> no_vision_model() {
  return fail(Kind::refused, "no_vision_model",
              "No model here takes images: leave the image out, or ask the owner to configure a vision model.");
}

std::unexpected<Error> model_cannot_see(std::string_view asked, std::span<const llm::BackendView> backends) {
  const auto* sees = best(backends, [](const llm::BackendView& backend) { return backend.sees_images; });
  if (sees == nullptr) return no_vision_model();
  return fail(Kind::malformed, "model_cannot_see",
              quoted(asked) + " does not take images: ask " + quoted(sees->model) + ", or leave the model out.");
}

std::string article_for(std::string_view role) {
  return std::string(role.empty() || std::string_view("aeiou").find(role.front()) == std::string_view::npos ? "a "
                                                                                                            : "an ") +
         std::string(role);
}

// ---- The choice.

struct Choice {
  const llm::BackendView* backend;
  double confidence;
  std::string reason;
};

std::unexpected<Error> nobody_speaks(std::string_view asked, std::span<const llm::BackendView> backends) {
  const auto is_it = [&](const llm::BackendView& backend) { return is_asked_for(backend, asked); };
  if (std::ranges::none_of(backends, is_it)) return model_not_found(asked, backends);
  return fail(
      Kind::malformed, "model_only_embeds",
      quoted(asked) + " only makes embeddings: ask it by /v1/embeddings or /api/embed, or leave the model out.");
}

Result<Choice> choose_asked(const Features& features, std::string_view asked,
                            std::span<const llm::BackendView> backends) {
  const bool needs_eyes = features.images > 0;
  const auto fits_role = [&](const llm::BackendView& backend) { return backend.role == asked; };
  const auto fits_model = [&](const llm::BackendView& backend) { return is_named(backend.model, asked); };
  const bool is_role = best(backends, fits_role) != nullptr;
  const auto fits = [&](const llm::BackendView& backend) { return is_role ? fits_role(backend) : fits_model(backend); };
  if (best(backends, fits) == nullptr) return nobody_speaks(asked, backends);
  const auto* found = best(
      backends, [&](const llm::BackendView& backend) { return fits(backend) && (!needs_eyes || backend.sees_images); });
  if (found == nullptr) return model_cannot_see(asked, backends);
  return Choice{found, 1,
                is_role ? "The request asks for the role " + quoted(asked) + "."
                        : "The request asks for the model " + quoted(asked) + "."};
}

Result<Choice> choose_for_image(std::span<const llm::BackendView> backends) {
  const auto* vision =
      best(backends, [](const llm::BackendView& backend) { return backend.sees_images && backend.role == kVision; });
  if (can_take(vision)) return Choice{vision, 1, "There is an image to be looked at."};
  const auto* other = best(backends, [](const llm::BackendView& backend) { return backend.sees_images; });
  if (other == nullptr) return no_vision_model();
  if (vision == nullptr) return Choice{other, 1, "There is an image to be looked at, and this model sees."};
  if (!can_take(other)) return Choice{vision, 1, "There is an image to be looked at."};
  return Choice{other, 1, "There is an image to be looked at; the vision model has failed, and this one sees too."};
}

Result<Choice> choose_for_text(const Scores& scores, std::span<const llm::BackendView> backends) {
  const auto* any = best(backends, [](const llm::BackendView&) { return true; });
  if (any == nullptr) {
    return std::unexpected(Error{.kind = Kind::unavailable,
                                 .code = "no_model",
                                 .message = "No model is configured here; ask the owner to add one.",
                                 .retry_after_seconds = 30});
  }
  std::array<std::size_t, 3> order = {0, 1, 2};
  // Equal scores keep the order of the roles: the cheapest first.
  std::ranges::sort(order, {}, [&](std::size_t role) { return std::tuple(-scores.probability[role], role); });
  const std::size_t wanted = order.front();
  const Rule* strongest = scores.strongest[wanted];
  const std::string because(strongest != nullptr ? strongest->seen : kByDefault[wanted]);
  const std::string wanted_role(kTextRoles[wanted]);

  const auto* first = best_of_role(backends, kTextRoles[wanted]);
  if (can_take(first)) {
    return Choice{first, scores.probability[wanted],
                  "Taken as " + article_for(wanted_role) + " prompt: " + because + "."};
  }
  const std::string trouble = first == nullptr ? "there is no such model here" : "that model has failed";
  const auto instead = [&](const llm::BackendView* backend, double confidence) {
    return Choice{backend, confidence,
                  "It reads like " + article_for(wanted_role) + " prompt (" + because + "), but " + trouble + ", so " +
                      backend->role + " takes it."};
  };
  for (const std::size_t role : order) {
    const auto* backend = best_of_role(backends, kTextRoles[role]);
    if (can_take(backend)) return instead(backend, scores.probability[role]);
  }
  // Roles of the owner's own, then whatever there is: an answer from another model is better than none.
  const auto* own = best(backends, [](const llm::BackendView& backend) { return backend.role != kVision; });
  const auto* other = can_take(own) ? own : any;
  if (can_take(other) || first == nullptr) return instead(other, 0.1);
  return Choice{first, scores.probability[wanted],
                "Taken as " + article_for(wanted_role) + " prompt: " + because + "; every model has failed."};
}

// Why the others were not taken: one line for each role, its best backend standing for it.
std::vector<llm::Alternative> alternatives(const Features& features, const Scores& scores, bool was_asked,
                                           const llm::BackendView& chosen, std::span<const llm::BackendView> backends) {
  std::vector<llm::Alternative> others;
  for (const auto& view : backends) {
    if (view.role == chosen.role || view.embeds) continue;
    if (std::ranges::any_of(others, [&](const llm::Alternative& other) { return other.role == view.role; })) continue;
    const llm::BackendView* backend = best_of_role(backends, view.role);
    llm::Alternative other{.role = backend->role, .model = backend->model, .why_not = {}};
    const auto role = static_cast<std::size_t>(std::ranges::find(kTextRoles, backend->role) - kTextRoles.begin());
    if (role < kTextRoles.size() && features.images == 0) other.score = scores.probability[role];
    if (was_asked) {
      other.why_not = "another was asked for by name";
    } else if (features.images > 0) {
      other.why_not = backend->sees_images ? "images go to the vision role first" : "it does not take images";
    } else if (readiness(backend->state) == readiness(llm::BackendState::failed)) {
      other.why_not = "it has failed";
    } else if (backend->role == kVision) {
      other.why_not = "there is no image";
    } else if (role == kTextRoles.size()) {
      other.why_not = "this role is taken only when it is asked for by name";
    } else if (const Rule* rule = scores.strongest[role]; rule != nullptr) {
      other.why_not = std::string(rule->seen) + ", but more speaks for another role";
    } else {
      other.why_not = kNothingSpeaksFor[role];
    }
    others.push_back(std::move(other));
  }
  std::ranges::sort(
      others, {}, [](const llm::Alternative& other) { return std::tuple(-other.score, std::string_view(other.role)); });
  return others;
}

std::vector<llm::Signal> signals(const Features& features, std::string_view role) {
  std::vector<llm::Signal> seen;
  if (features.images > 0)
    seen.push_back({.name = "image", .value = static_cast<double>(features.images), .weight = 1});
  const auto index = static_cast<std::size_t>(std::ranges::find(kTextRoles, role) - kTextRoles.begin());
  if (index == kTextRoles.size()) return seen;
  constexpr float kWorthShowing = 0.05F;
  for (const Rule& rule : kRules) {
    if (features[rule.sign] < kWorthShowing) continue;
    seen.push_back({.name = std::string(sign_name(rule.sign)),
                    .value = static_cast<double>(features[rule.sign]),
                    .weight = static_cast<double>(rule.weight[index])});
  }
  return seen;
}

}  // namespace

bool is_asked_by_name(std::string_view asked) { return !asked.empty() && asked != "auto"; }

bool is_asked_for(const llm::BackendView& backend, std::string_view asked) {
  return backend.role == asked || is_named(backend.model, asked);
}

bool is_named(std::string_view model, std::string_view asked) {
  constexpr std::string_view kLatest = ":latest";
  if (model == asked) return true;
  const auto is_latest_of = [&](std::string_view full, std::string_view bare) {
    return full.size() == bare.size() + kLatest.size() && full.starts_with(bare) && full.ends_with(kLatest);
  };
  return is_latest_of(model, asked) || is_latest_of(asked, model);
}

std::unexpected<Error> model_not_found(std::string_view asked, std::span<const llm::BackendView> backends) {
  std::vector<std::string_view> known = {"auto"};
  for (const auto& backend : backends) known.push_back(backend.role);
  for (const auto& backend : backends) known.push_back(backend.model);
  return std::unexpected(Error{
      .kind = Kind::not_found,
      .code = "model_not_found",
      .message = "There is no model or role " + quoted(asked) + " here: name one of those in details, or \"auto\".",
      .details_json = "{\"known\":" + json_names(known) + "}"});
}

Result<llm::Decision> choose(const Features& features, std::string_view asked_model,
                             std::span<const llm::BackendView> backends, Detail detail, std::uint64_t dice) {
  const bool was_asked = is_asked_by_name(asked_model);
  const Scores scores = was_asked && detail == Detail::brief ? Scores{} : score(features);
  auto choice = was_asked             ? choose_asked(features, asked_model, backends)
                : features.images > 0 ? choose_for_image(backends)
                                      : choose_for_text(scores, backends);
  if (!choice) return std::unexpected(std::move(choice.error()));

  const llm::BackendView& chosen = *share_work(backends, choice->backend, dice);
  llm::Decision decision;
  decision.role = chosen.role;
  decision.model = chosen.model;
  decision.backend = chosen.id;
  decision.complexity = measure_complexity(features);
  decision.confidence = choice->confidence;
  decision.reason = std::move(choice->reason);
  if (detail == Detail::brief) return decision;
  decision.signals = signals(features, chosen.role);
  decision.predicted = predict(features, decision.complexity, chosen);
  decision.alternatives = alternatives(features, scores, was_asked, chosen, backends);
  return decision;
}

}  // namespace gbgreg::routing
