#pragma once
// kv_transfer_params: what the prefill engine answers and the decode engine is given. Member names
// are vLLM's (vllm/distributed/kv_transfer/kv_connector/v1/nixl: do_remote_prefill,
// remote_block_ids, …); `baton_lease_token`, `baton_generation` and `baton_announced` are ours. A
// sidecar treats the object as opaque.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::kv {

// A prefill request that carries this header wants to know where the KV will be before it is all
// there. An engine that can tell begins its answer, with kAnnouncedHeader, when it begins to
// compute: a JSON object whose `kv_transfer_params` may be given to a decode engine at once. The
// answer's body comes when the prompt is computed; an answer that breaks off says that it will not
// be.
inline constexpr std::string_view kAnnounceHeader = "x-baton-announce-kv";
inline constexpr std::string_view kAnnouncedHeader = "x-baton-announced-kv";

struct TransferParams {
  bool do_remote_decode = false;   // asked of the prefill engine
  bool announce = false;           // asked of it, by kAnnounceHeader
  bool do_remote_prefill = false;  // told to the decode engine
  bool announced = false;          // told to it: the KV may still be in the making
  std::string remote_engine_id;
  std::string remote_request_id;
  std::string remote_host;  // where the KV server of the prefill engine listens
  std::uint16_t remote_port = 0;
  std::vector<std::uint64_t> remote_block_ids;
  std::uint64_t remote_num_tokens = 0;  // tokens computed there: the whole prompt
  std::uint64_t tp_size = 1;
  std::uint64_t generation = 0;
  std::string lease_token;  // unguessable; presented by the pull

  friend bool operator==(const TransferParams&, const TransferParams&) = default;
};

// null and {} give a default. kInvalid: a member of the wrong type or out of range, or
// do_remote_prefill without everything a pull needs; the message names the member.
Result<TransferParams> decode(const text::json::Value& value);
// As the prefill engine answers it (do_remote_prefill true), or announces it.
text::json::Value encode(const TransferParams& params);

}  // namespace baton::kv
