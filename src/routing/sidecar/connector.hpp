#pragma once
// One KV protocol between prefill and decode engine, as edits of the client's body. Pure.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "formats/openai/splice.hpp"
#include "routing/sidecar/request.hpp"

namespace baton::sidecar {

// In which order the legs run.
enum class Order : std::uint8_t {
  kSerial,       // prefill, then decode with what it handed over
  kParallel,     // both at once; the engines find each other by what both were told
  kHeld,         // both at once, but the answer of decode waits until the prefill has succeeded
  kDecodeFirst,  // decode, and only when it says that the prompt is not in the store: prefill
};

// What a successful prefill hands to the decode engine.
struct Handover {
  std::string params;              // JSON text, opaque, as the prefill engine wrote it
  std::string request_id;          // of the lease; "" when the engine names none
  std::string lease_token;         // "" for engines without leases of ours
  std::int64_t cached_tokens = 0;  // of the prompt, in the prefill engine's own cache
  std::string engine_id;           // of the prefill engine; another one after each start
  std::uint64_t tokens = 0;        // of the prompt; 0: not told
  // remote_blocks_expiry_time: seconds of the prefill host's own clock.
  std::optional<double> expiry;
  // Where the decode engine will ask for the KV, when it is worth a look before: engines that are
  // not ours notice late that nobody is there. An IP address.
  std::optional<http::Endpoint> side_channel;
};

// Another engine that has a prefix of the prompt.
struct KvSource {
  http::Endpoint at;       // where it serves
  std::string request_id;  // of the pull
};

// What the two legs of one request share.
struct Pairing {
  http::Endpoint prefiller;
  std::string id;         // a UUID; with serial legs their x-request-id
  std::int64_t room = 0;  // 63 random bits
  int rank = 0;           // of the prefill engine, where the connector looks engines up
  std::string engine_id;  // the same
  std::optional<KvSource> source;
};
Pairing make_pairing(Random& random);

// Immutable; thread-safe.
class Connector {
 public:
  virtual ~Connector() = default;

  virtual Order order() const = 0;
  // Whether prefill engines keep the KV for a limited time only.
  virtual bool leases() const { return false; }
  // Members by which it makes engines meet, beside kv_transfer_params: no client sets them.
  virtual std::span<const std::string_view> meeting_members() const { return {}; }
  // Whether the body is a prefill leg that says of no engine but that of the pod at `own`, an
  // address ("": not known).
  virtual bool is_leg(std::string_view body, std::string_view /*own*/) const {
    return asks_to_keep(body);
  }
  // Whether it can make an engine pull from a KvSource.
  virtual bool pulls() const { return false; }
  // Where the prefill host tells the ids of its engines; they are wanted before the legs begin.
  virtual std::optional<std::uint16_t> bootstrap_port() const { return std::nullopt; }
  // The rank that each leg names in x-data-parallel-rank; nullopt: none.
  virtual std::optional<int> prefill_rank(const Pairing&) const { return std::nullopt; }
  virtual std::optional<int> decode_rank(const Pairing&) const { return std::nullopt; }
  // The member whose inside the edits below touch; "" when none.
  std::string_view nested_member(Api api) const;
  virtual std::vector<openai::Edit> prefill_edits(Api api, const openai::BodyIndex& body,
                                                  const Pairing& pairing) const = 0;
  // kInvalid: the answer is no JSON object. kNotFound: it hands over nothing that can be pulled.
  virtual Result<Handover> read_prefill_answer(std::string_view body) const = 0;
  // Of a request that was, or is being, prefilled. `handover` is that of kSerial.
  virtual std::vector<openai::Edit> decode_edits(const Handover& handover,
                                                 const Pairing& pairing) const = 0;
  // Of one that the decode engine computes alone; with a source it pulls what that has.
  virtual std::vector<openai::Edit> local_edits(const Pairing& pairing) const = 0;
};

// The same edits, and without the transfer parameters that the client wrote: only routers say where
// KV comes from.
std::vector<openai::Edit> sealed(std::vector<openai::Edit> edits, const openai::BodyIndex& body);

// Ports of the engines' own protocols, and how ranks are told from serving ports.
struct EnginePorts {
  std::uint16_t sglang_bootstrap = 8998;    // llm-d: SGLANG_BOOTSTRAP_PORT
  std::uint16_t mooncake_bootstrap = 8998;  // llm-d: --mooncake-bootstrap-port
  std::uint16_t p2p = 7777;                 // llm-d: --p2p-connector-port
  std::uint16_t serving = 8000;             // of rank 0
  int ranks = 1;

  // The P2P port of the engine that serves there: a rank's is as far from the first as its own.
  std::uint16_t p2p_of(const http::Endpoint& engine) const;
};

enum class Pull : bool { kNo, kYes };
enum class Dispatch : bool { kSerial, kParallel };

// vLLM's MoRI-IO connector in write mode (AMD): prefill writes into blocks of the decode engine.
struct Moriio {
  std::string pod_address;  // of this pod, where the decode engine listens
  std::uint16_t decode_notify_port = 61005, decode_handshake_port = 6301;
  std::uint16_t prefill_notify_port = 61005, prefill_handshake_port = 6301;
  Dispatch dispatch = Dispatch::kSerial;
  Nanos decode_wait = std::chrono::seconds(30);  // for the prefill, with Dispatch::kParallel
  int tp_size = 1, dp_size = 1;
  int dp_size_local = 0;  // ranks of one pod; 0: all
  // Addresses of the pods of the prefill and of the decode engine, when they have several.
  std::vector<std::string> remote_hosts, decode_hosts;

  // Which rank serves a request: BLAKE2s-256 of its id, the first 8 bytes, modulo dp_size (llm-d).
  int rank_of(std::string_view request_id) const;
};

struct ConnectorSettings {
  EnginePorts ports{};
  Pull pull = Pull::kNo;           // nixlv2: prefill engines also pull from a KvSource
  std::optional<Moriio> moriio{};  // nixlv2: MoRI-IO instead of NIXL
};

// vLLM's NixlConnector: prefill first, its kv_transfer_params go to decode.
std::unique_ptr<Connector> make_nixlv2(const ConnectorSettings& settings);
// Contract: settings.moriio.
std::unique_ptr<Connector> make_moriio(const ConnectorSettings& settings);
// A store that both engines see (vLLM's shared storage connectors, LMCache).
std::unique_ptr<Connector> make_shared_storage();
std::unique_ptr<Connector> make_sglang(const EnginePorts& ports);
// vLLM's MooncakeConnector: the engines meet by the id of the prefill engine.
std::unique_ptr<Connector> make_mooncake(const EnginePorts& ports);
// vLLM's OffloadingConnector with its P2P tier.
std::unique_ptr<Connector> make_offloading(const EnginePorts& ports);

// By the name of --kv-connector; null: there is none of that name.
std::unique_ptr<Connector> make_connector(std::string_view name, const ConnectorSettings& settings);

}  // namespace baton::sidecar
