// The files in which a machine says what it has: /proc, /sys, /dev. Read under a root, which is "/" but for tests.
//
// Nothing here fails: what is not there, or may not be read, is absent. Any thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gbgreg::gpu {

class HostFiles {
 public:
  static constexpr std::size_t kBytesMax = 1024 * 1024;  // The rest of a longer file is not read.
  static constexpr std::size_t kNamesMax = 4096;

  explicit HostFiles(std::filesystem::path root = "/") : root_(std::move(root)) {}

  // `path` is absolute: "/proc/cpuinfo".
  std::filesystem::path at(std::string_view path) const { return root_ / path.substr(path.starts_with('/') ? 1 : 0); }
  bool exists(std::string_view path) const;
  // Reads what there is now and never waits for more.
  std::optional<std::string> text(std::string_view path) const;
  // The first line, without its end.
  std::optional<std::string> line(std::string_view path) const;
  // The last name of what a link points to.
  std::optional<std::string> link_name(std::string_view path) const;
  // In order.
  std::vector<std::string> names(std::string_view folder) const;
  bool is_own_machine() const { return root_ == "/"; }
  const std::filesystem::path& root() const { return root_; }

 private:
  std::filesystem::path root_;
};

}  // namespace gbgreg::gpu
