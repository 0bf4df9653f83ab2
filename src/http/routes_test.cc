#include "http/routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "http/all_routes.h"

namespace gbgreg::http {
namespace {

const std::vector<Route> kRoutes{
    {"POST", "/api/generate", {}},
    {"GET", "/api/uploads", {}},
    {"GET", "/api/uploads/{id}", {}},
    {"DELETE", "/api/uploads/{id}", {}},
    {"GET", "/api/uploads/{id}/content", {}},
    {"GET", "/api/projects/{id}/files", {}},
    {"GET", "/api/projects/{id}/files/{path...}", {}},
    {"POST", "/api/chat", {}, Dialect::ollama},
    {"POST", "/v1/messages", {}, Dialect::anthropic},
};

TEST(FindRoute, TakesTheRouteOfTheMethodAndDecodesItsParameter) {
  struct Case {
    const char* method;
    const char* path;
    const char* pattern;
    const char* parameter;
    const char* rest = "";
  };
  const Case cases[] = {
      {"POST", "/api/generate", "/api/generate", ""},
      {"HEAD", "/api/uploads", "/api/uploads", ""},
      {"GET", "/api/uploads/abc", "/api/uploads/{id}", "abc"},
      {"DELETE", "/api/uploads/a%20b", "/api/uploads/{id}", "a b"},
      {"GET", "/api/uploads/%2e%2e%2f/content", "/api/uploads/{id}/content", "../"},
      {"GET", "/api/projects/a/files", "/api/projects/{id}/files", "a"},
      {"GET", "/api/projects/a%20b/files/c%2Fd/e", "/api/projects/{id}/files/{path...}", "a b", "c/d/e"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.path);
    const auto match = find_route(kRoutes, c.method, c.path);
    ASSERT_TRUE(match);
    EXPECT_EQ(match->route->pattern, c.pattern);
    EXPECT_EQ(match->parameter, c.parameter);
    EXPECT_EQ(match->rest, c.rest);
  }
}

TEST(FindRoute, TellsAnUnknownPathFromAWrongMethod) {
  for (const char* path :
       {"/", "/api", "/api/generate/", "/api/uploads/", "/api/uploads/a/b", "/api/uploads//content"}) {
    const auto match = find_route(kRoutes, "GET", path);
    ASSERT_FALSE(match) << path;
    EXPECT_EQ(match.error().kind, Kind::not_found) << path;
  }
  const auto wrong = find_route(kRoutes, "PUT", "/api/uploads/a");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().kind, Kind::method_not_allowed);
  EXPECT_EQ(allowed_methods(kRoutes, "/api/uploads/a"), "GET, HEAD, DELETE");
  EXPECT_EQ(find_route(kRoutes, "GET", "/api/uploads/%zz").error().kind, Kind::malformed);
}

TEST(DialectAt, IsThatOfTheRouteWhateverTheMethodAndElseThatOfThePath) {
  struct Case {
    const char* path;
    Dialect dialect;
  };
  const Case cases[] = {
      {"/api/chat", Dialect::ollama},       {"/api/uploads/a", Dialect::native},
      {"/v1/messages", Dialect::anthropic}, {"/v1/messages/batches", Dialect::anthropic},
      {"/v1/nothing", Dialect::openai},     {"/api/nothing", Dialect::native},
  };
  for (const Case& c : cases) EXPECT_EQ(dialect_at(kRoutes, c.path), c.dialect) << c.path;
}

// Who makes, deletes, changes or reloads something shall be known. So whatever is no GET has a word for the audit
// trail, or is one of these: they ask a model, or there is nothing that they could change.
TEST(Routes, WhatChangesSomethingHasAWordForTheAuditTrail) {
  std::set<std::string> questions{"POST /api/generate",
                                  "POST /api/route",
                                  "POST /api/chat",
                                  "POST /v1/chat/completions",
                                  "POST /v1/completions",
                                  "POST /v1/responses",
                                  "DELETE /v1/responses/{id}",
                                  "POST /v1/responses/{id}/cancel",
                                  "POST /v1/messages",
                                  "POST /v1/messages/count_tokens",
                                  "POST /v1/embeddings",
                                  "POST /api/embed",
                                  "POST /api/embeddings",
                                  "POST /api/show"};
  for (const Route& route : all_routes()) {
    const std::string name = std::string(route.method) + " " + std::string(route.pattern);
    SCOPED_TRACE(name);
    if (route.method == "GET") {
      EXPECT_EQ(route.action, "");
    } else if (questions.erase(name) > 0) {
      EXPECT_EQ(route.action, "");
      EXPECT_EQ(route.access, Access::key) << "what only admins may do changes something";
    } else {
      EXPECT_THAT(std::string(route.action), testing::MatchesRegex("[a-z]+\\.[a-z]+"));
    }
  }
  EXPECT_THAT(questions, testing::IsEmpty()) << "there are no such routes";
}

}  // namespace
}  // namespace gbgreg::http
