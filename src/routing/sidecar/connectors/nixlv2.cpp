#include <fmt/format.h>

#include "base/text/json.hpp"
#include "routing/sidecar/allowlist.hpp"
#include "routing/sidecar/connectors/primed.hpp"

namespace baton::sidecar {

namespace {

using openai::Edit;
using text::json::Value;

// Names the member without which a pull cannot work; "" when all are there.
std::string_view missing_member(const Value& params) {
  for (std::string_view name : {"remote_engine_id", "remote_host"}) {
    if (params.string_at({name}).empty()) return name;
  }
  const Value* port = params.find("remote_port");
  if (port == nullptr || port->if_int().value_or(0) <= 0) return "remote_port";
  const Value* blocks = params.find("remote_block_ids");
  if (blocks == nullptr || !blocks->is_array() || blocks->if_array()->empty()) {
    return "remote_block_ids";
  }
  // Engines before vLLM 0.12 have no remote_request_id: both legs share the request id.
  const Value* id = params.find("remote_request_id");
  if (id != nullptr && params.string_at({"remote_request_id"}).empty()) return "remote_request_id";
  const Value* pull = params.find("do_remote_prefill");
  return pull != nullptr && pull->if_bool() != nullptr && *pull->if_bool() ? ""
                                                                           : "do_remote_prefill";
}

class Nixlv2 final : public Connector {
 public:
  explicit Nixlv2(const ConnectorSettings& settings)
      : ports_(settings.ports), pull_(settings.pull) {}

  Order order() const override { return Order::kSerial; }
  bool leases() const override { return true; }
  bool pulls() const override { return pull_ == Pull::kYes; }

  std::vector<Edit> prefill_edits(Api api, const openai::BodyIndex& body,
                                  const Pairing& pairing) const override {
    std::vector<Edit> edits = primed(api, body, Caps::kAll);
    edits.insert(edits.begin(),
                 {kTransferParams, ask_to_keep(pulls() ? source_member(pairing, ports_) : "")});
    return edits;
  }

  Result<Handover> read_prefill_answer(std::string_view body) const override {
    BATON_TRY_ASSIGN(openai::BodyIndex index, openai::BodyIndex::scan(body, "usage"));
    Handover out;
    out.cached_tokens = cached_tokens(index);
    auto raw = index.find(kTransferParams);
    if (!raw || *raw == "null") return not_found("no kv_transfer_params");
    auto params = text::json::parse(*raw);
    if (!params || !params->is_object()) return not_found("kv_transfer_params is no object");
    std::string_view missing = missing_member(*params);
    if (!missing.empty()) {
      return not_found(fmt::format("kv_transfer_params without a usable {}", missing));
    }
    out.params = *raw;
    out.request_id = params->string_at({"remote_request_id"});
    out.lease_token = params->string_at({"baton_lease_token"});
    out.engine_id = params->string_at({"remote_engine_id"});
    if (auto count = index.find("prompt_tokens", openai::Where::kNested)) {
      auto number = text::json::parse(*count);
      if (number) out.tokens = number->if_uint().value_or(0);
    }
    if (const Value* expiry = params->find("remote_blocks_expiry_time")) {
      out.expiry = expiry->if_double();
    }
    const auto port = params->find("remote_port")->if_int().value_or(0);
    const std::string_view host = params->string_at({"remote_host"});
    if (out.lease_token.empty() && port <= 65535 && canonical_address(host)) {
      out.side_channel = {std::string(host), static_cast<std::uint16_t>(port)};
    }
    return out;
  }

  std::vector<Edit> decode_edits(const Handover& handover, const Pairing&) const override {
    return {{kTransferParams, handover.params}};
  }
  std::vector<Edit> local_edits(const Pairing& pairing) const override {
    return pulls() ? pull_alone(pairing, ports_)
                   : std::vector<Edit>{{kTransferParams, std::nullopt}};
  }

 private:
  EnginePorts ports_;
  Pull pull_;
};

}  // namespace

std::unique_ptr<Connector> make_nixlv2(const ConnectorSettings& settings) {
  return std::make_unique<Nixlv2>(settings);
}

}  // namespace baton::sidecar
