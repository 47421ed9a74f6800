#pragma once
// The models that an engine says it serves: the answer to GET /v1/models.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace baton::watch {

inline constexpr std::size_t kMostModels = 1024;     // of one engine; the rest is left out
inline constexpr std::size_t kMostModelName = 1024;  // bytes; a longer one is left out

// {"data": [{"id": name, ...}, ...]}. nullopt: it is something else.
std::optional<std::vector<std::string>> read_model_list(std::string_view json);

}  // namespace baton::watch
