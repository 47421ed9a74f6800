#include "control/reconcile/transfer_proof.hpp"

#include <fmt/format.h>

#include <charconv>

namespace baton::reconcile {

namespace {

constexpr std::size_t kMaxDetail = 200;  // characters of what another program says

kube::Condition verdict(std::string_view status, std::string_view reason, std::string message) {
  return {std::string(kTransferCondition), std::string(status), std::string(reason),
          std::move(message), "Info"};
}

// One line of plain characters: it came from outside.
std::string plain(std::string_view text) {
  std::string out(text.substr(0, kMaxDetail));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) c = '?';
  }
  return out;
}

struct Proof {
  explicit Proof(const http::Headers& headers)
      : prefill(plain(headers.get("x-baton-prefill").value_or(""))),
        error_hop(headers.get("x-baton-error-hop").value_or("")),
        transfer_error(plain(headers.get("x-baton-transfer-error").value_or(""))) {
    const auto text = headers.get("x-baton-remote-tokens");
    std::uint64_t count = 0;
    if (!text) return;
    const auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), count);
    if (failed == std::errc() && end == text->data() + text->size()) remote = count;
  }

  std::string prefill;  // "name ip:port", or "none; reason=…"
  std::string_view error_hop;
  std::string transfer_error;
  std::optional<std::uint64_t> remote;  // prompt tokens whose KV was pulled
};

kube::Condition of_refusal(int status, const Proof& proof, std::string_view where) {
  if (proof.error_hop == "prefill") {
    return verdict("False", "PrefillFailed",
                   fmt::format("prefill: pod {} answered {}", proof.prefill, status));
  }
  if (proof.error_hop == "decode") {
    return verdict("False", "DecodeFailed",
                   fmt::format("decode: the pod answered {}, or could not be reached", status));
  }
  if (proof.error_hop == "sidecar") {
    return verdict("False", "SidecarFailed", fmt::format("sidecar: it answered {}", status));
  }
  if (status == 401 || status == 403) {
    return verdict(
        "Unknown", "Refused",
        fmt::format("{} answered {}: it wants a key, and probes have none", where, status));
  }
  return verdict("False", "GatewayFailed",
                 fmt::format("{} answered {}: it, or the picker that it asks, has no pod for the "
                             "request",
                             where, status));
}

kube::Condition of_answer(const Proof& proof, std::string_view where) {
  constexpr std::string_view kNone = "none; reason=";
  if (proof.remote && *proof.remote > 0) {
    return verdict("True", "KVTransferred", "a decode pod pulled a prompt's KV from a prefill pod");
  }
  if (proof.prefill.starts_with(kNone)) {
    const auto why = std::string_view(proof.prefill).substr(kNone.size());
    if (why == "fallback") {
      return verdict("False", "PrefillFailed",
                     "sidecar: no prefill pod answered it, decode computed the prompt itself");
    }
    return verdict("False", "NoPrefillPicked",
                   fmt::format("picker: chose no prefill pod ({})", why));
  }
  if (!proof.transfer_error.empty()) {
    return verdict("False", "TransferFailed",
                   fmt::format("decode: got no KV from prefill pod {}: {}", proof.prefill,
                               proof.transfer_error));
  }
  if (proof.remote && proof.prefill.empty()) {
    return verdict("False", "NoPrefillPicked", "picker: no prefill pod was asked");
  }
  if (proof.remote) {
    return verdict("False", "TransferFailed",
                   fmt::format("decode: pulled nothing from prefill pod {}", proof.prefill));
  }
  if (!proof.prefill.empty()) {
    return verdict(
        "Unknown", "NoProof",
        fmt::format("prefill pod {} was asked; the engines do not tell whether its KV was "
                    "used",
                    proof.prefill));
  }
  return verdict("Unknown", "NoProof",
                 fmt::format("{} answers without proof: it removes the headers (baton gateway "
                             "--proof-headers), or the pods have no sidecar of Baton's",
                             where));
}

}  // namespace

kube::Condition judge(const Result<http::ResponseHead>& answer, std::string_view where) {
  if (!answer) {
    return verdict("False", "Unreachable",
                   fmt::format("{}: {}", where, plain(answer.error().message())));
  }
  const Proof proof(answer->headers);
  const bool good = answer->status >= 200 && answer->status < 300;
  return good ? of_answer(proof, where) : of_refusal(answer->status, proof, where);
}

}  // namespace baton::reconcile
