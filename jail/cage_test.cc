#include "cage.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace gbgreg::jail {
namespace {

// What became of a child that entered the cage and tried something: its exit status, or minus the signal that ended it.
template <class Attempt>
int in_the_cage(Attempt attempt, CageOptions options = {.memory_bytes = 1ULL << 30, .cpu_seconds = 20}) {
  const pid_t child = ::fork();
  if (child == 0) {
    Cage cage;
    if (!leave_the_world(options, cage) || !lock_the_cage(options, cage)) ::_exit(100);
    if (!cage.has_system_calls) ::_exit(101);
    ::_exit(attempt() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(Cage, LetsComputeAndUseWhatIsOpen) {
  EXPECT_EQ(in_the_cage([] {
              void* memory = std::malloc(1'000'000);
              const bool is_good = memory != nullptr && ::lseek(0, 0, SEEK_CUR) >= -1;
              std::free(memory);
              return is_good;
            }),
            0);
}

TEST(Cage, RefusesFilesAndTheNetwork) {
  EXPECT_EQ(in_the_cage([] { return ::open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES; }), 0);
  EXPECT_EQ(in_the_cage([] { return ::open("/tmp/made", O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES; }), 0);
  EXPECT_EQ(in_the_cage([] { return ::socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EACCES; }), 0);
  EXPECT_EQ(in_the_cage([] { return ::socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EACCES; }), 0);
  struct stat status{};
  EXPECT_EQ(in_the_cage([&] { return ::stat("/etc/passwd", &status) < 0 && errno == EACCES; }), 0);
  EXPECT_EQ(in_the_cage([] { return ::access("/etc/passwd", R_OK) < 0 && errno == EACCES; }), 0);
}

TEST(Cage, RefusesProcesses) {
  EXPECT_EQ(in_the_cage([] { return ::fork() < 0; }), 0);
  EXPECT_EQ(in_the_cage([] { return ::fork() < 0; },
                        {.memory_bytes = 1ULL << 30, .cpu_seconds = 20, .may_have_threads = true}),
            -SIGSYS);
}

TEST(Cage, EndsWhoTriesWhatNobodyNeeds) {
  EXPECT_EQ(in_the_cage([] { return ::execl("/bin/sh", "sh", "-c", "true", nullptr) < 0; }), -SIGSYS);
  EXPECT_EQ(in_the_cage([] { return ::kill(::getppid(), 0) == 0; }), -SIGSYS);
  EXPECT_EQ(in_the_cage([] { return ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0; }), -SIGSYS);
  EXPECT_EQ(in_the_cage([] { return ::unlink("/tmp/nothing") < 0; }), -SIGSYS);
  EXPECT_EQ(in_the_cage([] { return ::setuid(0) == 0; }), -SIGSYS);
  EXPECT_EQ(in_the_cage([] {
              return ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
            }),
            -SIGSYS);
}

#if !defined(__has_feature) || (!__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer))
TEST(Cage, BoundsMemory) {
  EXPECT_EQ(in_the_cage([] {
              return ::mmap(nullptr, 2ULL << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                     MAP_FAILED;
            }),
            0);
}

TEST(Cage, BoundsTheProcessor) {
  EXPECT_EQ(in_the_cage(
                [] {
                  for (volatile int i = 0;; i = i + 1) {
                  }
                  return true;
                },
                {.memory_bytes = 1ULL << 30, .cpu_seconds = 1}),
            -SIGKILL);
}
#endif

}  // namespace
}  // namespace gbgreg::jail
