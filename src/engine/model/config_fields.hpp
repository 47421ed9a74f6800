#pragma once
// Members of config.json, with errors that name them. Internal to engine/model.

#include <cstddef>
#include <optional>
#include <string_view>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::model {

// The member, or null when it is absent or null: Hugging Face writes null for "not set".
const text::json::Value* given(const text::json::Value& config, std::string_view field);

// An integer from 1 to `most`. Without `otherwise` the field must be there.
Result<std::size_t> size_field(const text::json::Value& config, std::string_view field,
                               std::optional<std::size_t> otherwise, std::size_t most);

// A finite number above zero.
Result<double> positive_field(const text::json::Value& config, std::string_view field,
                              std::optional<double> otherwise = std::nullopt);

Result<bool> bool_field(const text::json::Value& config, std::string_view field,
                        bool otherwise = false);

// "FIELD VALUE is not supported: WHAT".
Error not_supported(std::string_view field, const text::json::Value& value, std::string_view what);

}  // namespace baton::model
