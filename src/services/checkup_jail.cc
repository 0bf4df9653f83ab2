#include "services/checkup_jail.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "intake/jail.h"
#include "storage/blob_store.h"

namespace gbgreg::services {
namespace {

using gpu::Finding;
using gpu::Severity;

constexpr std::chrono::milliseconds kTimeMax{2'000};
constexpr std::uint64_t kAnswerBytesMax = 1'024;

// In the order of the letters that a jail answers with.
struct Bar {
  std::string_view code;
  std::string_view what;
  std::string_view fix;
};
constexpr std::array<Bar, 3> kBars = {{
    {"jail_without_namespaces", "Namespaces, which keep it from the network and from other processes",
     "Allow user namespaces: sysctl user.max_user_namespaces=15000 (and kernel.unprivileged_userns_clone=1 on Debian, "
     "kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu)."},
    {"jail_without_landlock", "Landlock, which keeps it from all files",
     "Run Linux 5.13 or newer with Landlock: lsm=landlock,… on the kernel's command line."},
    {"jail_without_seccomp", "The list of system calls (seccomp)",
     "Run a kernel with CONFIG_SECCOMP_FILTER, or a container that allows it."},
}};

struct Program {
  std::string_view name;
  std::string_view what;
};
// The first is asked; it starts in a moment, and both are in the same cage.
constexpr std::array<Program, 2> kPrograms = {
    {{"gbgreg-jail-unpack", "archives"}, {"gbgreg-jail-look", "screenshots"}}};

}  // namespace

void check_jail(const DoctorOptions& options, std::vector<Finding>& findings) {
  if (options.jail.empty()) return;
  for (const Program& each : kPrograms) {
    const std::string path = (options.jail / each.name).string();
    if (::access(path.c_str(), X_OK) == 0) continue;
    findings.push_back({.code = "jail_missing",
                        .message = "The program that opens " + std::string(each.what) +
                                   " is missing, so none can be "
                                   "uploaded.",
                        .evidence = {path + " is not there, or is no program"},
                        .fix = "Install gbgreg anew: " + std::string(each.name) + " lies beside gbgreg itself."});
  }
  const std::string program = (options.jail / kPrograms.front().name).string();
  if (::access(program.c_str(), X_OK) != 0) return;
  const storage::OwnedFile nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const std::atomic<bool> is_stopping = false;
  std::string answer;
  const auto ran = intake::run_jail({.program = program,
                                     .arguments = {"check"},
                                     .input = nothing.get(),
                                     .time_max = kTimeMax,
                                     .output_bytes_max = kAnswerBytesMax},
                                    is_stopping, [&](const intake::JailMessage& message) {
                                      if (message.type == 'C') answer = message.payload;
                                      return Result<void>{};
                                    });
  if (!ran || answer.size() != kBars.size()) {
    findings.push_back({.code = "jail_broken",
                        .message = "The program that opens archives does not work, so no archive can be uploaded.",
                        .evidence = {program + " check: " + (ran ? "no answer" : ran.error().detail)},
                        .fix = "Run it by hand to see what its system says: " + program + " check | od -c"});
    return;
  }
  for (std::size_t i = 0; i < kBars.size(); ++i) {
    if (answer[i] == '1') continue;
    std::string message(kBars[i].what);
    message.append(", cannot be had here for the program that opens archives and images. Its other bars hold.");
    std::string evidence = program;
    evidence.append(" check: ").append(answer);
    findings.push_back({.code = std::string(kBars[i].code),
                        .severity = Severity::warning,
                        .message = std::move(message),
                        .evidence = {std::move(evidence)},
                        .fix = std::string(kBars[i].fix)});
  }
}

}  // namespace gbgreg::services
