#pragma once
// LoRA adapters of a service: where they come from, where they lie, what vLLM is told. Controller
// reference 4.10.

#include <string>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::plan {

struct Adapter {
  std::string name, uri, scheme;
  std::string path;  // "/mnt/lora/<name, with everything unusual in it as '-'>"
};

// Sorted by name. kInvalid: an adapter that cannot be had, with its pointer.
Result<std::vector<Adapter>> lora_adapters(const text::json::Value& spec);

// Puts the flags before the arguments of the container, unless it already has --lora-modules.
// `lora`: spec.model.lora.
void add_lora_flags(const std::vector<Adapter>& adapters, const text::json::Value& lora,
                    std::string_view ns, text::json::Value& container);

}  // namespace baton::plan
