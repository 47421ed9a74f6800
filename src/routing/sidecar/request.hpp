#pragma once
// What a request asks of the sidecar: read from its head, and from the index of its body. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/openai/splice.hpp"
#include "net/http/message.hpp"

namespace baton::sidecar {

// Header names are llm-d's; x-prefiller-url is the name of its first generation.
inline constexpr std::string_view kPrefillerHeader = "x-prefiller-host-port";
inline constexpr std::string_view kOldPrefillerHeader = "x-prefiller-url";
inline constexpr std::string_view kEncoderHeader = "x-encoder-hosts-ports";
inline constexpr std::string_view kKvSourceHeader = "x-kv-cache-source-host-port";
inline constexpr std::string_view kRankHeader = "x-data-parallel-host-port";
inline constexpr std::size_t kMaxCandidates = 8;  // of one request; more are not tried

// How an API names its token limits.
enum class Api : std::uint8_t { kChat, kResponses, kGenerate };
std::string_view name(Api api);  // llm-d's: chat_completions, responses, generate

// A route by which engines generate.
struct Route {
  std::string_view path;  // as engines spell it
  // nullopt: nobody splits it (SageMaker's, vLLM's batches of chats, SGLang's own): it is forwarded
  // untouched, or refused for what it names.
  std::optional<Api> api;
};
// That of a request, however its path is spelt; nullopt: none, forwarded untouched.
std::optional<Route> generating_route(const http::RequestHead& head);

// An engine would read another text than is looked at here: Python's json takes UTF-16 and UTF-32
// as well. nullopt: it reads UTF-8.
std::optional<std::string_view> encoding_problem(std::string_view body);

// The prefill endpoints that the picker offers, as text without scheme and spaces.
std::vector<std::string> prefill_candidates(const http::Headers& headers);
// The encoders of x-encoder-hosts-ports, likewise.
std::vector<std::string> encoder_candidates(const http::Headers& headers);

// Everything that routers tell to dial, as it was written; what a ticket signs. "": nothing.
std::string routed_endpoints(const http::Headers& headers);

// Without spaces around it and "http://" before it, which llm-d tolerates.
std::string_view without_scheme(std::string_view text);

// The endpoints in the order in which they are tried: as they came, each once, but hosts that were
// not tried yet before other ports of those that were. At most kMaxCandidates.
std::vector<http::Endpoint> in_order_of_trial(const std::vector<http::Endpoint>& candidates);

// What travels to an engine: without hop-by-hop and routing fields, the client's address appended
// to X-Forwarded-For. `peer` is "ip:port".
http::RequestHead forwarded(const http::RequestHead& head, std::string_view peer);

inline constexpr std::string_view kTransferParams = "kv_transfer_params";
// Whether any object in it has such a member.
bool names_params(std::string_view json);
// Whether the body, or the object that is its member "parameters" (Vertex), has a member of that
// name; also when it may, and is no strict JSON.
bool may_have_member(std::string_view body, std::string_view name);
// Whether the only transfer parameters of this body ask an engine to keep the KV that it computes,
// as prefill legs do, and say of no other engine.
bool asks_to_keep(std::string_view body);

// Whether one prefill serves the whole request: one prompt without scores of its tokens, one
// choice.
bool single(const openai::BodyIndex& body);

}  // namespace baton::sidecar
