#pragma once
// One KV protocol between prefill and decode engine, as edits of the client's body. Pure.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "formats/openai/splice.hpp"
#include "routing/sidecar/request.hpp"

namespace baton::sidecar {

// What a successful prefill hands to the decode engine.
struct Handover {
  std::string params;              // JSON text, opaque, as the prefill engine wrote it
  std::string request_id;          // of the lease; "" when the engine names none
  std::string lease_token;         // "" for engines without leases of ours
  std::int64_t cached_tokens = 0;  // of the prompt, in the prefill engine's own cache
};

// Immutable; thread-safe.
class Connector {
 public:
  virtual ~Connector() = default;

  // The member whose inside the edits below touch; "" when none.
  virtual std::string_view nested_member(Api api) const = 0;
  virtual std::vector<openai::Edit> prefill_edits(Api api, const openai::BodyIndex& body) const = 0;
  // kInvalid: the answer is no JSON object. kNotFound: it hands over nothing that can be pulled.
  virtual Result<Handover> read_prefill_answer(std::string_view body) const = 0;
  // Without a handover the decode engine computes the prompt itself.
  virtual std::vector<openai::Edit> decode_edits(const Handover* handover) const = 0;
};

// vLLM's NixlConnector: prefill first, its kv_transfer_params go to decode.
const Connector& nixlv2();

}  // namespace baton::sidecar
