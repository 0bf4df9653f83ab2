// Coroutines: what a task is, how to start one, how to leave the I/O threads for work that blocks.
//
// A task runs on one io_context, which one thread runs, so a task and what it owns need no lock. Cancelling a task
// makes the operation that it waits on fail at once; whatever it awaits after that throws operation_aborted, so it
// unwinds.
#pragma once

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "core/error.h"

namespace gbgreg {

namespace asio = boost::asio;

using IoContext = asio::io_context;
// A concrete executor: the type-erased default costs an allocation and a virtual call an operation.
using Executor = IoContext::executor_type;

template <class T>
using Task = asio::awaitable<T, Executor>;

using UseTask = asio::use_awaitable_t<Executor>;
inline constexpr UseTask use_task{};
// The completion token of every operation in net/: co_await gives a tuple that begins with the error code.
inline constexpr asio::as_tuple_t<UseTask> use_tuple{};

// Starts background work. What escapes it is logged under `name`; it is never lost silently.
void spawn(const Executor& executor, std::string name, Task<void> task);

// Memory in hand for one small allocation, which so cannot fail when it is needed.
struct MemoryInHand {
  alignas(std::max_align_t) std::array<std::byte, 512> bytes;
  bool is_taken = false;
};

// Takes memory in hand first, and from the heap what does not fit into it. Its copies share the memory, whichever of
// them goes last.
template <class T>
struct InHandAllocator {
  using value_type = T;

  explicit InHandAllocator(std::shared_ptr<MemoryInHand> in_hand) : memory(std::move(in_hand)) {}
  template <class Other>
  InHandAllocator(const InHandAllocator<Other>& other) : memory(other.memory) {}  // NOLINT(google-explicit-constructor)
  template <class Other>
  bool operator==(const InHandAllocator<Other>& other) const {
    return memory == other.memory;
  }

  T* allocate(std::size_t count) {
    if (memory->is_taken || count * sizeof(T) > memory->bytes.size()) return std::allocator<T>().allocate(count);
    memory->is_taken = true;
    return reinterpret_cast<T*>(memory->bytes.data());
  }
  void deallocate(T* taken, std::size_t count) {
    const bool is_ours = reinterpret_cast<std::byte*>(taken) == memory->bytes.data();
    if (!is_ours) return std::allocator<T>().deallocate(taken, count);
    memory->is_taken = false;
  }

  std::shared_ptr<MemoryInHand> memory;
};

// Runs `work` on a pool for blocking calls (databases, files, hashing whole files) and comes back with what it
// returned, or threw. It is not interrupted by cancellation: a started transaction always ends. Coming back needs no
// memory that is not there before the work begins: what throws on a pool's thread outside of the work ends the process.
template <class Work>
Task<std::invoke_result_t<Work>> offload(asio::thread_pool& pool, Work work) {
  using Value = std::invoke_result_t<Work>;
  auto start = [&pool, work = std::move(work)](auto handler) mutable {
    auto executor = asio::get_associated_executor(handler);
    const InHandAllocator<void> in_hand(std::make_shared<MemoryInHand>());
    auto job = [work = std::move(work), handler = std::move(handler), executor, in_hand]() mutable {
      std::exception_ptr failure;
      std::unique_ptr<Value> value;
      try {
        value = std::make_unique<Value>(work());
      } catch (...) {
        failure = std::current_exception();
      }
      auto come_back = [handler = std::move(handler), failure, value = std::move(value)]() mutable {
        std::move(handler)(failure, std::move(value));
      };
      asio::post(executor, asio::bind_allocator(in_hand, std::move(come_back)));
    };
    asio::post(pool, std::move(job));
  };
  using Signature = void(std::exception_ptr, std::unique_ptr<Value>);
  auto value = co_await asio::async_initiate<const UseTask, Signature>(std::move(start), use_task);
  co_return std::move(*value);
}

}  // namespace gbgreg
