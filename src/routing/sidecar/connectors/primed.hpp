#pragma once
// The edits that make a request a prefill: one token, not streamed. Internal to the connectors.

#include <vector>

#include "routing/sidecar/connector.hpp"

namespace baton::sidecar {

inline constexpr std::string_view kParams = "kv_transfer_params";

// Which of the token limits are set to 1 (reference 10.1, 14).
enum class Caps : bool {
  kAll,      // also those that are absent
  kPresent,  // the main one, and those that are there
};
std::vector<openai::Edit> primed(Api api, const openai::BodyIndex& body, Caps caps);

// {"kv_request_id":…,"remote_host":…,"remote_port":…}, as vLLM's P2P tier reads it.
std::string p2p_peer(std::string_view request_id, const http::Endpoint& engine,
                     const EnginePorts& ports);

}  // namespace baton::sidecar
