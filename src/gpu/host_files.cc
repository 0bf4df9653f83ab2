#include "gpu/host_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace gbgreg::gpu {

bool HostFiles::exists(std::string_view path) const {
  std::error_code error;
  return std::filesystem::exists(at(path), error);
}

std::optional<std::string> HostFiles::text(std::string_view path) const {
  // Not by a stream: the kernel's log hands out a record a read, and would keep us waiting for the next.
  const int file = ::open(at(path).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (file < 0) return std::nullopt;
  std::string text;
  std::string piece(8192, '\0');
  while (text.size() < kBytesMax) {
    const ssize_t got = ::read(file, piece.data(), std::min(piece.size(), kBytesMax - text.size()));
    if (got < 0 && (errno == EINTR || errno == EPIPE)) continue;  // EPIPE: records were overwritten meanwhile.
    if (got <= 0) break;
    text.append(piece, 0, static_cast<std::size_t>(got));
  }
  ::close(file);
  return text;
}

std::optional<std::string> HostFiles::line(std::string_view path) const {
  auto whole = text(path);
  if (whole) whole->resize(std::min(whole->size(), whole->find('\n')));
  return whole;
}

std::optional<std::string> HostFiles::link_name(std::string_view path) const {
  std::error_code error;
  const auto target = std::filesystem::read_symlink(at(path), error);
  if (error) return std::nullopt;
  return target.filename().string();
}

std::vector<std::string> HostFiles::names(std::string_view folder) const {
  std::vector<std::string> names;
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator(at(folder), error);
       !error && entry != std::filesystem::directory_iterator() && names.size() < kNamesMax; entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace gbgreg::gpu
