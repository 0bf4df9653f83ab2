// Coroutines: what a task is, how to start one, how to leave the I/O threads for work that blocks.
//
// A task runs on one io_context, which one thread runs, so a task and what it owns need no lock. Cancelling a task
// makes the operation that it waits on fail at once; whatever it awaits after that throws operation_aborted, so it
// unwinds.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
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

// Runs `work` on a pool for blocking calls (databases, files, hashing whole files) and comes back with what it
// returned. It is not interrupted by cancellation: a started transaction always ends.
template <class Work>
Task<std::invoke_result_t<Work>> offload(asio::thread_pool& pool, Work work) {
  using Value = std::invoke_result_t<Work>;
  auto start = [&pool, work = std::move(work)](auto handler) mutable {
    auto executor = asio::get_associated_executor(handler);
    auto job = [work = std::move(work), handler = std::move(handler), executor]() mutable {
      std::exception_ptr failure;
      std::unique_ptr<Value> value;
      try {
        value = std::make_unique<Value>(work());
      } catch (...) {
        failure = std::current_exception();
      }
      asio::post(executor, [handler = std::move(handler), failure, value = std::move(value)]() mutable {
        std::move(handler)(failure, std::move(value));
      });
    };
    asio::post(pool, std::move(job));
  };
  using Signature = void(std::exception_ptr, std::unique_ptr<Value>);
  auto value = co_await asio::async_initiate<const UseTask, Signature>(std::move(start), use_task);
  co_return std::move(*value);
}

}  // namespace gbgreg
