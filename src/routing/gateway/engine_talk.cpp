#include "routing/gateway/engine_talk.hpp"

#include <algorithm>
#include <utility>

namespace baton::gateway {
namespace {

constexpr Nanos kHearBy = std::chrono::seconds(1);
constexpr Nanos kForget = std::chrono::minutes(1);  // after nobody has asked
constexpr std::size_t kMaxTalk = std::size_t{1} << 20;

}  // namespace

void EngineTalk::ask(const http::Endpoint& pod) {
  const Mono now = clock_.now();
  std::erase_if(pods_, [&](const auto& each) {
    return !each.second.waiting && now - each.second.asked >= kForget;
  });
  auto [at, fresh] = pods_.try_emplace(http::to_string(pod));
  at->second.asked = now;
  if (at->second.waiting || now < at->second.not_before) return;
  at->second.waiting = true;
  tasks_.spawn(hear(pod));
}

Task<void> EngineTalk::hear(http::Endpoint from) {
  const auto deadline = Deadline::in(clock_, kHearBy);
  http::RequestHead head;
  head.target = openai::kLiveRequestsPath;
  auto answer = co_await client_.send(from, head, {}, deadline);
  // One that waits is not forgotten.
  Pod& pod = pods_.at(http::to_string(from));
  if (answer && answer->head().status != 200) pod.not_before = clock_.now() + kPause;
  if (answer && answer->head().status == 200) {
    const auto body = co_await answer->read_all(kMaxTalk, deadline);
    auto told = openai::read_live_requests(body ? std::string_view(*body) : "");
    if (told) {
      pod.requests = *std::move(told);
      pod.heard = clock_.now();
    }
  }
  pod.waiting = false;
}

const openai::LiveRequest* EngineTalk::said(const http::Endpoint& pod, std::string_view id) const {
  const auto at = pods_.find(http::to_string(pod));
  if (at == pods_.end() || !at->second.heard) return nullptr;
  if (clock_.now() - *at->second.heard >= kFresh) return nullptr;
  const auto& requests = at->second.requests;
  const auto found = std::ranges::find(requests, id, &openai::LiveRequest::id);
  return found == requests.end() ? nullptr : &*found;
}

}  // namespace baton::gateway
