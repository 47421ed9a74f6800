#include <fmt/format.h>

#include "routing/sidecar/connectors/primed.hpp"

namespace baton::sidecar {

namespace {

using openai::Edit;

// The decode engine pulls from the prefill engine's P2P tier under a request id that both know
// (names of 2026-07-24 and later).
class Offloading final : public Connector {
 public:
  explicit Offloading(const EnginePorts& ports) : ports_(ports) {}

  Order order() const override { return Order::kParallel; }
  bool pulls() const override { return true; }
  std::vector<Edit> prefill_edits(Api api, const openai::BodyIndex& body,
                                  const Pairing& pairing) const override {
    std::vector<Edit> edits = primed(api, body, Caps::kPresent);
    edits.push_back(
        {kTransferParams, fmt::format(R"({{"remote_decoder":{{"kv_request_id":"{}"}}{}}})",
                                      pairing.id, source_member(pairing, ports_))});
    return edits;
  }
  Result<Handover> read_prefill_answer(std::string_view) const override { return Handover(); }
  std::vector<Edit> decode_edits(const Handover&, const Pairing& pairing) const override {
    return {{kTransferParams, fmt::format(R"({{"remote_prefiller":{}}})",
                                          p2p_peer(pairing.id, pairing.prefiller, ports_))}};
  }
  std::vector<Edit> local_edits(const Pairing& pairing) const override {
    return pull_alone(pairing, ports_);
  }

 private:
  EnginePorts ports_;
};

}  // namespace

std::unique_ptr<Connector> make_offloading(const EnginePorts& ports) {
  return std::make_unique<Offloading>(ports);
}

}  // namespace baton::sidecar
