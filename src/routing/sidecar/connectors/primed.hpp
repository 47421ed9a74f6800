#pragma once
// The edits that make a request a prefill: one token, not streamed. Internal to the connectors.

#include <vector>

#include "routing/sidecar/connector.hpp"

namespace baton::sidecar {

// Which of the token limits are set to 1 (reference 10.1, 14).
enum class Caps : bool {
  kAll,      // also those that are absent
  kPresent,  // the main one, and those that are there
};
std::vector<openai::Edit> primed(Api api, const openai::BodyIndex& body, Caps caps);

// {"kv_request_id":…,"remote_host":…,"remote_port":…}, as vLLM's P2P tier reads it.
std::string p2p_peer(std::string_view request_id, const http::Endpoint& engine,
                     const EnginePorts& ports);
// What a prefill is told of a source that is not itself: ',"remote_kv_source":{…}', or nothing.
std::string source_member(const Pairing& pairing, const EnginePorts& ports);
// The parameters of a request that the decode engine computes alone: its source, or none.
std::vector<openai::Edit> pull_alone(const Pairing& pairing, const EnginePorts& ports);

// What asks a prefill engine to keep the KV for a remote reader (vLLM, NixlConnector); `more` are
// further members, each with a comma before it.
std::string ask_to_keep(std::string_view more);
// usage.prompt_tokens_details.cached_tokens of an answer indexed with "usage" nested; 0: not told.
std::int64_t cached_tokens(const openai::BodyIndex& answer);

}  // namespace baton::sidecar
