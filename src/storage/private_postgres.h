// For tests and benchmarks: a PostgreSQL server of our own, in a temporary folder, reached by a Unix socket in it and
// by nothing else.
//
// Its programs are a part of what is tested, so their absence fails a test and skips none. Its language is not C, so
// that whatever compares text by anything but its bytes is found out.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>

namespace gbgreg::storage {

class PrivatePostgres {
 public:
  enum class Settings : std::uint8_t {
    fast,          // What it was told may be lost with the machine.
    as_installed,  // PostgreSQL's own.
  };
  explicit PrivatePostgres(Settings settings);

  // A fast one. Started for whoever is the first to ask, and ended with the program, however that ends. Throws
  // std::runtime_error with a sentence for people when it cannot be had.
  static PrivatePostgres& instance();

  PrivatePostgres(const PrivatePostgres&) = delete;
  PrivatePostgres& operator=(const PrivatePostgres&) = delete;
  ~PrivatePostgres();

  // The URL of a place without tables that nobody else has.
  std::string new_place();
  // The URL of the server's first database, with these further parameters.
  std::string url(const std::string& parameters = "") const;

  // Ends it at once, connections included, and starts it again: its databases are still there.
  void stop();
  void start();

 private:
  void make_folder();
  void make_databases();

  Settings settings_;
  std::filesystem::path folder_;
  std::filesystem::path programs_;
  uid_t user_ = 0;  // root may not run it, so then it is another's.
  gid_t group_ = 0;
  pid_t server_ = 0;
  std::atomic<int> places_ = 0;
};

}  // namespace gbgreg::storage
