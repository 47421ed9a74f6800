#pragma once
// What the machine can do at most: no figure of an engine may be above it.

#include <cstddef>

#include "engine/tensor/isa.hpp"

namespace baton::bench {

struct Roofline {
  double flops = 0;  // a second, of the instruction that products are made with
  double bytes = 0;  // a second, read from memory
};

enum class Products : bool { kFloat, k8Bit };

// The sum over threads that run together of what each does in a second of its own CPU time: other
// work on the machine takes little from it, and the best of some rounds counts. Takes a second.
Roofline measure_roofline(tensor::Isa isa, Products products, std::size_t threads);

}  // namespace baton::bench
