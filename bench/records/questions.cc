#include "questions.h"

#include <string_view>
#include <utility>

#include "core/ids.h"
#include "storage/columns.h"
#include "traffic.h"

namespace gbgreg::bench {
namespace {

using storage::RequestQuery;

Question page(std::string name, RequestQuery query) {
  return {.name = "list: " + std::move(name), .ask = [query = std::move(query)](Gateway& gateway) {
            return need(gateway.requests().list(query)).requests.size();
          }};
}

void add_figures(std::vector<Question>& questions) {
  for (const records::Window& window : records::kWindows) {
    questions.push_back({.name = "summary of " + std::string(window.name), .ask = [window](Gateway& gateway) {
                           return need(gateway.analytics().summary_now(window)).sums.size();
                         }});
  }
  for (const records::Window& window : records::kWindows) {
    for (const std::string_view dimension : records::kDimensions) {
      questions.push_back({.name = "series of " + std::string(window.name) + " by " + std::string(dimension),
                           .ask = [window, dimension = std::string(dimension)](Gateway& gateway) {
                             return need(gateway.analytics().series_now(window, dimension)).points.size();
                           }});
    }
  }
}

// `deep`: a cursor in the midst of all.
void add_pages(std::vector<Question>& questions, const std::string& deep) {
  questions.push_back(page("the newest 50", {}));
  questions.push_back(page("the newest 1,000", {.limit = 1'000}));
  questions.push_back(page("50 from a deep cursor", {.cursor = deep}));
  questions.push_back(page("1,000 from a deep cursor", {.limit = 1'000, .cursor = deep}));
  const std::pair<const char*, RequestQuery> filters[] = {
      {"role", {.role = "technical"}},
      {"model", {.model = "coder-7b"}},
      {"rare model", {.model = "eyes-12b"}},
      {"key", {.key_id = key_named(20)}},
      {"key that asked a month ago", {.key_id = key_named(kForgottenKey)}},
      {"key that there is not", {.key_id = "0192f000-0000-7000-8000-ffffffffffff"}},
      {"route", {.route = "POST /v1/chat/completions"}},
      {"rare route", {.route = "DELETE /api/uploads/{id}"}},
      {"status 200", {.status = 200}},
      {"status 503", {.status = 503}},
      {"status 418, of which there is none", {.status = 418}},
      {"status 2xx", {.status = 2}},
      {"status 5xx", {.status = 5}},
      {"status 3xx, of which there is none", {.status = 3}},
      {"role and status 429", {.role = "technical", .status = 429}},
      {"key and status 5xx", {.key_id = key_named(20), .status = 5}},
      {"role, model, key, route and status",
       {.role = "technical", .model = "coder-7b", .key_id = key_named(3), .route = "POST /api/chat", .status = 200}},
      {"role and status 503, two in all", {.role = kRareRole, .status = kRareStatus}},
      {"role and a model that is none of it", {.role = "vision", .model = "coder-7b"}},
      {"model and a route that has none", {.model = "coder-7b", .route = "GET /health"}},
      {"a forgotten key and status 200", {.key_id = key_named(kForgottenKey), .status = 200}},
  };
  for (const auto& [name, filter] : filters) {
    for (const int limit : {50, 1'000}) {
      RequestQuery query = filter;
      query.limit = limit;
      questions.push_back(page(std::string(name) + (limit == 50 ? "" : ", 1,000"), query));
    }
    RequestQuery query = filter;
    query.cursor = deep;
    questions.push_back(page(std::string(name) + ", from a deep cursor", query));
  }
}

}  // namespace

std::vector<Question> all_questions(WallTime from, WallTime to) {
  std::vector<Question> questions;
  add_figures(questions);
  add_pages(questions, storage::cursor_after(first_uuid_of(from + (to - from) / 2)));
  questions.push_back({.name = "uploads by kind, of all time",
                       .ask = [](Gateway& gateway) { return need(gateway.uploads().totals("")).size(); }});
  return questions;
}

}  // namespace gbgreg::bench
