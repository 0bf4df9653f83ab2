#include "intake/step_back.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

namespace gbgreg::intake {
namespace {

constexpr int kNiceness = 10;

}  // namespace

void step_back(pid_t id) {
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(id), kNiceness);
  // Those of the main thread, which never steps back: a machine's owner may have given the gateway fewer than all.
  cpu_set_t cores;
  if (::sched_getaffinity(::getpid(), sizeof cores, &cores) != 0 || CPU_COUNT(&cores) < 2) return;
  int first = 0;
  while (!CPU_ISSET(first, &cores)) ++first;
  CPU_CLR(first, &cores);
  ::sched_setaffinity(id, sizeof cores, &cores);
}

}  // namespace gbgreg::intake
