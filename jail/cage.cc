#include "cage.h"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define GBGREG_JAIL_SANITIZED 1
#endif
#endif

namespace gbgreg::jail {
namespace {

#ifdef GBGREG_JAIL_SANITIZED
constexpr bool kIsSanitized = true;
#else
constexpr bool kIsSanitized = false;
#endif

constexpr rlim_t kDescriptorsMax = 64;
constexpr std::uint64_t kAllBits = ~std::uint64_t{0};

bool bound(int resource, rlim_t value) {
  const rlimit limit{.rlim_cur = value, .rlim_max = value};
  return ::setrlimit(static_cast<__rlimit_resource_t>(resource), &limit) == 0;
}

// Landlock's own words, because the headers of an older distribution do not know all of them. Version 1 of it has the
// first 13 rights over files; each later one has what is added here.
struct LandlockRules {
  std::uint64_t files;
  std::uint64_t network;
  std::uint64_t scopes;
};

bool lock_files() {
  constexpr long kCreate = 444, kRestrict = 446;
  constexpr unsigned kAskVersion = 1;
  const long version = ::syscall(kCreate, nullptr, 0, kAskVersion);
  if (version < 1) return false;
  LandlockRules rules{.files = (1U << 13) - 1, .network = 0, .scopes = 0};
  if (version >= 2) rules.files |= 1U << 13;  // Renaming over folders.
  if (version >= 3) rules.files |= 1U << 14;  // Truncating.
  if (version >= 4) rules.network = 3;        // Binding and connecting over TCP.
  if (version >= 5) rules.files |= 1U << 15;  // ioctl on devices.
  if (version >= 6) rules.scopes = 3;         // Abstract sockets and signals to others.
  const std::size_t size = version >= 6 ? sizeof rules : version >= 4 ? 16 : 8;
  const long set = ::syscall(kCreate, &rules, size, 0U);
  if (set < 0) return false;
  // A set without a rule allows nothing of what it handles.
  const bool is_locked = ::syscall(kRestrict, static_cast<int>(set), 0U) == 0;
  ::close(static_cast<int>(set));
  return is_locked;
}

// What reading a file that is open, computing and writing to a pipe needs.
constexpr int kAllowed[] = {
    SCMP_SYS(read),
    SCMP_SYS(pread64),
    SCMP_SYS(readv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(lseek),
    SCMP_SYS(fstat),
    SCMP_SYS(close),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    SCMP_SYS(futex),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(getrandom),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(restart_syscall),
};

// What libraries try and can do without.
constexpr int kRefused[] = {
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(statx),
    SCMP_SYS(statfs),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(socket),
    SCMP_SYS(connect),
    SCMP_SYS(getcwd),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(ioctl),
    SCMP_SYS(prlimit64),
    SCMP_SYS(getrusage),
    SCMP_SYS(getdents64),
    SCMP_SYS(mlock),
    SCMP_SYS(eventfd2),
    SCMP_SYS(pipe2),
    SCMP_SYS(sched_setaffinity),
    SCMP_SYS(sched_setscheduler),
    SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler),
    SCMP_SYS(get_mempolicy),
    SCMP_SYS(fcntl),
};

// What more threads need; not fork(), which has other flags.
constexpr int kForThreads[] = {
    SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(set_tid_address), SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
};

bool add_all(scmp_filter_ctx filter, std::uint32_t action, std::initializer_list<int> calls) {
  for (const int call : calls) {
    if (::seccomp_rule_add(filter, action, call, 0) != 0) return false;
  }
  return true;
}

template <std::size_t size>
bool add_all(scmp_filter_ctx filter, std::uint32_t action, const int (&calls)[size]) {
  for (const int call : calls) {
    if (::seccomp_rule_add(filter, action, call, 0) != 0) return false;
  }
  return true;
}

// The argument's bits under `mask` are `value`. (The library's own macros are not C++.)
scmp_arg_cmp bits_are(unsigned argument, std::uint64_t mask, std::uint64_t value) {
  return {.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

// Memory that can be run is never made.
bool add_memory(scmp_filter_ctx filter) {
  const scmp_arg_cmp cannot_run = bits_are(2, PROT_EXEC, 0);
  return ::seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, cannot_run) == 0 &&
         ::seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, cannot_run) == 0;
}

// fstat() is this call with an empty name; with any other name it would look at a path.
bool add_fstat(scmp_filter_ctx filter) {
  const scmp_arg_cmp by_descriptor = bits_are(3, AT_EMPTY_PATH, AT_EMPTY_PATH);
  const scmp_arg_cmp by_path = bits_are(3, AT_EMPTY_PATH, 0);
  return ::seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1, by_descriptor) == 0 &&
         ::seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(newfstatat), 1, by_path) == 0;
}

bool add_threads(scmp_filter_ctx filter, bool may_have_threads) {
  // clone3() hides its flags from a filter; libc falls back to clone() when the kernel does not have it.
  if (::seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) != 0) return false;
  if (!may_have_threads) return add_all(filter, SCMP_ACT_ERRNO(EAGAIN), {SCMP_SYS(clone)});
  const scmp_arg_cmp is_thread = bits_are(0, CLONE_THREAD, CLONE_THREAD);
  const scmp_arg_cmp is_name = bits_are(0, kAllBits, PR_SET_NAME);
  const scmp_arg_cmp is_own_area = bits_are(0, kAllBits, PR_SET_VMA);
  return add_all(filter, SCMP_ACT_ALLOW, kForThreads) &&
         ::seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, is_thread) == 0 &&
         ::seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, is_name) == 0 &&
         ::seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, is_own_area) == 0;
}

bool lock_system_calls(bool may_have_threads) {
  scmp_filter_ctx filter = ::seccomp_init(SCMP_ACT_KILL_PROCESS);
  if (filter == nullptr) return false;
  const bool is_locked = add_all(filter, SCMP_ACT_ALLOW, kAllowed) &&
                         add_all(filter, SCMP_ACT_ERRNO(EACCES), kRefused) && add_memory(filter) && add_fstat(filter) &&
                         add_threads(filter, may_have_threads) && ::seccomp_load(filter) == 0;
  ::seccomp_release(filter);
  return is_locked;
}

}  // namespace

bool leave_the_world(const CageOptions& options, Cage& cage) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return false;
  if (::close_range(3, ~0U, 0) != 0) return false;
  if (!kIsSanitized) {
    // What a library prints about a hostile file is part of the hostile file.
    const int nowhere = ::open("/dev/null", O_WRONLY);
    if (nowhere < 0 || ::dup2(nowhere, 2) < 0) return false;
    ::close(nowhere);
    if (!bound(RLIMIT_AS, options.memory_bytes)) return false;
  }
  // A namespace of users comes first: it is what allows the others to whom is not root.
  cage.has_namespaces = ::unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS) == 0;
  return bound(RLIMIT_CPU, options.cpu_seconds) && bound(RLIMIT_FSIZE, 0) && bound(RLIMIT_CORE, 0) &&
         bound(RLIMIT_NOFILE, kDescriptorsMax) && ::prctl(PR_SET_DUMPABLE, 0) == 0;
}

bool lock_the_cage(const CageOptions& options, Cage& cage) {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
  cage.has_landlock = lock_files();
  cage.has_system_calls = lock_system_calls(options.may_have_threads);
  return true;
}

}  // namespace gbgreg::jail
