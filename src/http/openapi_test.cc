#include "http/openapi.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <set>
#include <string>

#include "http/all_routes.h"

namespace gbgreg::http {
namespace {

namespace json = boost::json;

TEST(OpenApi, DescribesEveryRouteAndNoOther) {
  std::set<std::string> routes;
  for (const Route& route : all_routes()) {
    std::string pattern(route.pattern);
    // OpenAPI has no word for a parameter that takes all that is left.
    if (pattern.ends_with("...}")) pattern.replace(pattern.size() - 4, 4, "}");
    routes.insert(std::string(route.method) + " " + pattern);
  }
  std::set<std::string> described;
  const json::value document = json::parse(openapi_json());
  for (const auto& [path, item] : document.at("paths").as_object()) {
    for (const auto& [method, operation] : item.as_object()) {
      if (method == "parameters") continue;
      std::string upper(method);
      for (char& c : upper) c = static_cast<char>(c - 'a' + 'A');
      described.insert(upper + " " + std::string(path));
    }
  }
  EXPECT_EQ(described, routes);
}

TEST(OpenApi, HasAnIdOfItsOwnForEachOperation) {
  std::set<std::string_view> ids;
  const json::value document = json::parse(openapi_json());
  for (const auto& [path, item] : document.at("paths").as_object()) {
    for (const auto& [method, operation] : item.as_object()) {
      if (method == "parameters") continue;
      EXPECT_TRUE(ids.insert(operation.at("operationId").as_string()).second) << path;
    }
  }
}

TEST(OpenApi, CarriesTheVersionOfTheProgram) {
  const json::value document = json::parse(openapi_json());
  EXPECT_THAT(std::string(document.at("info").at("version").as_string()), testing::MatchesRegex("[0-9]+\\..*"));
  EXPECT_NE(document.at("info").at("version").as_string(), "0.0.0");
}

}  // namespace
}  // namespace gbgreg::http
