#pragma once
// What each family of models does differently from Llama: one small file a family.

#include <span>
#include <string_view>

#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "engine/model/config.hpp"

namespace baton::model {

// Readers see a Config whose sizes are there, and set the differences from what config.json says.
// Source of every default: the configuration class of that family in `transformers`.
struct Family {
  std::string_view architecture;  // in config.json's `architectures`
  std::string_view model_type;    // its `model_type`, for files without the former
  Status (*read)(const text::json::Value& config, Config& out);
};

Status read_llama(const text::json::Value& config, Config& out);
Status read_mistral(const text::json::Value& config, Config& out);
Status read_qwen2(const text::json::Value& config, Config& out);
Status read_qwen3(const text::json::Value& config, Config& out);
Status read_granite(const text::json::Value& config, Config& out);

inline constexpr Family kFamilies[] = {
    {"LlamaForCausalLM", "llama", read_llama},
    {"MistralForCausalLM", "mistral", read_mistral},
    {"Qwen2ForCausalLM", "qwen2", read_qwen2},
    {"Qwen3ForCausalLM", "qwen3", read_qwen3},
    {"GraniteForCausalLM", "granite", read_granite},
};

}  // namespace baton::model
