#include "formats/openai/generate_request.hpp"

#include <fmt/format.h>

namespace baton::openai {
namespace {

constexpr std::uint64_t kMaxTokens = 16;  // of vLLM's SamplingParams

Sampling read_params(Fields& fields) {
  Sampling out = read_sampling(fields);
  const auto n = fields.integer("max_tokens");
  if (n && *n < 1)
    fields.out_of_range("max_tokens", "max_tokens must be at least 1", fmt::format("{}", *n));
  out.max_tokens = n ? static_cast<std::uint64_t>(*n) : kMaxTokens;
  out.logprobs = fields.integer("logprobs");
  if (out.logprobs && *out.logprobs < 0)
    fields.refuse("logprobs", "`logprobs` must be a positive value. (parameter=logprobs)");
  check_lengths(fields, out);
  return out;
}

}  // namespace

Decoded<GenerateRequest> decode_generate(std::string_view body) {
  auto value = decode_object(body);
  if (!value) return std::unexpected(std::move(value).error());
  Fields fields(*value->if_object());
  GenerateRequest out;
  out.delivery = read_delivery(fields);
  if (fields.find("token_ids") == nullptr) fields.missing("token_ids");
  out.token_ids = fields.ids("token_ids");
  if (!fields.failed() && out.token_ids.empty())
    fields.refuse("token_ids", "token_ids is an empty list. (parameter=token_ids)");
  refuse_said(fields, "features");

  const text::json::Object none;
  const auto* params = fields.object("sampling_params");
  Fields inner(params == nullptr ? none : *params);
  out.sampling = read_params(inner);
  if (const auto* extra = inner.object("extra_args");
      extra != nullptr && out.delivery.kv_transfer_params.is_null()) {
    Fields args(*extra);
    if (args.object("kv_transfer_params") != nullptr)
      out.delivery.kv_transfer_params = *args.find("kv_transfer_params");
  }
  check_stream(inner, out.sampling, out.delivery);
  if (fields.failed()) return std::unexpected(fields.error());
  if (inner.failed()) return std::unexpected(inner.error());
  return out;
}

}  // namespace baton::openai
