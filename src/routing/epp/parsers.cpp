#include "routing/epp/parsers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "formats/openai/decoded_path.hpp"
#include "net/grpc/inbox.hpp"
#include "net/grpc/proto.hpp"

namespace baton::epp {
namespace {

using openai::Api;
using proto::Field;
using proto::Reader;
using proto::Wire;
using schedule::Parser;

struct Path {
  std::string_view suffix;
  Parser parser;
  Claim claim;
};
constexpr std::array kPaths = {
    Path{"chat/completions", Parser::kOpenai, {.api = Api::kChat}},
    Path{"completions", Parser::kOpenai, {.api = Api::kCompletion}},
    Path{"embeddings", Parser::kOpenai, {.api = Api::kEmbeddings}},
    Path{"responses", Parser::kOpenai, {.api = Api::kResponses}},
    Path{"conversations", Parser::kOpenai, {.api = Api::kConversations}},
    Path{"chat/completions/render", Parser::kOpenai, {.api = Api::kChat}},
    Path{"completions/render", Parser::kOpenai, {.api = Api::kCompletion}},
    Path{"images/generations", Parser::kOpenai, {.api = Api::kImages}},
    Path{"messages", Parser::kAnthropic, {.api = Api::kMessages}},
    Path{"messages/count_tokens", Parser::kAnthropic, {.api = {}, .skips_response = true}},
    Path{"inference/v1/generate", Parser::kVllmHttp, {.api = Api::kGenerate}},
    Path{"vllm.grpc.engine.VllmEngine/Generate",
         Parser::kVllmGrpc,
         {.api = Api::kGenerate, .wrapping = Wrapping::kVllmGrpc}},
    Path{"vllm.grpc.engine.VllmEngine/Embed",
         Parser::kVllmGrpc,
         {.api = Api::kGenerate, .wrapping = Wrapping::kVllmGrpc}},
    Path{"PredictionService/ChatCompletions",
         Parser::kVertexAi,
         {.api = Api::kChat, .wrapping = Wrapping::kVertex}},
    Path{"PredictionService/StreamRawPredict",
         Parser::kVertexAi,
         {.api = Api::kChat, .wrapping = Wrapping::kVertex}},
    Path{"PredictionService/RawPredict",
         Parser::kVertexAi,
         {.api = Api::kChat, .wrapping = Wrapping::kVertex}},
};
constexpr std::string_view kSglangPath = "/generate";

// gRPC needs HTTP/2; everything else goes over both.
constexpr std::string_view kHttp2 = "kubernetes.io/h2c";
constexpr std::string_view kHttp = "http";

std::string_view bare(std::string_view path) {
  if (path.ends_with('/')) path.remove_suffix(1);
  return path.empty() ? "/v1/completions" : path;
}

}  // namespace

bool speak(std::span<const Parser> parsers, std::string_view app_protocol) {
  if (app_protocol.empty() || app_protocol == kHttp2) return true;
  return app_protocol == kHttp && std::ranges::none_of(parsers, [](Parser parser) {
           return parser == Parser::kVllmGrpc || parser == Parser::kVertexAi;
         });
}

Result<Claim> claim(std::span<const Parser> parsers, std::string_view target) {
  std::string decoded;
  const auto path = bare(openai::decoded_path(target, decoded));
  const auto has = [&](Parser parser) {
    return std::ranges::find(parsers, parser) != parsers.end();
  };
  if (path == kSglangPath && has(Parser::kSglangHttp)) return Claim{.api = Api::kSglang};
  const Path* best = nullptr;
  for (const auto& each : kPaths) {
    if (!path.ends_with(each.suffix) || !has(each.parser)) continue;
    if (best == nullptr || each.suffix.size() > best->suffix.size()) best = &each;
  }
  if (best != nullptr) return best->claim;
  if (has(Parser::kPassthrough)) return Claim{};
  return invalid(fmt::format("no parser registered matching path suffix for: {}",
                             bare(target.substr(0, target.find('?')))));
}

std::string_view demand(Api api) {
  switch (api) {
    case Api::kChat:
      return "invalid chat completions request: must have valid messages field";
    case Api::kCompletion:
      return "invalid completions request: must have prompt field";
    case Api::kEmbeddings:
      return "invalid embeddings request: must have input field";
    case Api::kResponses:
      return "invalid responses request: must have input field";
    case Api::kConversations:
      return "invalid conversations request: must have items field";
    case Api::kImages:
      return "invalid images generations request: must have prompt field";
    case Api::kMessages:
      return "invalid messages request: must have valid messages field";
    case Api::kGenerate:
      return "invalid generate request: must have token_ids field";
    case Api::kSglang:
      return "invalid generate request: must have input_ids, one flat list of token ids";
  }
  return "";
}

// PROTOCOL-HTTP2.md of gRPC: compressed flag, length in big endian, message.
Result<std::string_view> unframed(std::string_view body) {
  if (body.size() < grpc::kPrefixBytes) return invalid("a gRPC frame has 5 bytes at least");
  if (body[0] != '\0') return invalid("a compressed gRPC frame: only identity is read");
  std::size_t size = 0;
  for (std::size_t i = 1; i < grpc::kPrefixBytes; ++i) {
    size = size << 8 | static_cast<unsigned char>(body[i]);
  }
  body.remove_prefix(grpc::kPrefixBytes);
  if (size != body.size()) {
    return invalid(fmt::format("a gRPC frame of {} bytes holds {}", size, body.size()));
  }
  return body;
}

// google/cloud/aiplatform/v1/prediction_service.proto: http_body 2; google/api/httpbody.proto:
// data 2.
Result<std::string_view> vertex_json(std::string_view message) {
  std::optional<std::string_view> json;
  Reader reader(message);
  for (Field field; reader.next(field);) {
    if (field.number != 2 || field.wire != Wire::kBytes) continue;
    Reader inner(field.bytes);
    for (Field part; inner.next(part);) {
      if (part.number == 2 && part.wire == Wire::kBytes) json = part.bytes;
    }
    BATON_TRY(inner.status());
  }
  BATON_TRY(reader.status());
  if (!json) return invalid("the request has no http_body");
  return *json;
}

// vllm_engine.proto: tokenized 2 (input_ids 2), text 3, stream 5.
Result<GrpcPrompt> vllm_grpc_prompt(std::string_view message) {
  GrpcPrompt out;
  const auto read_ids = [&](std::string_view tokenized) -> Status {
    Reader reader(tokenized);
    for (Field field; reader.next(field);) {
      if (field.number != 2) continue;
      if (field.wire == Wire::kVarint)
        out.ids.push_back(static_cast<std::uint32_t>(field.number_value));
      if (field.wire != Wire::kBytes) continue;
      // Packed: varints side by side. A message's fields need tags, so that they are read here.
      std::uint64_t value = 0;
      unsigned shift = 0;
      for (const char c : field.bytes) {
        const auto byte = static_cast<unsigned char>(c);
        if (shift > 63) return invalid("a token id is too long");
        value |= std::uint64_t{byte & 0x7FU} << shift;
        shift += 7;
        if ((byte & 0x80U) != 0) continue;
        out.ids.push_back(static_cast<std::uint32_t>(value));
        value = 0;
        shift = 0;
      }
      if (shift != 0) return invalid("the token ids are cut off");
    }
    return reader.status();
  };
  Reader reader(message);
  for (Field field; reader.next(field);) {
    if (field.number == 2 && field.wire == Wire::kBytes) {
      BATON_TRY(read_ids(field.bytes));
    }
    if (field.number == 3 && field.wire == Wire::kBytes) out.text = field.bytes;
    if (field.number == 5 && field.wire == Wire::kVarint) out.stream = field.flag();
  }
  BATON_TRY(reader.status());
  if (out.ids.empty() && out.text.empty()) return invalid("the request has no prompt");
  return out;
}

}  // namespace baton::epp
