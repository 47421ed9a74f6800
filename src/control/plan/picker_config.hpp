#pragma once
// Which configuration the endpoint picker starts with.

#include <optional>
#include <string>
#include <string_view>

#include "base/core/result.hpp"
#include "control/plan/build.hpp"
#include "control/plan/version.hpp"

namespace baton::plan {

// On a picker's Deployment: where its configuration comes from. Only a live configuration without
// this annotation, or one that was kept before, is somebody's own and is kept; what was generated
// or said in the service is planned anew each time.
inline constexpr std::string_view kConfigOrigin = "baton.dev/picker-config";
inline constexpr std::string_view kGenerated = "generated";
inline constexpr std::string_view kFromService = "service";
inline constexpr std::string_view kKept = "kept";

// The text that scheduler.config or the picker's template name, "" when they name none or a file.
// `picker_text` is what scheduler.config.ref leads to.
std::string given_picker_config(const Value& spec, const std::optional<std::string>& picker_text);

// The text for a service that gives none: for this shape, and with an affinity for LoRA adapters
// where the generation knows one.
std::string default_picker_config(const Build& build);

// Adds leader election and the configuration to the picker's main container. Returns its origin.
std::string_view add_picker_arguments(Build& build, Version version, std::string_view tokenizer_url,
                                      Value& main);

// Whether a plugin of the configuration gets its tokens from a tokenizer pod.
bool asks_for_tokens(std::string_view picker_config);
// Whether scheduler.tokenizer or a plugin of the configuration asks for a tokenizer pod.
bool wants_tokenizer(const Value& spec, std::string_view picker_config);
// Whether a plugin of the configuration asks for the latency predictor.
bool wants_latency_predictor(std::string_view picker_config);

}  // namespace baton::plan
