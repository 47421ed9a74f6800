#include "net/http/async_resolve.hpp"

#include <boost/system/system_error.hpp>
#include <cstring>
#include <memory>
#include <utility>

#include "net/http/lookup.hpp"
#include "net/http/resolve.hpp"

namespace baton::http {

namespace {

using Timer = asio::steady_timer;

Tcp::endpoint endpoint_at(const Address& address) {
  Tcp::endpoint out;
  out.resize(address.size);  // throws if it has no room for that
  std::memcpy(out.data(), address.get(), address.size);
  return out;
}

// Ends the wait of a timer from another thread. What is posted may outlast the timer.
std::function<void()> waker(asio::any_io_executor executor, std::weak_ptr<Timer> timer) {
  return [executor = std::move(executor), timer = std::move(timer)] {
    asio::post(executor, [timer] {
      if (const auto waiting = timer.lock()) waiting->cancel();
    });
  };
}

}  // namespace

Task<Result<Tcp::endpoint>> resolve(Endpoint at, Deadline deadline) {
  if (at.host == "localhost") at.host = "127.0.0.1";
  if (const auto address = literal_address(at)) co_return endpoint_at(*address);
  const auto executor = co_await asio::this_coro::executor;
  BATON_CO_TRY_ASSIGN(const auto lookup, Lookup::join(at.host));
  const auto limit = std::make_shared<Timer>(executor, deadline.at);
  const Lookup::Watch watch(*lookup, waker(executor, limit));
  const auto [ended] = co_await limit->async_wait(asio::as_tuple(asio::use_awaitable));
  if (const auto answer = lookup->answer(at.port)) {
    if (!*answer) co_return answer->error();
    co_return endpoint_at((**answer).front());
  }
  if (ended) throw boost::system::system_error(ended);  // our caller was cancelled
  co_return lookup->late();
}

}  // namespace baton::http
