#include "formats/openai/sampling.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

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
  refuse_unless(fields, "length_penalty", 1);
  static constexpr std::array<std::string_view, 14> kUnlessEmpty = {"structured_outputs",
                                                                    "guided_json",
                                                                    "guided_regex",
                                                                    "guided_choice",
                                                                    "guided_grammar",
                                                                    "structural_tag",
                                                                    "suffix",
                                                                    "features",
                                                                    "logits_processors",
                                                                    "prompt_embeds",
                                                                    "vllm_xargs",
                                                                    "mm_processor_kwargs",
                                                                    "audio",
                                                                    "thinking_token_budget"};
  for (const std::string_view name : kUnlessEmpty) refuse_said(fields, name);
  refuse_flag(fields, "use_beam_search", false);
  if (const Value* format = fields.find("response_format");
      format != nullptr && format->string_at({"type"}) != "text") {
    refuse_unsupported(fields, "response_format");
  }
  if (const auto best = fields.integer("best_of"); best && *best != 1)
    refuse_unsupported(fields, "best_of");
}

double read_penalty(Fields& fields, std::string_view name) {
  const double penalty = fields.number(name).value_or(0);
  if (!(penalty >= -2 && penalty <= 2))
    fields.out_of_range(name, fmt::format("{} must be in [-2, 2]", name), shown(penalty));
  return penalty;
}

// {"token id": bias}; biases are cut to +-100 as OpenAI's are.
std::vector<std::pair<std::uint32_t, float>> read_biases(Fields& fields) {
  std::vector<std::pair<std::uint32_t, float>> out;
  const auto* given = fields.object("logit_bias");
  if (given == nullptr) return out;
  if (given->size() > kMaxBiases)
    fields.refuse("logit_bias", fmt::format("logit_bias has more than {} entries. "
                                            "(parameter=logit_bias)",
                                            kMaxBiases));
  for (const auto& [key, value] : *given) {
    std::uint32_t id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    const auto bias = value.if_double();
    if (error != std::errc() || end != key.data() + key.size() || !bias) {
      fields.refuse("logit_bias",
                    fmt::format("Invalid key or value of '{}' in logit_bias: a token id and a "
                                "number are expected. (parameter=logit_bias)",
                                key.substr(0, 100)));
      return {};
    }
    out.emplace_back(id, static_cast<float>(std::clamp(*bias, -100.0, 100.0)));
  }
  return out;
}

std::vector<std::string> read_bad_words(Fields& fields) {
  std::vector<std::string> out;
  const Value* given = fields.find("bad_words");
  if (given == nullptr) return out;
  const auto* list = given->if_array();
  if (list == nullptr) {
    fields.malformed("bad_words", "list_type", "Input should be a valid list", *given);
    return out;
  }
  for (const Value& item : *list) {
    const std::string* word = item.if_string();
    if (word == nullptr) {
      fields.malformed(fmt::format("bad_words.{}", out.size()), "string_type",
                       "Input should be a valid string", item);
      return {};
    }
    if (word->find_first_not_of(' ') == std::string::npos)
      fields.refuse("bad_words", "bad_words cannot contain an empty string. (parameter=bad_words)");
    if (word->size() > kMaxStopBytes || out.size() == kMaxBadWords) {
      fields.refuse("bad_words", fmt::format("bad_words has more than {} words, or one over {} "
                                             "bytes. (parameter=bad_words)",
                                             kMaxBadWords, kMaxStopBytes));
      return {};
    }
    out.push_back(*word);
  }
  return out;
}

void read_shape(Fields& fields, Sampling& s) {
  s.presence_penalty = read_penalty(fields, "presence_penalty");
  s.frequency_penalty = read_penalty(fields, "frequency_penalty");
  s.repetition_penalty = fields.number("repetition_penalty");
  if (s.repetition_penalty && !(*s.repetition_penalty > 0))
    fields.out_of_range("repetition_penalty", "repetition_penalty must be greater than zero",
                        shown(*s.repetition_penalty));
  s.logit_bias = read_biases(fields);
  s.allowed_token_ids = fields.ids("allowed_token_ids");
  if (fields.find("allowed_token_ids") != nullptr && s.allowed_token_ids.empty())
    fields.refuse("allowed_token_ids",
                  "allowed_token_ids is not None and empty! (parameter=allowed_token_ids)");
  s.bad_words = read_bad_words(fields);
}

// How many answers, and what of the prompt.
void read_prompt_extras(Fields& fields, Sampling& s) {
  s.n = fields.integer("n").value_or(1);
  if (s.n < 1) fields.out_of_range("n", "n must be at least 1", fmt::format("{}", s.n));
  if (s.n > kMaxChoices)
    fields.out_of_range("n", fmt::format("n must be at most {}", kMaxChoices),
                        fmt::format("{}", s.n));
  s.prompt_logprobs = fields.integer("prompt_logprobs");
  if (s.prompt_logprobs && *s.prompt_logprobs < kAllLogprobs) {
    fields.refuse("prompt_logprobs",
                  "`prompt_logprobs` must be a positive value or -1. (parameter=prompt_logprobs)");
  }
  s.truncate_prompt = fields.integer("truncate_prompt_tokens");
  if (s.truncate_prompt && *s.truncate_prompt != -1 && *s.truncate_prompt < 1)
    fields.out_of_range("truncate_prompt_tokens", "truncate_prompt_tokens must be -1 or at least 1",
                        fmt::format("{}", *s.truncate_prompt));
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

void read_cache_salt(Fields& fields, Delivery& d) {
  if (fields.find("cache_salt") == nullptr) return;
  d.cache_salt = fields.string("cache_salt").value_or("");
  if (d.cache_salt.empty() || d.cache_salt.size() > kMaxCacheSalt)
    fields.refuse("cache_salt", fmt::format("Parameter 'cache_salt' must be a non-empty string of "
                                            "at most {} bytes if provided. (parameter=cache_salt)",
                                            kMaxCacheSalt));
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
  read_shape(fields, s);
  read_prompt_extras(fields, s);
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
  s.return_ids = fields.flag("return_token_ids", false);
  return s;
}

void refuse_flag(Fields& fields, std::string_view name, bool only) {
  if (fields.flag(name, only) != only) refuse_unsupported(fields, name);
}

void refuse_said(Fields& fields, std::string_view name) {
  const Value* v = fields.find(name);
  if (v != nullptr && !empty(*v)) refuse_unsupported(fields, name);
}

void check_lengths(Fields& fields, const Sampling& s) {
  if (s.max_tokens && s.min_tokens > *s.max_tokens) {
    fields.refuse("", fmt::format("min_tokens must be less than or equal to max_tokens={}, got {}.",
                                  *s.max_tokens, s.min_tokens));
  }
}

void refuse_choices(Fields& fields, const Sampling& s) {
  if (s.n != 1) refuse_unsupported(fields, "n");
  if (s.prompt_logprobs) refuse_unsupported(fields, "prompt_logprobs");
}

void check_stream(Fields& fields, const Sampling& s, const Delivery& d) {
  if (d.stream && s.prompt_logprobs)
    fields.refuse("prompt_logprobs",
                  "`prompt_logprobs` are not available when `stream=True`. "
                  "(parameter=prompt_logprobs)");
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
  d.priority = fields.integer("priority").value_or(0);
  read_cache_salt(fields, d);
  if (fields.object("kv_transfer_params") != nullptr)
    d.kv_transfer_params = *fields.find("kv_transfer_params");
  return d;
}

}  // namespace baton::openai
