#include "app/gateway_id.h"

#include <spdlog/spdlog.h>

#include <fstream>
#include <system_error>

#include "core/ids.h"

namespace gbgreg::app {
namespace {

constexpr std::size_t kIdBytes = 36;

bool is_id(const std::string& text) {
  return text.size() == kIdBytes && text.find_first_not_of("0123456789abcdef-") == std::string::npos;
}

}  // namespace

std::string gateway_id(const std::filesystem::path& data_folder, const Clock& clock) {
  const std::filesystem::path file = data_folder / "gateway-id";
  std::string id;
  if (std::ifstream(file) >> id && is_id(id)) return id;
  id = new_uuid(clock.wall());
  // Whole or not at all.
  const std::filesystem::path next = data_folder / "gateway-id.new";
  std::error_code error;
  const bool is_written = static_cast<bool>(std::ofstream(next, std::ios::trunc) << id << '\n' << std::flush);
  if (is_written) std::filesystem::rename(next, file, error);
  if (!is_written || error)
    spdlog::warn("{} cannot be written: this gateway has another id at each start", file.string());
  return id;
}

}  // namespace gbgreg::app
