#include <array>

#include "base/core/assert.hpp"
#include "engine/tensor/kernels/kernels.hpp"

namespace baton::tensor {

bool supported(Isa isa) {
#if defined(__x86_64__)
  switch (isa) {
    case Isa::kScalar:
      return true;
    case Isa::kAvx2:
      return __builtin_cpu_supports("x86-64-v3") != 0;
    case Isa::kAvx512Bf16:
      return __builtin_cpu_supports("x86-64-v4") != 0 &&
             __builtin_cpu_supports("avx512bf16") != 0 && __builtin_cpu_supports("avx512vnni") != 0;
  }
  return false;
#else
  return isa == Isa::kScalar;
#endif
}

Isa best_isa() {
  for (const Isa isa : {Isa::kAvx512Bf16, Isa::kAvx2}) {
    if (supported(isa)) return isa;
  }
  return Isa::kScalar;
}

std::string_view name(Isa isa) {
  constexpr std::array<std::string_view, 3> kNames = {"scalar", "avx2", "avx512-bf16"};
  return kNames[static_cast<std::size_t>(isa)];
}

const Kernels& kernels(Isa isa) {
  BATON_ASSERT(supported(isa));
#if defined(__x86_64__)
  if (isa == Isa::kAvx512Bf16) return kAvx512Bf16Kernels;
  if (isa == Isa::kAvx2) return kAvx2Kernels;
#endif
  return kScalarKernels;
}

}  // namespace baton::tensor
