#pragma once
// Who reads a request's body, by its path (picker reference 7.1).

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "formats/openai/prompt_text.hpp"
#include "routing/schedule/plugin.hpp"

namespace baton::epp {

// How the JSON of a request lies in its body.
enum class Wrapping : std::uint8_t {
  kNone,
  kVertex,    // gRPC frame, HttpBody in field 2
  kVllmGrpc,  // gRPC frame, no JSON: vllm.grpc.engine.GenerateRequest
};

struct Claim {
  std::optional<openai::Api> api;  // nullopt: the body says nothing, and passes as it is
  Wrapping wrapping = Wrapping::kNone;
  bool skips_response = false;  // nothing of the answer is wanted
};

// The configured parser whose suffix of :path is the longest; none has a boundary before it but
// SGLang's. Compared is what the engine will route by: no query, its percent escapes decoded; not
// one slash at its end either. "" is /v1/completions. kInvalid: nobody reads it.
Result<Claim> claim(std::span<const schedule::Parser> parsers, std::string_view target);

// Whether each of them reads requests to engines of that InferencePool appProtocol; "" fits all.
bool speak(std::span<const schedule::Parser> parsers, std::string_view app_protocol);

// 400's text for a body that lacks what the API demands (7.2).
std::string_view demand(openai::Api api);

// The message in a body of one gRPC frame. kInvalid: short, long, compressed.
Result<std::string_view> unframed(std::string_view body);
// The JSON of an HttpBody in a Vertex request.
Result<std::string_view> vertex_json(std::string_view message);

// What is read of a GenerateRequest or EmbedRequest.
struct GrpcPrompt {
  std::string_view text;
  std::vector<std::uint32_t> ids;
  bool stream = false;
};
Result<GrpcPrompt> vllm_grpc_prompt(std::string_view message);

}  // namespace baton::epp
