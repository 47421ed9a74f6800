// Qwen 2 and 2.5: biases on Q, K and V; the upper layers may have a window.

#include "engine/model/config_fields.hpp"
#include "engine/model/families/families.hpp"

namespace baton::model {

namespace {

// `layer_types` where the file has them, else every layer from max_window_layers on.
Result<std::vector<bool>> windowed_layers(const text::json::Value& config, std::size_t layers) {
  std::vector<bool> windowed(layers, false);
  const text::json::Value* types = given(config, "layer_types");
  if (types == nullptr) {
    constexpr std::size_t kDefaultFull = 28;
    const text::json::Value* full = given(config, "max_window_layers");
    const auto first = full == nullptr ? kDefaultFull : full->if_uint();
    if (!first) return not_supported("max_window_layers", *full, "it is a number of layers");
    for (std::size_t i = *first; i < layers; ++i) windowed[i] = true;
    return windowed;
  }
  const text::json::Array* array = types->if_array();
  if (array == nullptr || array->size() != layers) {
    return not_supported("layer_types", *types, "it is a list with one entry a layer");
  }
  for (std::size_t i = 0; i < layers; ++i) {
    windowed[i] = (*array)[i] == "sliding_attention";
    if (!windowed[i] && (*array)[i] != "full_attention") {
      return not_supported("layer_types", (*array)[i], "full_attention and sliding_attention are");
    }
  }
  return windowed;
}

}  // namespace

Status read_qwen2(const text::json::Value& config, Config& out) {
  out.qkv_bias = true;
  BATON_TRY_ASSIGN(const bool slides, bool_field(config, "use_sliding_window"));
  if (!slides) return {};
  constexpr std::size_t kDefaultWindow = 4096;
  const text::json::Value* window = config.find("sliding_window");
  if (window != nullptr && window->is_null()) return {};
  BATON_TRY_ASSIGN(const std::size_t size,
                   size_field(config, "sliding_window", kDefaultWindow, kMaxDimension));
  BATON_TRY_ASSIGN(const auto windowed, windowed_layers(config, out.layers));
  out.windows.assign(out.layers, 0);
  for (std::size_t i = 0; i < out.layers; ++i) {
    if (windowed[i]) out.windows[i] = size;
  }
  return {};
}

}  // namespace baton::model
