#pragma once
// kv_transfer_params: what the prefill engine answers and the decode engine is given. Member names
// are vLLM's (vllm/distributed/kv_transfer/kv_connector/v1/nixl: do_remote_prefill,
// remote_block_ids, …); `baton_lease_token` and `baton_generation` are ours. A sidecar treats the
// object as opaque.

#include <cstdint>
#include <string>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::kv {

struct TransferParams {
  bool do_remote_decode = false;   // asked of the prefill engine
  bool do_remote_prefill = false;  // told to the decode engine
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
// As the prefill engine answers it (do_remote_prefill true).
text::json::Value encode(const TransferParams& params);

}  // namespace baton::kv
