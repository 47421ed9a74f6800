#include "routing/sidecar/side_channels.hpp"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "base/async/finish_by.hpp"

namespace baton::sidecar {

namespace {

Task<bool> takes_a_connection(http::Endpoint at) {
  auto executor = co_await asio::this_coro::executor;
  boost::system::error_code failed;
  const auto address = asio::ip::make_address(at.host, failed);
  if (failed) co_return false;
  asio::ip::tcp::socket socket(executor);
  auto [ec] =
      co_await socket.async_connect({address, at.port}, asio::as_tuple(asio::use_awaitable));
  co_return !ec;
}

}  // namespace

// However asking ends, nobody waits for it any longer.
struct SideChannels::Asking {
  Known& known;
  ~Asking() {
    known.asking = false;
    known.told.notify();
  }
};

std::shared_ptr<SideChannels::Known> SideChannels::known(const http::Endpoint& at,
                                                         const asio::any_io_executor& executor) {
  auto found = known_.find(at);
  if (found != known_.end()) return found->second;
  if (known_.size() >= kMax) {
    known_.erase(
        std::ranges::min_element(known_, {}, [](const auto& each) { return each.second->asked; }));
  }
  return known_.emplace(at, std::make_shared<Known>(executor)).first->second;
}

Task<SideChannels::Told> SideChannels::state(http::Endpoint at) {
  if (patience_ == Nanos()) co_return Told{};
  auto executor = co_await asio::this_coro::executor;
  const std::shared_ptr<Known> channel = known(at, executor);
  const bool due = channel->asked == Mono() || clock_.now() - channel->asked > kKnownFor;
  const bool now = due && !channel->asking;
  if (now) {
    channel->asking = true;
    channel->asked = clock_.now();
    asking_.spawn(ask(channel, at));
  }
  while (channel->asking) co_await channel->told.wait();
  co_return Told{channel->state, now};
}

Task<void> SideChannels::ask(std::shared_ptr<Known> known, http::Endpoint at) {
  Asking asking{*known};
  const auto took =
      co_await async::finish_by(clock_.now() + patience_, takes_a_connection(std::move(at)));
  known->asked = clock_.now();
  known->state = !took ? Channel::kSilent : *took ? Channel::kOpen : Channel::kRefused;
}

Task<void> SideChannels::stop() {
  asking_.cancel();
  co_await asking_.join();
}

}  // namespace baton::sidecar
