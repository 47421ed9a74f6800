#pragma once
// The one door to Asio: only network folders include it (compile time), and only under these names.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace baton {

namespace asio = boost::asio;

// A coroutine. Rules: docs/coroutines in base/async/README.md (no capturing lambdas, await as a
// whole statement, references outlive the await).
template <class T>
using Task = asio::awaitable<T>;

}  // namespace baton
