#include "formats/openai/sampling.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace baton::openai {
namespace {

using text::json::Value;

bool empty(const Value& v) {
  if (const auto* s = v.if_string()) return s->empty();
  if (const auto* a = v.if_array()) return a->empty();
  if (const auto* o = v.if_object()) return o->empty();
  return false;
}

void refuse_unsupported(Fields& fields, std::string_view name) {
  fields.refuse(
      name, fmt::format("'{}' is not supported by this engine: leave it out. (parameter={})", name,
                        name));
}

// Numbers whose only value we can serve is their neutral one.
void refuse_unless(Fields& fields, std::string_view name, double neutral) {
  const auto n = fields.number(name);
  if (n && *n != neutral) refuse_unsupported(fields, name);
}

// Members that change the answer: refused unless they say nothing.
void refuse_what_we_lack(Fields& fields) {
  refuse_unless(fields, "presence_penalty", 0);
  refuse_unless(fields, "frequency_penalty", 0);
  refuse_unless(fields, "repetition_penalty", 1);
  refuse_unless(fields, "length_penalty", 1);
  static constexpr std::array<std::string_view, 19> kUnlessEmpty = {
      "logit_bias",           "structured_outputs",  "guided_json",
      "guided_regex",         "guided_choice",       "guided_grammar",
      "structural_tag",       "prompt_logprobs",     "suffix",
      "allowed_token_ids",    "bad_words",           "truncate_prompt_tokens",
      "logits_processors",    "cache_salt",          "prompt_embeds",
      "vllm_xargs",           "mm_processor_kwargs", "audio",
      "thinking_token_budget"};
  for (const std::string_view name : kUnlessEmpty) {
    const Value* v = fields.find(name);
    if (v != nullptr && !empty(*v)) refuse_unsupported(fields, name);
  }
  for (const std::string_view name : {"use_beam_search", "echo", "return_token_ids"}) {
    if (fields.flag(name, false)) refuse_unsupported(fields, name);
  }
  if (const Value* format = fields.find("response_format");
      format != nullptr && format->string_at({"type"}) != "text") {
    refuse_unsupported(fields, "response_format");
  }
  const auto n = fields.integer("n");
  if (n && *n < 1) fields.out_of_range("n", "n must be at least 1", fmt::format("{}", *n));
  if (n && *n > 1)
    fields.refuse(
        "n",
        fmt::format("n={} is not supported by this engine: one answer per request. (parameter=n)",
                    *n));
  if (const auto best = fields.integer("best_of"); best && *best != 1)
    refuse_unsupported(fields, "best_of");
}

std::vector<std::string> read_stop(Fields& fields) {
  std::vector<std::string> out;
  const Value* stop = fields.find("stop");
  if (stop == nullptr) return out;
  if (const std::string* one = stop->if_string()) {
    out.push_back(*one);
  } else if (const auto* list = stop->if_array()) {
    for (const Value& item : *list) {
      if (const std::string* s = item.if_string()) {
        out.push_back(*s);
      } else {
        fields.malformed(fmt::format("stop.{}", out.size()), "string_type",
                         "Input should be a valid string", item);
        return {};
      }
    }
  } else {
    fields.malformed("stop", "string_type", "Input should be a valid string", *stop);
  }
  if (out.size() > kMaxStops)
    fields.refuse("stop",
                  fmt::format("stop has more than {} strings. (parameter=stop)", kMaxStops));
  for (const std::string& s : out) {
    if (s.empty()) fields.refuse("stop", "stop cannot contain an empty string.");
    if (s.size() > kMaxStopBytes)
      fields.refuse("stop",
                    fmt::format("a stop string is over {} bytes. (parameter=stop)", kMaxStopBytes));
  }
  return out;
}

}  // namespace

Sampling read_sampling(Fields& fields) {
  Sampling s;
  refuse_what_we_lack(fields);
  s.temperature = fields.number("temperature");
  if (s.temperature && *s.temperature < 0) {
    fields.out_of_range("temperature", "temperature must be non-negative", shown(*s.temperature));
  }
  if (s.temperature && *s.temperature > 0 && *s.temperature < 0.01) s.temperature = 0.01;
  s.top_p = fields.number("top_p");
  if (s.top_p && !(*s.top_p > 0 && *s.top_p <= 1))
    fields.out_of_range("top_p", "top_p must be in (0, 1]", shown(*s.top_p));
  s.top_k = fields.integer("top_k");
  if (s.top_k && *s.top_k < -1) {
    fields.out_of_range("top_k", "top_k must be 0 (disable), or at least 1",
                        fmt::format("{}", *s.top_k));
  }
  if (s.top_k && *s.top_k < 0) s.top_k = 0;
  s.min_p = fields.number("min_p");
  if (s.min_p && !(*s.min_p >= 0 && *s.min_p <= 1))
    fields.out_of_range("min_p", "min_p must be in [0, 1]", shown(*s.min_p));
  s.seed = fields.integer("seed");
  if (const auto n = fields.integer("min_tokens")) {
    if (*n < 0)
      fields.out_of_range("min_tokens", "min_tokens must be greater than or equal to 0",
                          fmt::format("{}", *n));
    s.min_tokens = static_cast<std::uint64_t>(std::max<std::int64_t>(*n, 0));
  }
  s.stop = read_stop(fields);
  s.stop_token_ids = fields.ids("stop_token_ids");
  if (s.stop_token_ids.size() > kMaxStops) {
    fields.refuse(
        "stop_token_ids",
        fmt::format("stop_token_ids has more than {} ids. (parameter=stop_token_ids)", kMaxStops));
  }
  s.ignore_eos = fields.flag("ignore_eos", false);
  s.include_stop = fields.flag("include_stop_str_in_output", false);
  s.skip_special_tokens = fields.flag("skip_special_tokens", true);
  s.tokens_as_ids = fields.flag("return_tokens_as_token_ids", false);
  if (!fields.flag("detokenize", true)) refuse_unsupported(fields, "detokenize");
  return s;
}

void check_lengths(Fields& fields, const Sampling& s) {
  if (s.max_tokens && s.min_tokens > *s.max_tokens) {
    fields.refuse("", fmt::format("min_tokens must be less than or equal to max_tokens={}, got {}.",
                                  *s.max_tokens, s.min_tokens));
  }
  if (s.logprobs && *s.logprobs > kMaxLogprobs) {
    fields.refuse("logprobs", fmt::format("Requested sample logprobs of {}, which is greater than "
                                          "max allowed: {}. (parameter=logprobs, value={})",
                                          *s.logprobs, kMaxLogprobs, *s.logprobs));
  }
}

Delivery read_delivery(Fields& fields) {
  Delivery d;
  d.model = fields.string("model");
  d.request_id = fields.string("request_id").value_or("");
  if (d.request_id.size() > 256)
    fields.refuse("request_id", "request_id is over 256 bytes. (parameter=request_id)");
  d.stream = fields.flag("stream", false);
  if (const auto* options = fields.object("stream_options")) {
    if (!d.stream) {
      fields.refuse(
          "stream_options",
          "Stream options can only be defined when `stream=True`. (parameter=stream_options)");
    }
    Fields inner(*options);
    d.include_usage = inner.flag("include_usage", false);
    d.continuous_usage = inner.flag("continuous_usage_stats", false);
    if (inner.failed()) fields.refuse("stream_options", inner.error().message);
  }
  if (fields.object("kv_transfer_params") != nullptr)
    d.kv_transfer_params = *fields.find("kv_transfer_params");
  return d;
}

}  // namespace baton::openai
