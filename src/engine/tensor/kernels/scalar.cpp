// The portable kernels: plain loops, and the reference that the others are held against.

#include <cmath>

#include "engine/tensor/dtype.hpp"
#include "engine/tensor/kernels/kernels.hpp"

namespace baton::tensor {
namespace {

constexpr std::size_t kWidth = 16;

void finish(const Gemm& g, std::size_t row, const float* sum) {
  float* c = g.c + row * g.c_stride;
  for (std::size_t j = 0; j < g.columns; ++j) {
    const float value = g.scales == nullptr ? sum[j] : sum[j] * g.scales[j];
    c[j] = g.store == Store::kAdd ? c[j] + value : value;
  }
}

void gemm_f32(const Gemm& g) {
  for (std::size_t row = 0; row < g.rows; ++row) {
    const float* a = static_cast<const float*>(g.a) + row * g.a_stride;
    const float* w = static_cast<const float*>(g.panel);
    float sum[kWidth] = {};
    for (std::size_t k = 0; k < g.depth; ++k, w += kWidth) {
      for (std::size_t j = 0; j < kWidth; ++j) sum[j] += a[k] * w[j];
    }
    finish(g, row, sum);
  }
}

void gemm_f16(const Gemm& g) {
  for (std::size_t row = 0; row < g.rows; ++row) {
    const float* a = static_cast<const float*>(g.a) + row * g.a_stride;
    const std::uint16_t* w = static_cast<const std::uint16_t*>(g.panel);
    float sum[kWidth] = {};
    for (std::size_t k = 0; k < g.depth; ++k, w += kWidth) {
      for (std::size_t j = 0; j < kWidth; ++j) sum[j] += a[k] * from_f16(w[j]);
    }
    finish(g, row, sum);
  }
}

void gemm_bf16(const Gemm& g) {
  for (std::size_t row = 0; row < g.rows; ++row) {
    const float* a = static_cast<const float*>(g.a) + row * g.a_stride;
    const std::uint16_t* w = static_cast<const std::uint16_t*>(g.panel);
    float sum[kWidth] = {};
    for (std::size_t k = 0; k < g.depth; k += 2, w += 2 * kWidth) {
      for (std::size_t j = 0; j < kWidth; ++j) sum[j] += a[k] * from_bf16(w[2 * j]);
      for (std::size_t j = 0; j < kWidth; ++j) sum[j] += a[k + 1] * from_bf16(w[2 * j + 1]);
    }
    finish(g, row, sum);
  }
}

void gemm_i8(const Gemm& g) {
  for (std::size_t row = 0; row < g.rows; ++row) {
    const float* a = static_cast<const float*>(g.a) + row * g.a_stride;
    const std::int8_t* w = static_cast<const std::int8_t*>(g.panel);
    float sum[kWidth] = {};
    for (std::size_t k = 0; k < g.depth; k += 2, w += 2 * kWidth) {
      for (std::size_t j = 0; j < kWidth; ++j) sum[j] += a[k] * static_cast<float>(w[2 * j]);
      for (std::size_t j = 0; j < kWidth; ++j)
        sum[j] += a[k + 1] * static_cast<float>(w[2 * j + 1]);
    }
    finish(g, row, sum);
  }
}

void round_to_bf16(const float* in, std::size_t n, std::uint16_t* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = to_bf16(in[i]);
}

void rms_norm(const float* x, const float* weight, std::size_t n, float eps, float* out) {
  float squares = 0;
  for (std::size_t i = 0; i < n; ++i) squares += x[i] * x[i];
  const float factor = 1.0F / std::sqrt(squares / static_cast<float>(n) + eps);
  for (std::size_t i = 0; i < n; ++i) out[i] = x[i] * factor * weight[i];
}

void silu_mul(const float* gate, const float* up, std::size_t n, float* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = gate[i] / (1.0F + std::exp(-gate[i])) * up[i];
}

void scale(float* x, std::size_t n, float factor) {
  for (std::size_t i = 0; i < n; ++i) x[i] *= factor;
}

template <class Element, float (*kToF32)(Element)>
void pack_span(const SpanPack& p) {
  for (std::size_t j = 0; j < kSpan; ++j) {
    float* k = p.k + j / kWidth * kWidth * p.head_dim + j % kWidth;
    float* v = p.v + j * kWidth;
    for (std::size_t i = 0; i < p.head_dim; ++i) {
      const bool there = j < p.count;
      k[i * kWidth] = there ? kToF32(static_cast<const Element*>(p.k_rows[j])[i]) : 0.0F;
      v[i / kWidth * kWidth * kSpan + i % kWidth] =
          there ? kToF32(static_cast<const Element*>(p.v_rows[j])[i]) : 0.0F;
    }
  }
}

float same(float x) { return x; }
float widen(std::uint16_t x) { return from_bf16(x); }

float softmax_step(float* scores, std::size_t from, std::size_t valid, float* max, float* sum) {
  float highest = *max;
  for (std::size_t i = from; i < valid; ++i) highest = scores[i] > highest ? scores[i] : highest;
  float added = 0;
  for (std::size_t i = 0; i < kSpan; ++i) {
    scores[i] = i >= from && i < valid ? std::exp(scores[i] - highest) : 0.0F;
    added += scores[i];
  }
  const float factor = std::exp(*max - highest);
  *max = highest;
  *sum = *sum * factor + added;
  return factor;
}

}  // namespace

const Kernels kScalarKernels = {
    .isa = Isa::kScalar,
    .panel_width = kWidth,
    .bf16_input = Input::kF32,
    .i8_input = Input::kF32,
    .gemm_f32 = gemm_f32,
    .gemm_f16 = gemm_f16,
    .gemm_bf16 = gemm_bf16,
    .gemm_i8 = gemm_i8,
    .to_bf16 = round_to_bf16,
    .to_i8 = nullptr,
    .rms_norm = rms_norm,
    .silu_mul = silu_mul,
    .scale = scale,
    .pack_span_bf16 = pack_span<std::uint16_t, widen>,
    .pack_span_f32 = pack_span<float, same>,
    .softmax_step = softmax_step,
};

}  // namespace baton::tensor
