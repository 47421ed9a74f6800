#pragma once
// From a plain thread into a loop and back: for tests and terminal commands.

#include <boost/asio/use_future.hpp>
#include <type_traits>
#include <utility>

#include "base/async/asio.hpp"
#include "base/async/finish_by.hpp"
#include "base/async/loop.hpp"

namespace baton::async {

// Runs `task` on the loop (which runs on another thread) and waits for its result or exception.
template <class T>
T blocking_run(Loop& loop, Task<T> task) {
  if constexpr (std::is_void_v<T>) {
    asio::co_spawn(loop.context(), std::move(task), asio::use_future).get();
  } else {
    return *asio::co_spawn(loop.context(), detail::boxed(std::move(task)), asio::use_future).get();
  }
}

}  // namespace baton::async
