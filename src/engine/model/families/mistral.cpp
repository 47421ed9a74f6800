// Mistral: no biases; every layer may look back over a window only.

#include "engine/model/config_fields.hpp"
#include "engine/model/families/families.hpp"

namespace baton::model {

Status read_mistral(const text::json::Value& config, Config& out) {
  // Of the first Mistral, whose files name no window: null, not absence, means none.
  constexpr std::size_t kDefaultWindow = 4096;
  const text::json::Value* window = config.find("sliding_window");
  if (window != nullptr && window->is_null()) return {};
  BATON_TRY_ASSIGN(const std::size_t size,
                   size_field(config, "sliding_window", kDefaultWindow, kMaxDimension));
  if (size < out.max_positions) out.windows.assign(out.layers, size);
  return {};
}

}  // namespace baton::model
