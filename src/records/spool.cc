#include "records/spool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>

namespace gbgreg::records {
namespace {

namespace json = boost::json;

// No row of ours is longer.
constexpr std::uint64_t kLineBytesMax = 64 * 1024;

std::unexpected<Error> failure(const char* doing) { return std::unexpected(storage::disk_error(errno, doing)); }

// Of a value that has a name of its own in a line, whichever way it goes.
struct ToJson {
  json::object& object;
  void operator()(const char* name, const std::string& text) { object[name] = text; }
  void operator()(const char* name, std::int64_t number) { object[name] = number; }
  void operator()(const char* name, double number) { object[name] = number; }
};

struct FromJson {
  const json::object& object;
  bool is_whole = true;

  void operator()(const char* name, std::string& text) {
    const json::value* value = object.if_contains(name);
    if (value == nullptr || !value->is_string())
      is_whole = false;
    else
      text = value->get_string();
  }
  void operator()(const char* name, std::int64_t& number) {
    const json::value* value = object.if_contains(name);
    if (value == nullptr || !value->is_int64())
      is_whole = false;
    else
      number = value->get_int64();
  }
  void operator()(const char* name, double& number) {
    const json::value* value = object.if_contains(name);
    if (value == nullptr || !value->is_number())
      is_whole = false;
    else
      number = value->to_number<double>();
  }
};

template <class Row, class Each>
void each_column(Row& row, Each&& each) {
  each("id", row.id);
  each("request_id", row.request_id);
  each("created_at", row.created_at);
  each("route", row.route);
  each("role", row.role);
  each("model", row.model);
  each("backend", row.backend);
  each("device", row.device);
  each("key_id", row.key_id);
  each("status", row.status);
  each("error_code", row.error_code);
  each("complexity", row.complexity);
  each("prompt_tokens", row.prompt_tokens);
  each("completion_tokens", row.completion_tokens);
  each("queue_ms", row.queue_ms);
  each("ttft_ms", row.ttft_ms);
  each("total_ms", row.total_ms);
  each("objective_ms", row.objective_ms);
}

}  // namespace

std::string line_of(const storage::RequestRow& row) {
  json::object object;
  each_column(row, ToJson{object});
  return json::serialize(object) + "\n";
}

std::optional<storage::RequestRow> row_in(std::string_view line) {
  boost::system::error_code error;
  const json::value value = json::parse(line, error);
  if (error || !value.is_object()) return std::nullopt;
  storage::RequestRow row;
  FromJson reading{value.get_object()};
  each_column(row, reading);
  if (!reading.is_whole) return std::nullopt;
  return row;
}

Spool::Spool(std::filesystem::path path, storage::Disk& disk, std::uint64_t bytes_max)
    : path_(std::move(path)), disk_(disk), bytes_max_(bytes_max) {}

Spool::~Spool() {
  if (file_ >= 0) ::close(file_);
}

Result<void> Spool::open() {
  file_ = ::open(path_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file_ < 0) return failure("open the spool of records");
  struct stat status{};
  if (::fstat(file_, &status) != 0) return failure("look at the spool of records");
  size_bytes_ = static_cast<std::uint64_t>(status.st_size);
  // A last line that was cut: what comes next begins a line of its own.
  if (size_bytes_ > 0) {
    char last = '\n';
    if (::pread(file_, &last, 1, static_cast<off_t>(size_bytes_ - 1)) != 1) return failure("read the spool of records");
    if (last != '\n' && disk_.write(file_, "\n", 1) == 1) ++size_bytes_;
  }
  return {};
}

Result<void> Spool::append(std::span<const storage::RequestRow> rows) {
  std::string lines;
  for (const storage::RequestRow& row : rows) lines += line_of(row);
  if (lines.size() > bytes_max_ - std::min(bytes_max_, size_bytes_)) {
    return fail(Kind::unavailable, "spool_full", "The spool of records is full.");
  }
  std::string_view left = lines;
  bool is_written = true;
  while (!left.empty() && is_written) {
    const ssize_t written = disk_.write(file_, left.data(), left.size());
    if (written > 0) left.remove_prefix(static_cast<std::size_t>(written));
    is_written = written >= 0 || errno == EINTR;
  }
  if (is_written && disk_.sync(file_) == 0) {
    size_bytes_ += lines.size();
    return {};
  }
  const int error_number = errno;
  (void)::ftruncate(file_, static_cast<off_t>(size_bytes_));
  return std::unexpected(storage::disk_error(error_number, "append to the spool of records"));
}

Result<Spool::Read> Spool::read(std::uint64_t bytes_max) {
  const std::uint64_t left = size_bytes_ - read_bytes_;
  std::string text(static_cast<std::size_t>(std::min(left, std::max(bytes_max, kLineBytesMax))), '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = ::pread(file_, text.data() + done, text.size() - done, static_cast<off_t>(read_bytes_ + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failure("read the spool of records");
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  text.resize(done);
  // Up to the last end of a line. Without any, it is the end of a file that was cut, or no line of ours.
  const std::size_t end = text.rfind('\n');
  Read read;
  next_bytes_ = read_bytes_ + (end == std::string::npos ? text.size() : end + 1);
  if (end == std::string::npos) {
    read.damaged = text.empty() ? 0 : 1;
    return read;
  }
  std::string_view lines = std::string_view(text).substr(0, end + 1);
  while (!lines.empty()) {
    const std::size_t length = lines.find('\n');
    if (auto row = row_in(lines.substr(0, length)))
      read.rows.push_back(std::move(*row));
    else if (length > 0)
      ++read.damaged;
    lines.remove_prefix(length + 1);
  }
  return read;
}

Result<void> Spool::advance() {
  read_bytes_ = next_bytes_;
  if (read_bytes_ < size_bytes_) return {};
  if (::ftruncate(file_, 0) != 0) return failure("empty the spool of records");
  size_bytes_ = read_bytes_ = next_bytes_ = 0;
  return {};
}

}  // namespace gbgreg::records
