// Turns a YAML document into JSON and writes it as a C++ file, for the build (src/http/CMakeLists.txt):
//
//   yaml_to_json IN.yaml OUT.cc VERSION
//
// VERSION becomes info.version. Plain scalars are what YAML's core schema says: null, booleans, numbers; else texts.
#include <yaml-cpp/yaml.h>

#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <regex>
#include <string>

namespace {

std::string quoted(const std::string& text) {
  std::string json = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      json.append({'\\', c});
    } else if (byte < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", byte);
      json += escape;
    } else {
      json += c;
    }
  }
  return json + '"';
}

std::string scalar_to_json(const YAML::Node& node) {
  static const std::regex kNumber(R"(-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?)");
  const std::string& text = node.Scalar();
  const bool is_plain = node.Tag() == "?";
  const bool is_word = text == "true" || text == "false";
  return is_plain && (is_word || std::regex_match(text, kNumber)) ? text : quoted(text);
}

std::string to_json(const YAML::Node& node) {
  if (node.IsNull()) return "null";
  if (node.IsScalar()) return scalar_to_json(node);
  std::string json;
  if (node.IsSequence()) {
    for (const YAML::Node& element : node) json.append(json.empty() ? "[" : ",").append(to_json(element));
    return json.empty() ? "[]" : json + "]";
  }
  for (const auto& entry : node) {
    json.append(json.empty() ? "{" : ",").append(quoted(entry.first.Scalar())).append(":");
    json.append(to_json(entry.second));
  }
  return json.empty() ? "{}" : json + "}";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: yaml_to_json IN.yaml OUT.cc VERSION\n";
    return 2;
  }
  try {
    YAML::Node document = YAML::LoadFile(argv[1]);
    document["info"]["version"] = argv[3];
    std::ofstream out(argv[2]);
    out << "// Made of docs/openapi.yaml by tools/yaml_to_json.cc.\n"
        << "#include \"http/openapi.h\"\n\n"
        << "namespace gbgreg::http {\n\n"
        << "std::string_view openapi_json() { return R\"openapi(" << to_json(document) << ")openapi\"; }\n\n"
        << "}  // namespace gbgreg::http\n";
    return out.flush() ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << argv[1] << ": " << error.what() << "\n";
    return 1;
  }
}
