#include "engine/tensor/matrix.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/core/assert.hpp"

namespace baton::tensor {

namespace {

float element_at(Dtype dtype, const std::byte* at) {
  if (dtype == Dtype::kI8) return static_cast<float>(std::to_integer<std::int8_t>(*at));
  if (dtype == Dtype::kF32) {
    float value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  std::uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return dtype == Dtype::kBf16 ? from_bf16(bits) : from_f16(bits);
}

}  // namespace

void widen(Dtype dtype, const std::byte* data, std::size_t n, float* out) {
  const std::size_t size = bytes_per_element(dtype);
  for (std::size_t i = 0; i < n; ++i) out[i] = element_at(dtype, data + i * size);
}

void Activations::resize(Dtype weights, std::size_t rows, std::size_t width) {
  input_ = weights == Dtype::kBf16 ? kernels_->bf16_input
           : weights == Dtype::kI8 ? kernels_->i8_input
                                   : Input::kF32;
  rows_ = rows;
  width_ = width;
  data_.resize(std::max(data_.size(), rows * stride() * element()));
  if (needs_finish()) exact_.resize(std::max(exact_.size(), rows * width));
}

std::size_t Activations::element() const {
  switch (input_) {
    case Input::kF32:
      return sizeof(float);
    case Input::kBf16:
      return sizeof(std::uint16_t);
    case Input::kI8Blocks:
      return sizeof(I8Block);
  }
  BATON_ASSERT(false);
}

std::size_t Activations::stride() const {
  return input_ == Input::kI8Blocks ? (width_ + kBlock - 1) / kBlock : width_;
}

void Activations::put(std::size_t row, std::size_t column, const float* values, std::size_t n) {
  const std::size_t at = row * width_ + column;
  switch (input_) {
    case Input::kF32:
      std::copy_n(values, n, reinterpret_cast<float*>(data_.data()) + at);
      return;
    case Input::kBf16:
      kernels_->to_bf16(values, n, reinterpret_cast<std::uint16_t*>(data_.data()) + at);
      return;
    case Input::kI8Blocks:
      std::copy_n(values, n, exact_.data() + at);
      return;
  }
}

void Activations::finish(std::size_t row) {
  if (!needs_finish()) return;
  std::byte* to = data_.data() + row * stride() * element();
  kernels_->to_i8(exact_.data() + row * width_, width_, reinterpret_cast<I8Block*>(to));
}

Dtype common_type(std::span<const Source> parts) {
  const Dtype first = parts.front().dtype;
  const bool same = std::ranges::all_of(parts, [&](const Source& s) { return s.dtype == first; });
  return same ? first : Dtype::kF32;
}

Matrix::Matrix(const Kernels& kernels, Arena& arena, Dtype dtype, std::span<const Source> parts)
    : kernels_(&kernels), dtype_(dtype), inputs_(parts.front().columns) {
  BATON_ASSERT(inputs_ % 2 == 0);
  for (const Source& part : parts) {
    BATON_ASSERT(part.columns == inputs_);
    outputs_ += part.rows;
  }
  data_ = arena.take(bytes());
}

std::size_t Matrix::panels() const {
  return (outputs_ + kernels_->panel_width - 1) / kernels_->panel_width;
}
std::size_t Matrix::panel_bytes() const {
  const std::size_t scale = dtype_ == Dtype::kI8 ? sizeof(float) : 0;
  const std::size_t depth = (inputs_ + unit() - 1) / unit() * unit();
  return kernels_->panel_width * (depth * bytes_per_element(dtype_) + scale);
}
std::size_t Matrix::bytes() const { return panels() * panel_bytes(); }
std::size_t Matrix::width_of(std::size_t panel) const {
  return std::min(kernels_->panel_width, outputs_ - panel * kernels_->panel_width);
}

bool Matrix::biased() const {
  return dtype_ == Dtype::kI8 && kernels_->i8_input == Input::kI8Blocks;
}
std::size_t Matrix::unit() const {
  if (biased()) return 4;
  return dtype_ == Dtype::kBf16 || dtype_ == Dtype::kI8 ? 2 : 1;
}

float* Matrix::scales(std::size_t panel) const {
  if (dtype_ != Dtype::kI8) return nullptr;
  const std::size_t behind = (panel + 1) * panel_bytes() - kernels_->panel_width * sizeof(float);
  return reinterpret_cast<float*>(data_ + behind);
}

std::byte* Matrix::at(std::size_t output, std::size_t input) const {
  const std::size_t width = kernels_->panel_width;
  const std::size_t index = (input / unit() * width + output % width) * unit() + input % unit();
  return data_ + output / width * panel_bytes() + index * bytes_per_element(dtype_);
}

void Matrix::pack(std::size_t panel, std::span<const Source> parts) {
  const std::size_t begin = panel * kernels_->panel_width;
  const std::size_t end = begin + width_of(panel);
  std::size_t above = 0;  // outputs of earlier parts
  for (const Source& part : parts) {
    const std::size_t row_bytes = inputs_ * bytes_per_element(part.dtype);
    for (std::size_t n = std::max(begin, above); n < std::min(end, above + part.rows); ++n) {
      pack_row(n, part.dtype, part.data + (n - above) * row_bytes);
    }
    above += part.rows;
  }
}

void Matrix::quantize_row(std::size_t output, Dtype from, const std::byte* row) {
  thread_local std::vector<float> exact;
  exact.resize(inputs_);
  widen(from, row, inputs_, exact.data());
  float largest = 0;
  bool finite = true;
  for (const float x : exact) {
    largest = std::max(largest, std::abs(x));
    finite = finite && std::isfinite(x);
  }
  // What is not a number stays none.
  const float scale = finite ? largest / 127 : std::numeric_limits<float>::quiet_NaN();
  scales(output / kernels_->panel_width)[output % kernels_->panel_width] = scale;
  const float bias = biased() ? 128 : 0;
  const std::size_t few = unit();
  std::byte* to = at(output, 0);
  for (std::size_t k = 0; k < inputs_; k += few, to += few * kernels_->panel_width) {
    for (std::size_t i = 0; i < std::min(few, inputs_ - k); ++i) {
      const float number = scale > 0 ? std::nearbyint(exact[k + i] / scale) : 0.0F;
      to[i] = static_cast<std::byte>(static_cast<int>(number + bias));
    }
  }
}

void Matrix::pack_row(std::size_t output, Dtype from, const std::byte* row) {
  if (dtype_ == Dtype::kI8) return quantize_row(output, from, row);
  std::byte* to = at(output, 0);
  const std::size_t size = unit() * bytes_per_element(dtype_);
  const std::size_t stride = size * kernels_->panel_width;
  if (from != dtype_) {
    for (std::size_t k = 0; k < inputs_; ++k, row += bytes_per_element(from), to += stride) {
      const float value = element_at(from, row);
      std::memcpy(to, &value, sizeof value);
    }
  } else if (size == 4) {  // of constant size, the copy is one instruction
    for (std::size_t k = 0; k < inputs_; k += unit(), row += 4, to += stride) {
      std::memcpy(to, row, 4);
    }
  } else {
    for (std::size_t k = 0; k < inputs_; ++k, row += 2, to += stride) std::memcpy(to, row, 2);
  }
}

void Matrix::multiply(std::size_t panel, const Activations& a, std::size_t first, std::size_t count,
                      float* c, std::size_t c_stride, Store store) const {
  const Gemm gemm{.a = a.row(first),
                  .a_stride = a.stride(),
                  .panel = data_ + panel * panel_bytes(),
                  .scales = scales(panel),
                  .rows = count,
                  .depth = inputs_,
                  .columns = width_of(panel),
                  .c = c,
                  .c_stride = c_stride,
                  .store = store};
  switch (dtype_) {
    case Dtype::kF32:
      return kernels_->gemm_f32(gemm);
    case Dtype::kF16:
      return kernels_->gemm_f16(gemm);
    case Dtype::kBf16:
      return kernels_->gemm_bf16(gemm);
    case Dtype::kI8:
      return kernels_->gemm_i8(gemm);
  }
}

void Matrix::unpack_row(std::size_t output, float* out) const {
  if (dtype_ != Dtype::kI8) {
    for (std::size_t k = 0; k < inputs_; ++k) out[k] = element_at(dtype_, at(output, k));
    return;
  }
  const float scale = scales(output / kernels_->panel_width)[output % kernels_->panel_width];
  for (std::size_t k = 0; k < inputs_; ++k) {
    // Plus 128, a byte is the same less its sign: the highest bit the other way round.
    const std::byte number = *at(output, k) ^ (biased() ? std::byte{0x80} : std::byte{});
    out[k] = element_at(dtype_, &number) * scale;
  }
}

}  // namespace baton::tensor
