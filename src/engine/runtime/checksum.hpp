#pragma once
// XXH3-64 over scattered memory, with the widest vectors this CPU has: a pull hashes every byte
// twice, beside two copies by the kernel.

#include <sys/uio.h>

#include <cstdint>
#include <span>

namespace baton::runtime {

// Of the concatenation.
std::uint64_t checksum(std::span<const iovec> parts);

namespace detail {
// One per instruction set; plain arguments, so that no inline function is compiled for another set.
std::uint64_t checksum_portable(const iovec* parts, std::size_t count);
std::uint64_t checksum_avx2(const iovec* parts, std::size_t count);
std::uint64_t checksum_avx512(const iovec* parts, std::size_t count);
}  // namespace detail

}  // namespace baton::runtime
