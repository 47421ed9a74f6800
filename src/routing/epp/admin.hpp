#pragma once
// The picker's admin port: metrics for everybody, or for whom a review lets through; decisions for
// who asks from this machine.

#include <functional>
#include <optional>
#include <string_view>

#include "base/async/asio.hpp"
#include "base/async/cpu_pool.hpp"
#include "base/observe/metrics.hpp"
#include "base/text/json.hpp"
#include "net/http/server.hpp"
#include "net/kube/access_review.hpp"
#include "routing/epp/recorder.hpp"

namespace baton::epp {

// Whether who holds the token may do that with the path. Blocks; called on a thread of its own.
using Review = std::function<kube::AccessReview::Answer(
    std::string_view token, std::string_view verb, std::string_view path)>;

//   GET /metrics               Prometheus text
//   GET /debug/decisions       {"requests": [ids, newest first]}; loopback only, else 403
//   GET /debug/decisions/<id>  the newest decision about that request; 404
//   GET /debug/endpoints       what each endpoint last told; loopback only
//   GET /debug/plugins/state   what plugins know (plugin_states.hpp); loopback only
// With a review, all of them need a bearer token: 401, 403; 500 when nobody says.
// Confined to its loop.
class Admin {
 public:
  // What is told of the moment.
  struct Moment {
    std::function<void()> refresh;                 // brings metrics up to date
    std::function<text::json::Value()> endpoints;  // endpoint_states()
    std::function<text::json::Value()> plugins;    // plugin_states()
  };
  Admin(const observe::Registry& registry, const Recorder& recorder, Review review, Moment moment);

  Task<void> answer(http::Exchange& exchange);

 private:
  static constexpr std::size_t kMostReviews = 64;  // waiting for the API server

  Task<kube::AccessReview::Answer> review(const http::RequestHead& head);

  const observe::Registry& registry_;
  const Recorder& recorder_;
  const Review review_;
  const Moment moment_;
  std::optional<async::CpuPool> reviewers_;
};

}  // namespace baton::epp
