#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

#include "base/core/assert.hpp"
#include "base/text/json.hpp"
#include "routing/sidecar/connectors/primed.hpp"

namespace baton::sidecar {

namespace {

using openai::Edit;
using text::json::dump;
using text::json::Value;

std::string list_of(const std::vector<std::string>& hosts) {
  Value list{text::json::Array()};
  for (const std::string& host : hosts) list.push_back(host);
  return dump(list);
}

// Prefill writes its KV into blocks of the decode engine, so both are told of the other (reference
// 11). With both legs at once decode waits for what prefill writes.
class MoriioConnector final : public Connector {
 public:
  explicit MoriioConnector(const ConnectorSettings& settings)
      : ports_(settings.ports), pull_(settings.pull), it_(*settings.moriio) {}

  Order order() const override {
    return it_.dispatch == Dispatch::kParallel ? Order::kHeld : Order::kSerial;
  }
  bool pulls() const override { return pull_ == Pull::kYes; }
  std::optional<int> prefill_rank(const Pairing& pairing) const override { return rank(pairing); }
  std::optional<int> decode_rank(const Pairing& pairing) const override { return rank(pairing); }

  std::vector<Edit> prefill_edits(Api api, const openai::BodyIndex& body,
                                  const Pairing& pairing) const override {
    std::vector<Edit> edits = primed(api, body, Caps::kAll);
    std::string more;
    for (const Edit& member : peer_members(
             {it_.pod_address, it_.decode_notify_port, it_.decode_handshake_port}, pairing)) {
      more += fmt::format(R"(,"{}":{})", member.key, *member.value);
    }
    more += R"(,"remote_dp_rank_override":true)";
    if (!it_.decode_hosts.empty()) {
      more += fmt::format(R"(,"remote_hosts":{})", list_of(it_.decode_hosts));
    }
    if (pulls()) more += source_member(pairing, ports_);
    std::string ask = ask_to_keep(more);
    // The decode engine's address stands in the place of the null.
    constexpr std::string_view kNoHost = R"("remote_host":null,)";
    ask.erase(ask.find(kNoHost), kNoHost.size());
    edits.insert(edits.begin(), {kTransferParams, std::move(ask)});
    return edits;
  }

  Result<Handover> read_prefill_answer(std::string_view body) const override {
    Handover out;
    if (order() == Order::kHeld) return out;
    BATON_TRY_ASSIGN(openai::BodyIndex index, openai::BodyIndex::scan(body, "usage"));
    out.cached_tokens = cached_tokens(index);
    auto raw = index.find(kTransferParams);
    if (!raw || !raw->starts_with('{')) return not_found("no kv_transfer_params");
    out.params = *raw;
    return out;
  }

  std::vector<Edit> decode_edits(const Handover& handover, const Pairing& pairing) const override {
    const Peer prefill{pairing.prefiller.host, it_.prefill_notify_port, it_.prefill_handshake_port};
    std::vector<Edit> members = peer_members(prefill, pairing);
    if (!it_.remote_hosts.empty()) members.push_back({"remote_hosts", list_of(it_.remote_hosts)});
    std::string params =
        fmt::format(R"({{"do_remote_prefill":true,"do_remote_decode":false,"remote_engine_id":{},)"
                    R"("remote_block_ids":[]}})",
                    dump(Value(http::to_string({prefill.host, prefill.handshake_port}))));
    if (order() != Order::kHeld) params = handover.params;
    // What prefill has told stays as it is; but a rank that is none would address nobody.
    auto index = openai::BodyIndex::scan(params);
    if (!index) return {{kTransferParams, std::nullopt}};
    std::erase_if(members, [&](const Edit& member) {
      auto told = index->find(member.key);
      if (!told || *told == "null") return false;
      return member.key != "remote_dp_rank" || is_rank(*told);
    });
    return {{kTransferParams, index->splice(members).join()}};
  }
  std::vector<Edit> local_edits(const Pairing& pairing) const override {
    return pulls() ? pull_alone(pairing, ports_)
                   : std::vector<Edit>{{kTransferParams, std::nullopt}};
  }

 private:
  struct Peer {
    std::string host;
    std::uint16_t notify_port, handshake_port;
  };

  std::optional<int> rank(const Pairing& pairing) const {
    return it_.dp_size > 1 ? std::optional(it_.rank_of(pairing.id)) : std::nullopt;
  }
  bool is_rank(std::string_view text) const {
    auto value = text::json::parse(text);
    auto number = value && value->is_number() ? value->if_int() : std::nullopt;
    return number && *number >= 0 && *number < it_.dp_size;
  }
  // Who the other side is, and which transfer this is.
  std::vector<Edit> peer_members(const Peer& peer, const Pairing& pairing) const {
    std::vector<Edit> out = {
        {"remote_host", dump(Value(peer.host))},
        {"remote_notify_port", std::to_string(peer.notify_port)},
        {"remote_handshake_port", std::to_string(peer.handshake_port)},
        {"remote_dp_rank", std::to_string(it_.rank_of(pairing.id))},
        {"transfer_id", fmt::format(R"("tx{}")", pairing.id)},
        {"tp_size", std::to_string(it_.tp_size)},
        {"remote_dp_size", std::to_string(it_.dp_size)},
    };
    if (it_.dp_size_local > 0) {
      out.push_back({"remote_dp_size_local", std::to_string(it_.dp_size_local)});
    }
    return out;
  }

  EnginePorts ports_;
  Pull pull_;
  Moriio it_;
};

}  // namespace

int Moriio::rank_of(std::string_view request_id) const {
  // As llm-d spreads requests; nothing is protected by it.
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  const int hashed = EVP_Digest(request_id.data(), request_id.size(), digest.data(), nullptr,
                                EVP_blake2s256(), nullptr);
  BATON_ASSERT(hashed == 1);
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < 8; ++i) number = number << 8 | digest[i];
  return static_cast<int>(number % static_cast<std::uint64_t>(dp_size));
}

std::unique_ptr<Connector> make_moriio(const ConnectorSettings& settings) {
  return std::make_unique<MoriioConnector>(settings);
}

}  // namespace baton::sidecar
