// The OpenAPI document of everything the gateway answers: docs/openapi.yaml as JSON, made by the build.
#pragma once

#include <string_view>

namespace gbgreg::http {

std::string_view openapi_json();

}  // namespace gbgreg::http
