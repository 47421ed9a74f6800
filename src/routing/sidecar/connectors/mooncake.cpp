#include <fmt/format.h>

#include "base/text/json.hpp"
#include "routing/sidecar/connectors/primed.hpp"

namespace baton::sidecar {

namespace {

using openai::Edit;
using text::json::dump;
using text::json::Value;

// Both legs name one transfer; decode is also told which engine prefills, and where it is met.
class Mooncake final : public Connector {
 public:
  explicit Mooncake(const EnginePorts& ports) : port_(ports.mooncake_bootstrap) {}

  Order order() const override { return Order::kParallel; }
  std::optional<std::uint16_t> bootstrap_port() const override { return port_; }
  std::optional<int> prefill_rank(const Pairing& pairing) const override { return pairing.rank; }

  std::vector<Edit> prefill_edits(Api api, const openai::BodyIndex& body,
                                  const Pairing& pairing) const override {
    std::vector<Edit> edits = primed(api, body, Caps::kPresent);
    edits.push_back(
        {kTransferParams,
         fmt::format(
             R"({{"do_remote_prefill":false,"do_remote_decode":true,"transfer_id":"xfer-{}"}})",
             pairing.id)});
    return edits;
  }
  Result<Handover> read_prefill_answer(std::string_view) const override { return Handover(); }
  std::vector<Edit> decode_edits(const Handover&, const Pairing& pairing) const override {
    std::string met = "http://" + http::to_string({pairing.prefiller.host, port_});
    return {{kTransferParams,
             fmt::format(R"({{"do_remote_prefill":true,"do_remote_decode":false,)"
                         R"("transfer_id":"xfer-{}","remote_bootstrap_addr":{},)"
                         R"("remote_engine_id":{}}})",
                         pairing.id, dump(Value(met)), dump(Value(pairing.engine_id)))}};
  }
  std::vector<Edit> local_edits(const Pairing&) const override {
    return {{kTransferParams, std::nullopt}};
  }

 private:
  std::uint16_t port_;
};

}  // namespace

std::unique_ptr<Connector> make_mooncake(const EnginePorts& ports) {
  return std::make_unique<Mooncake>(ports);
}

}  // namespace baton::sidecar
