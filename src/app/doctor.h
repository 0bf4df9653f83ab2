// `gbgreg doctor`: asks the gateway that runs here, and where none runs looks at the machine itself. And the rounds
// that a running gateway's doctor makes.
#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "services/doctor.h"

namespace gbgreg::app {

struct DoctorCommand {
  bool as_json = false;
  std::filesystem::path report = {};  // Where to write one; empty for none.
  std::filesystem::path root = "/";   // Where the machine's files are looked for: another one in tests.
  std::string version = {};
};

// What the running gateway's doctor is given, too.
services::DoctorOptions doctor_options(const config::Config& config);

// Has the running gateway examined again and again, so that a GPU that is lost is noticed, and writes into the log what
// is new. Where there is no card one look is enough. A hang stands in the kernel's log, which is looked at every few
// seconds without asking the driver; then and as long as the driver does not answer, no worker is started that would
// ask it, and the doctor itself asks less and less often. Lives on the context's thread.
class DoctorRounds {
 public:
  DoctorRounds(IoContext& context, services::Doctor& doctor, fleet::Fleet& fleet);

 private:
  Task<void> go_round();
  Task<bool> until_next_look();
  void tell_news(const services::Diagnosis& diagnosis);
  void spare_the_driver(const services::Diagnosis& diagnosis);
  void share_out_the_cards(const services::Diagnosis& diagnosis);

  asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor> timer_;
  services::Doctor& doctor_;
  fleet::Fleet& fleet_;
  std::vector<std::string> told_;                    // Codes that the log knows already.
  std::shared_ptr<const services::Diagnosis> seen_;  // The last one that was acted on.
  std::string hang_;                                 // The newest in the kernel's log when it was last looked at.
  std::chrono::milliseconds pause_;
  std::chrono::steady_clock::time_point due_;  // When the next examination is, unless there is a new hang.
};

// Prints the diagnosis on standard output. Returns the exit status: 0 when all is well, 1 with warnings, 2 with errors.
int examine(const config::Config& config, const DoctorCommand& command);

}  // namespace gbgreg::app
