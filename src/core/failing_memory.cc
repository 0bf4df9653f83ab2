#include "core/failing_memory.h"

#include <atomic>
#include <cstddef>
#include <new>

namespace gbgreg {
namespace {

thread_local int left = -1;  // Until the failure; none is to come when it is negative.
thread_local bool none_succeed = false;
std::atomic<int> failed{0};

bool fails_now() {
  if (!none_succeed) {
    if (left < 0) return false;
    if (left-- > 0) return false;
  }
  ++failed;
  return true;
}

}  // namespace

void fail_allocation_after(int spared) { left = spared; }
void fail_all_allocations() { none_succeed = true; }
void spare_allocations() {
  left = -1;
  none_succeed = false;
}
int failed_allocations() { return failed; }

}  // namespace gbgreg

// The linker puts these in the place of what they are named after (CMakeLists.txt), for our own code and for what it
// inlines of Asio, and calls the others __real_.
extern "C" {

// NOLINTBEGIN(bugprone-reserved-identifier): the linker has chosen the names.
void* __real__Znwm(std::size_t size);
void* __real__Znam(std::size_t size);

void* __wrap__Znwm(std::size_t size) {  // operator new
  if (gbgreg::fails_now()) throw std::bad_alloc();
  return __real__Znwm(size);
}

void* __wrap__Znam(std::size_t size) {  // operator new[]
  if (gbgreg::fails_now()) throw std::bad_alloc();
  return __real__Znam(size);
}
// NOLINTEND(bugprone-reserved-identifier)

}  // extern "C"
