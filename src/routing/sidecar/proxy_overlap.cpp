// A prefill engine that announces its KV: decode pulls what there is while the rest is computed.
// The answer of decode is kept back until the prefill has succeeded, so a failed one ends both legs
// and leads to what any failed prefill leads to.

#include <string>
#include <utility>

#include "formats/kv/transfer_params.hpp"
#include "routing/sidecar/proxy.hpp"
#include "routing/sidecar/proxy_call.hpp"

namespace baton::sidecar {

// Takes the handover out of it.
bool Proxy::is_announced(Call& call, const http::ResponseHead& head) {
  auto told = head.headers.get(kv::kAnnouncedHeader);
  if (!told || !connector_->leases() || head.status != 200) return false;
  Result<Handover> handover = connector_->read_prefill_answer(*told);
  if (!handover) return false;
  call.handover = *std::move(handover);
  return true;
}

Task<Leg> Proxy::attempt_overlapped(Call& call, Attempt& attempt, http::Response& answer,
                                    Deadline deadline) {
  std::string announced = call.handover.lease_token;
  Leg leg;
  std::vector<Task<async::Went>> legs;
  legs.push_back(overlapped_prefill(call, attempt, answer, deadline, leg));
  legs.push_back(held_decode(call));
  async::Went went = co_await async::all_or_none(std::move(legs));
  if (went == async::Went::kWrong) call.early.reset();
  if (went == async::Went::kWell && call.handover.lease_token != announced) {
    // The prompt was preempted and computed again: nobody was told of the lease it has now.
    release_lease(call);
    call.handover.lease_token = std::move(announced);
  }
  // A lease begins when its prompt is complete, and then decode has long been told.
  leg.granted = deps_.clock.now();
  co_return leg;
}

Task<async::Went> Proxy::overlapped_prefill(Call& call, Attempt& attempt, http::Response& answer,
                                            Deadline deadline, Leg& into) {
  Leg leg = co_await finish_prefill(call, attempt, answer, deadline);
  into = leg;
  bool good = leg.kind == Leg::Kind::kAnswered && leg.status >= 200 && leg.status < 300;
  co_return good ? async::Went::kWell : async::Went::kWrong;
}

}  // namespace baton::sidecar
