#pragma once
// What the answer to a probe proves: whether a prompt's KV really came from a prefill pod, and if
// not, at which hop it failed. Condition KVTransferVerified. Pure.

#include <string>
#include <string_view>

#include "base/core/result.hpp"
#include "net/http/message.hpp"
#include "net/kube/object.hpp"

namespace baton::reconcile {

inline constexpr std::string_view kTransferCondition = "KVTransferVerified";

// Its reasons: what was seen, or which hop failed.
//   True     KVTransferred
//   False    Unreachable       the gateway, or the Service where there is no route
//            GatewayFailed     it, or the picker it asks, refused
//            NoPrefillPicked   the picker chose no prefill pod
//            SidecarFailed, PrefillFailed, DecodeFailed
//            TransferFailed    decode did not get what prefill had computed
//   Unknown  NoProof           the engine or the gateway does not tell
//            Refused           keys are asked for
// The headers are those of the sidecar and of Baton's engine (routing/sidecar, formats/openai).
// `where` names what was asked: "gateway http://…". Nothing of a request or of a body is told.
kube::Condition judge(const Result<http::ResponseHead>& answer, std::string_view where);

}  // namespace baton::reconcile
