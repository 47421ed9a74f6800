#include "engine/tensor/attention.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

namespace baton::tensor {

namespace {

constexpr std::size_t kCacheLine = 64;

// The first position that the token at `position` sees.
std::size_t first_seen(const Attention& task, std::size_t position) {
  return task.window == 0 || position < task.window ? 0 : position + 1 - task.window;
}

void prefetch(const Attention& task, const std::byte* row) {
  const std::size_t bytes = task.head_dim * (task.kv == Attention::Kv::kBf16 ? 2 : 4);
  for (std::size_t i = 0; i < bytes; i += kCacheLine) {
    __builtin_prefetch(row + task.k_offset + i);
    __builtin_prefetch(row + task.v_offset + i);
  }
}

}  // namespace

void AttentionScratch::run(const Kernels& kernels, const Attention& task) {
  reset(kernels, task);
  load_queries(kernels, task);
  const std::size_t begin = first_seen(task, task.position) / kSpan * kSpan;
  for (std::size_t start = begin; start < task.position + task.tokens; start += kSpan) {
    pack(kernels, task, start);
    step(kernels, task, start);
  }
  store(kernels, task);
}

void AttentionScratch::reset(const Kernels& kernels, const Attention& task) {
  const std::size_t rows = task.tokens * task.group;
  const std::size_t width = kernels.panel_width;
  const std::size_t padded_dim = (task.head_dim + width - 1) / width * width;
  q_.resize(rows * task.head_dim);
  k_.resize(kSpan * task.head_dim);
  v_.resize(kSpan * padded_dim);
  scores_.resize(rows * kSpan);
  out_.assign(rows * task.head_dim, 0.0F);
  max_.assign(rows, -std::numeric_limits<float>::infinity());
  sum_.assign(rows, 0.0F);
}

void AttentionScratch::load_queries(const Kernels& kernels, const Attention& task) {
  const std::size_t n = task.group * task.head_dim;
  for (std::size_t t = 0; t < task.tokens; ++t) {
    std::memcpy(q_.data() + t * n, task.q + t * task.q_stride, n * sizeof(float));
  }
  kernels.scale(q_.data(), task.tokens * n, task.scale);
}

void AttentionScratch::pack(const Kernels& kernels, const Attention& task, std::size_t start) {
  std::array<const void*, kSpan> k_rows{};
  std::array<const void*, kSpan> v_rows{};
  const std::size_t end = task.position + task.tokens;
  const std::size_t count = std::min(kSpan, end - start);
  for (std::size_t j = 0; j < count; ++j) {
    const std::byte* row = task.rows.at(start + j);
    k_rows[j] = row + task.k_offset;
    v_rows[j] = row + task.v_offset;
    // Rows lie too far apart for the hardware to see the next span coming.
    if (start + kSpan + j < end) prefetch(task, task.rows.at(start + kSpan + j));
  }
  const SpanPack span{.k_rows = k_rows.data(),
                      .v_rows = v_rows.data(),
                      .count = count,
                      .head_dim = task.head_dim,
                      .k = k_.data(),
                      .v = v_.data()};
  task.kv == Attention::Kv::kBf16 ? kernels.pack_span_bf16(span) : kernels.pack_span_f32(span);
}

void AttentionScratch::step(const Kernels& kernels, const Attention& task, std::size_t start) {
  // Tokens before the span see none of it, nor do those whose window begins after it.
  const std::size_t first_token = start > task.position ? start - task.position : 0;
  std::size_t last_token = task.tokens;
  while (first_seen(task, task.position + last_token - 1) >= start + kSpan) --last_token;
  const std::size_t first = first_token * task.group;
  const std::size_t rows = last_token * task.group - first;
  const std::size_t width = kernels.panel_width;
  for (std::size_t column = 0; column < kSpan; column += width) {
    kernels.gemm_f32({.a = q_.data() + first * task.head_dim,
                      .a_stride = task.head_dim,
                      .panel = k_.data() + column * task.head_dim,
                      .rows = rows,
                      .depth = task.head_dim,
                      .columns = width,
                      .c = scores_.data() + first * kSpan + column,
                      .c_stride = kSpan});
  }
  for (std::size_t row = first; row < first + rows; ++row) {
    const std::size_t position = task.position + row / task.group;
    const std::size_t from = std::max(first_seen(task, position), start) - start;
    const float factor =
        kernels.softmax_step(scores_.data() + row * kSpan, from,
                             std::min(position + 1 - start, kSpan), &max_[row], &sum_[row]);
    kernels.scale(out_.data() + row * task.head_dim, task.head_dim, factor);
  }
  for (std::size_t column = 0; column < task.head_dim; column += width) {
    kernels.gemm_f32({.a = scores_.data() + first * kSpan,
                      .a_stride = kSpan,
                      .panel = v_.data() + column * kSpan,
                      .rows = rows,
                      .depth = kSpan,
                      .columns = std::min(width, task.head_dim - column),
                      .c = out_.data() + first * task.head_dim + column,
                      .c_stride = task.head_dim,
                      .store = Store::kAdd});
  }
}

void AttentionScratch::store(const Kernels& kernels, const Attention& task) {
  for (std::size_t row = 0; row < task.tokens * task.group; ++row) {
    float* out = out_.data() + row * task.head_dim;
    kernels.scale(out, task.head_dim, 1.0F / sum_[row]);
    float* to = task.out + row / task.group * task.out_stride + row % task.group * task.head_dim;
    // A masked position adds a zero of either sign; adding +0 leaves no trace of it.
    for (std::size_t i = 0; i < task.head_dim; ++i) to[i] = out[i] + 0.0F;
  }
}

}  // namespace baton::tensor
