#pragma once
// Whether the side channels of prefill engines take connections: where vLLM's decode engines ask
// for KV (NIXL: ZeroMQ at remote_host:remote_port). vLLM needs 5 to 25 s to notice a dead one; a
// connection that is opened and closed again tells within a round trip.

#include <cstdint>
#include <map>
#include <memory>

#include "base/async/event.hpp"
#include "base/async/task_group.hpp"
#include "base/core/clock.hpp"
#include "net/http/message.hpp"

namespace baton::sidecar {

enum class Channel : std::uint8_t {
  kOpen,     // it took a connection
  kRefused,  // it did not: nobody listens, or no way leads there
  kSilent,   // nor did it answer in time
};

// Confined to its loop. Bounded: the one asked longest ago is forgotten.
class SideChannels {
 public:
  static constexpr std::size_t kMax = 1024;
  static constexpr Nanos kKnownFor = Millis(500);

  // `patience`: for one connection; 0: nothing is asked, all are taken to be open.
  SideChannels(asio::any_io_executor executor, const Clock& clock, Nanos patience)
      : clock_(clock), patience_(patience), asking_(std::move(executor)) {}

  struct Told {
    Channel state = Channel::kOpen;
    bool now = false;  // it was asked for this, not known
  };
  // What is known of it since kKnownFor at most; else it is asked, once for all who want to know.
  // Contract: the host is an IP address.
  Task<Told> state(http::Endpoint at);
  // Until nothing is asked any more.
  Task<void> stop();

 private:
  struct Known {
    explicit Known(const asio::any_io_executor& executor) : told(executor) {}
    Channel state = Channel::kSilent;
    Mono asked{};
    bool asking = false;
    async::Event told;
  };
  struct Asking;
  std::shared_ptr<Known> known(const http::Endpoint& at, const asio::any_io_executor& executor);
  Task<void> ask(std::shared_ptr<Known> known, http::Endpoint at);

  const Clock& clock_;
  Nanos patience_;
  std::map<http::Endpoint, std::shared_ptr<Known>> known_;
  async::TaskGroup asking_;
};

}  // namespace baton::sidecar
