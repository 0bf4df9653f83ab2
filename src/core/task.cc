#include "core/task.h"

#include <spdlog/spdlog.h>

#include <boost/system/system_error.hpp>

namespace gbgreg {

void spawn(const Executor& executor, std::string name, Task<void> task) {
  asio::co_spawn(executor, std::move(task), [name = std::move(name)](const std::exception_ptr& failure) {
    if (!failure) return;
    try {
      std::rethrow_exception(failure);
    } catch (const boost::system::system_error& error) {
      if (error.code() == asio::error::operation_aborted) return;  // Cancelled on purpose.
      spdlog::error("task {} failed: {}", name, error.what());
    } catch (const std::exception& error) {
      spdlog::error("task {} failed: {}", name, error.what());
    }
  });
}

}  // namespace gbgreg
