#pragma once
// The instruction sets that kernels exist for, and what this CPU runs.

#include <cstdint>
#include <string_view>

namespace baton::tensor {

enum class Isa : std::uint8_t { kScalar, kAvx2, kAvx512Bf16 };

// The best one this CPU runs.
Isa best_isa();
bool supported(Isa isa);
// "scalar", "avx2", "avx512-bf16".
std::string_view name(Isa isa);

}  // namespace baton::tensor
