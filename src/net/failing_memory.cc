#include "net/failing_memory.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

namespace gbgreg::net {
namespace {

thread_local int left = -1;  // Until the failure; none is to come when it is negative.
std::atomic<int> failed{0};

bool fails_now() {
  if (left < 0 || left-- > 0) return false;
  ++failed;
  return true;
}

}  // namespace

void fail_allocation_after(int spared) { left = spared; }
void spare_allocations() { left = -1; }
int failed_allocations() { return failed; }

}  // namespace gbgreg::net

void* operator new(std::size_t size) {
  void* memory = gbgreg::net::fails_now() ? nullptr : std::malloc(std::max<std::size_t>(size, 1));
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

// Asio takes the memory of its operations here.
extern "C" void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  if (gbgreg::net::fails_now()) return nullptr;
  void* memory = nullptr;
  return posix_memalign(&memory, std::max(alignment, sizeof(void*)), size) == 0 ? memory : nullptr;
}
