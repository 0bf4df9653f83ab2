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

inline int number(const std::string& name, int otherwise) {
  const std::string text = setting(name);
  int value = otherwise;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace fake_gpu
