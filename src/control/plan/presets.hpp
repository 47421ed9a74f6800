#pragma once
// The well-known configurations that are compiled in, and the texts they refer to.

#include <optional>
#include <string_view>
#include <vector>

#include "base/text/json.hpp"

namespace baton::plan {

// The spec of "config-llm-template" and so on; null when there is none of that name.
const text::json::Value* preset_spec(std::string_view name);
std::vector<std::string_view> preset_names();

// The bash program of the presets' engine containers. A command that starts with
// ["/bin/bash", "-c", engine_script()] is known to be harmless.
std::string_view engine_script();

// The text of a file in picker/.
std::string_view picker_text(std::string_view file);

}  // namespace baton::plan
