// What a fake library is told: by the environment, and over it by the file that NVIDIA_FAKE_SETTINGS names, with a line
// NAME=value each. The file is read at each question, so a test can change it under a gateway that runs.
#pragma once

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <string>

namespace fake_gpu {

inline std::string setting(const std::string& name, const std::string& otherwise = "") {
  if (const char* file = std::getenv("NVIDIA_FAKE_SETTINGS")) {
    std::ifstream lines(file);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with(name + "=")) return line.substr(name.size() + 1);
    }
  }
  const char* value = std::getenv(name.c_str());
  return value != nullptr ? value : otherwise;
}

template <class Number>
Number number_of(const std::string& name, Number otherwise) {
  const std::string text = setting(name);
  Number value = otherwise;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}
inline int number(const std::string& name, int otherwise) { return number_of(name, otherwise); }
inline unsigned long long large_number(const std::string& name, unsigned long long otherwise) {
  return number_of(name, otherwise);
}

}  // namespace fake_gpu
