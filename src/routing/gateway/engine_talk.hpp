#pragma once
// What engines say of the requests that they hold (formats/openai/live_requests), for the page at
// /ui: asked of the pods of requests on their way while somebody looks at it, never otherwise.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/async/asio.hpp"
#include "base/async/task_group.hpp"
#include "base/core/clock.hpp"
#include "formats/openai/live_requests.hpp"
#include "net/http/client.hpp"

namespace baton::gateway {

// Confined to the loop.
class EngineTalk {
 public:
  static constexpr Nanos kFresh = std::chrono::seconds(2);   // older words are not repeated
  static constexpr Nanos kPause = std::chrono::seconds(30);  // for an engine that cannot tell

  // `tasks` ends before this does.
  EngineTalk(http::Client& client, const Clock& clock, async::TaskGroup& tasks)
      : client_(client), clock_(clock), tasks_(tasks) {}

  // Asks the pod, unless its answer is being waited for. What it says is there a little later.
  void ask(const http::Endpoint& pod);
  // What the pod last said of the request of that (legible) id; null: nothing, or long ago.
  const openai::LiveRequest* said(const http::Endpoint& pod, std::string_view id) const;

 private:
  struct Pod {
    std::vector<openai::LiveRequest> requests;
    std::optional<Mono> heard;
    Mono asked{}, not_before{};
    bool waiting = false;
  };
  Task<void> hear(http::Endpoint from);

  http::Client& client_;
  const Clock& clock_;
  async::TaskGroup& tasks_;
  std::map<std::string, Pod> pods_;  // by address
};

}  // namespace baton::gateway
