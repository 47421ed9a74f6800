#pragma once
// Weights that are no numbers: found where they are read, not in what is computed from them.

#include <cstddef>
#include <optional>
#include <span>

#include "engine/tensor/dtype.hpp"

namespace baton::model {

// The index of the first infinity or NaN. `data` is whole elements of that type, aligned or not.
std::optional<std::size_t> first_non_number(std::span<const std::byte> data, tensor::Dtype dtype);

}  // namespace baton::model
