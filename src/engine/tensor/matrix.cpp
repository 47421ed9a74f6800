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
  bf16_ = (weights == Dtype::kBf16 || weights == Dtype::kI8) && kernels_->bf16_activations;
  rows_ = rows;
  width_ = width;
  data_.resize(std::max(data_.size(), rows * width * element()));
}

void Activations::put(std::size_t row, std::size_t column, const float* values, std::size_t n) {
  std::byte* to = data_.data() + (row * width_ + column) * element();
  if (bf16_) {
    kernels_->to_bf16(values, n, reinterpret_cast<std::uint16_t*>(to));
  } else {
    std::memcpy(to, values, n * sizeof(float));
  }
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
  return kernels_->panel_width * (inputs_ * bytes_per_element(dtype_) + scale);
}
std::size_t Matrix::bytes() const { return panels() * panel_bytes(); }
std::size_t Matrix::width_of(std::size_t panel) const {
  return std::min(kernels_->panel_width, outputs_ - panel * kernels_->panel_width);
}

std::size_t Matrix::unit() const { return dtype_ == Dtype::kBf16 || dtype_ == Dtype::kI8 ? 2 : 1; }

float* Matrix::scales(std::size_t panel) const {
  if (dtype_ != Dtype::kI8) return nullptr;
  return reinterpret_cast<float*>(data_ + panel * panel_bytes() + kernels_->panel_width * inputs_);
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
  const std::size_t size = bytes_per_element(from);
  float largest = 0;
  bool finite = true;
  for (std::size_t k = 0; k < inputs_; ++k) {
    const float magnitude = std::abs(element_at(from, row + k * size));
    largest = std::max(largest, magnitude);
    finite = finite && std::isfinite(magnitude);
  }
  // What is not a number stays none.
  const float scale = finite ? largest / 127 : std::numeric_limits<float>::quiet_NaN();
  scales(output / kernels_->panel_width)[output % kernels_->panel_width] = scale;
  if (!(scale > 0)) return;  // the arena is zero
  for (std::size_t k = 0; k < inputs_; ++k) {
    const float number = std::nearbyint(element_at(from, row + k * size) / scale);
    *at(output, k) = static_cast<std::byte>(static_cast<std::int8_t>(number));
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
  thread_local std::vector<std::uint16_t> wide;  // one panel of kI8 as bf16
  if (dtype_ == Dtype::kI8) wide.resize(std::max(wide.size(), kernels_->panel_width * inputs_));
  const Gemm gemm{.a = a.row(first),
                  .a_stride = a.width(),
                  .panel = data_ + panel * panel_bytes(),
                  .scales = scales(panel),
                  .scratch = wide.data(),
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
  for (std::size_t k = 0; k < inputs_; ++k) out[k] = element_at(dtype_, at(output, k));
  if (dtype_ != Dtype::kI8) return;
  const float scale = scales(output / kernels_->panel_width)[output % kernels_->panel_width];
  for (std::size_t k = 0; k < inputs_; ++k) out[k] *= scale;
}

}  // namespace baton::tensor
