#include "services/models.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>

#include "fleet/model_file.h"

namespace gbgreg::services {
namespace {

protocols::PullStep step_of(const models::PullProgress& progress) {
  using Stage = protocols::PullStep::Stage;
  constexpr auto stage_of = [](models::PullStage stage) {
    switch (stage) {
      case models::PullStage::manifest:
        return Stage::manifest;
      case models::PullStage::blob:
        return Stage::blob;
      case models::PullStage::verifying:
        return Stage::verifying;
      case models::PullStage::writing:
        return Stage::writing;
      case models::PullStage::done:
        return Stage::done;
    }
    return Stage::done;
  };
  protocols::PullStep step{.stage = stage_of(progress.stage),
                           .label = progress.sha256,
                           .completed_bytes = static_cast<std::int64_t>(progress.completed_bytes)};
  if (progress.total_bytes) step.total_bytes = static_cast<std::int64_t>(*progress.total_bytes);
  return step;
}

Error pull_failed(const std::exception& failure) {
  return {.kind = Kind::internal,
          .code = "pull_failed",
          .message = "The model could not be fetched; the gateway's log says why.",
          .detail = failure.what()};
}

}  // namespace

Pulling::~Pulling() { shared_->stop.request_stop(); }

std::vector<protocols::PullStep> Pulling::take() {
  const std::scoped_lock lock(shared_->mutex);
  std::vector<protocols::PullStep> news(shared_->news.begin(), shared_->news.end());
  shared_->news.clear();
  return news;
}

std::optional<Result<void>> Pulling::outcome() const {
  const std::scoped_lock lock(shared_->mutex);
  return shared_->outcome;
}

Models::Models(std::shared_ptr<const models::Library> library, const models::Options& options,
               const std::vector<fleet::WorkerOptions>& workers, Fetched fetched)
    : fetched_(std::move(fetched)) {
  adopt(std::move(library), options, workers);
}

void Models::adopt(std::shared_ptr<const models::Library> library, const models::Options& options,
                   const std::vector<fleet::WorkerOptions>& workers) {
  auto setup = std::make_shared<Setup>(Setup{.library = std::move(library), .options = options});
  for (const fleet::WorkerOptions& worker : workers) {
    if (!worker.is_stored) continue;
    if (auto name = models::parse_name(worker.model)) setup->in_use.emplace_back(worker.role, std::move(*name));
  }
  const std::scoped_lock lock(setup_mutex_);
  setup_ = std::move(setup);
}

std::shared_ptr<const Models::Setup> Models::setup() const {
  const std::scoped_lock lock(setup_mutex_);
  return setup_;
}

Models::~Models() { stop(); }

void Models::give_up() {
  const std::scoped_lock lock(pulls_mutex_);
  is_stopped_ = true;
  for (const auto& shared : pulls_under_way_) shared->stop.request_stop();
}

bool Models::is_stopping() {
  const std::scoped_lock lock(pulls_mutex_);
  return is_stopped_;
}

void Models::stop() {
  give_up();
  pulls_.join();
  looks_.join();
}

Task<std::vector<protocols::StoredModel>> Models::list() {
  auto look = [this] {
    std::vector<protocols::StoredModel> all;
    const auto now = setup();
    for (const models::Shown& shown : now->library->list()) all.push_back(describe(*now, shown));
    return all;
  };
  co_return co_await offload(looks_, std::move(look));
}

Task<Result<protocols::StoredModel>> Models::find(std::string text) {
  auto look = [this, text = std::move(text)]() -> Result<protocols::StoredModel> {
    const auto name = models::parse_name(text);
    if (!name) return std::unexpected(name.error());
    const auto now = setup();
    const auto shown = now->library->find(*name);
    if (!shown) return std::unexpected(shown.error());
    return describe_all(*now, *shown);
  };
  co_return co_await offload(looks_, std::move(look));
}

Task<Result<void>> Models::remove(std::string text) {
  auto work = [this, text = std::move(text)]() -> Result<void> {
    const auto name = models::parse_name(text);
    if (!name) return std::unexpected(name.error());
    const auto now = setup();
    const auto user =
        std::ranges::find_if(now->in_use, [&](const auto& used) { return models::is_same(used.second, *name); });
    if (user != now->in_use.end() && now->library->find(*name)) {
      return fail(Kind::conflict, "model_in_use",
                  "The role " + user->first + " uses this model. Give the role another one first.");
    }
    auto removed = now->library->remove(*name);
    if (removed) spdlog::info("the model {} was removed", models::short_name(*name));
    return removed;
  };
  co_return co_await offload(looks_, std::move(work));
}

// Who may use the gateway may not have it ask any address in the owner's network.
Result<std::unique_ptr<Pulling>> Models::pull(std::string_view text) {
  auto source = models::parse_source(text);
  if (!source) return std::unexpected(std::move(source.error()));
  const std::string_view host = models::authority_of(source->base);
  const auto now = setup();
  if (std::ranges::find(now->options.registries, host) == now->options.registries.end()) {
    return fail(Kind::forbidden, "registry_not_allowed",
                "Models are not fetched from " + std::string(host) +
                    " for clients. Add it to `registries` in the configuration, or say gbgreg models pull.");
  }
  auto pulling = std::make_unique<Pulling>();
  const std::shared_ptr<Pulling::Shared> shared = pulling->shared_;
  {
    const std::scoped_lock lock(pulls_mutex_);
    if (is_stopped_ || pulls_under_way_.size() >= kPullsMax) {
      return std::unexpected(Error{.kind = Kind::busy,
                                   .code = "too_many_pulls",
                                   .message = "As many models are being fetched as may be at once: " +
                                              std::to_string(kPullsMax) + ". Try again when one is done.",
                                   .retry_after_seconds = 30});
    }
    pulls_under_way_.insert(shared);
  }
  asio::post(pulls_, [this, shared, now, source = std::move(*source)] {
    run(*now, source, *shared);
    const std::scoped_lock lock(pulls_mutex_);
    pulls_under_way_.erase(shared);
  });
  return pulling;
}

void Models::run(const Setup& setup, const models::Source& source, Pulling::Shared& shared) {
  const std::string name = models::short_name(source.name);
  Result<void> outcome;
  try {
    const auto tell = [&](const models::PullProgress& progress) {
      const std::scoped_lock lock(shared.mutex);
      auto step = step_of(progress);
      auto& news = shared.news;
      const bool is_more_of_last = !news.empty() && step.stage == protocols::PullStep::Stage::blob &&
                                   news.back().stage == step.stage && news.back().label == step.label;
      if (is_more_of_last) news.pop_back();
      news.push_back(std::move(step));
    };
    auto stored = models::pull(setup.library->own(), setup.options.fetch, source, tell, shared.stop.get_token());
    if (!stored) outcome = std::unexpected(std::move(stored.error()));
  } catch (const std::exception& failure) {
    outcome = std::unexpected(pull_failed(failure));
  }
  if (!outcome && outcome.error().kind == Kind::cancelled && is_stopping()) {
    outcome = std::unexpected(Error{.kind = Kind::unavailable,
                                    .code = "stopping",
                                    .message = "The gateway is stopping. What came so far is kept: pull it again.",
                                    .retry_after_seconds = 5});
  }
  if (outcome) {
    spdlog::info("the model {} was fetched", name);
    if (fetched_) fetched_(name);
  } else if (outcome.error().kind == Kind::cancelled) {
    spdlog::info("fetching the model {} was given up; what came so far is kept", name);
  } else {
    spdlog::warn("the model {} could not be fetched: {} ({})", name, outcome.error().message, outcome.error().detail);
  }
  const std::scoped_lock lock(shared.mutex);
  shared.outcome = std::move(outcome);
}

protocols::StoredModel Models::describe(const Setup& setup, const models::Shown& shown) {
  protocols::StoredModel model{.name = models::short_name(shown.stored.name),
                               .digest = shown.stored.digest,
                               .size_bytes = static_cast<std::int64_t>(shown.stored.manifest.size_bytes()),
                               .modified = shown.stored.modified,
                               .family = shown.config.family,
                               .parameter_size = shown.config.parameter_size,
                               .quantization = shown.config.quantization,
                               .files = static_cast<int>(shown.stored.manifest.of_type(models::kModelType).size()),
                               .sees_images = !shown.stored.manifest.of_type(models::kProjectorType).empty(),
                               .is_own = shown.is_own};
  if (model.family.empty()) model.family = facts_of(setup, shown).family;
  for (const auto& [role, name] : setup.in_use) {
    if (models::is_same(name, shown.stored.name)) model.roles.push_back(role);
  }
  return model;
}

protocols::StoredModel Models::describe_all(const Setup& setup, const models::Shown& shown) {
  protocols::StoredModel model = describe(setup, shown);
  const Facts facts = facts_of(setup, shown);
  model.context_tokens = facts.context_tokens;
  model.embedding_numbers = facts.embedding_numbers;
  model.embeds = facts.embeds;
  model.template_text = setup.library->text(shown, models::kTemplateType);
  model.system = setup.library->text(shown, models::kSystemType);
  model.license = setup.library->text(shown, models::kLicenseType);
  model.parameters = models::params_text(setup.library->text(shown, models::kParamsType));
  return model;
}

// The header of a large model has megabytes, so it is read once.
Models::Facts Models::facts_of(const Setup& setup, const models::Shown& shown) {
  const auto weights = shown.stored.manifest.of_type(models::kModelType);
  if (weights.empty()) return {};
  const std::string& key = weights.front().sha256;
  {
    const std::scoped_lock lock(facts_mutex_);
    if (const auto known = facts_.find(key); known != facts_.end()) return known->second;
  }
  const fleet::ModelFacts read = fleet::read_model_facts(setup.library->first_file(shown));
  const Facts facts{.family = read.architecture,
                    .context_tokens = read.context_tokens,
                    .embedding_numbers = read.embedding_numbers,
                    .embeds = read.pooling.has_value()};
  const std::scoped_lock lock(facts_mutex_);
  if (facts_.size() >= kFactsMax) facts_.clear();
  if (!facts.family.empty()) facts_.emplace(key, facts);
  return facts;
}

}  // namespace gbgreg::services
