#pragma once
// A weight matrix in the layout its kernels read, and rows of activations to multiply with it.

#include <cstddef>
#include <span>
#include <vector>

#include "engine/tensor/arena.hpp"
#include "engine/tensor/dtype.hpp"
#include "engine/tensor/kernels/kernels.hpp"

namespace baton::tensor {

// [rows, columns], row-major, as a checkpoint stores it.
struct Source {
  Dtype dtype = Dtype::kF32;
  const std::byte* data = nullptr;
  std::size_t rows = 0;
  std::size_t columns = 0;
};

// [rows, width] in the type that the kernel of one weight type reads: f32, bf16, or 8-bit blocks.
class Activations {
 public:
  explicit Activations(const Kernels& kernels) : kernels_(&kernels) {}

  // Forgets the content. `weights`: the type of the matrix they are for.
  void resize(Dtype weights, std::size_t rows, std::size_t width);
  // Thread-safe for disjoint elements.
  void put(std::size_t row, std::size_t column, const float* values, std::size_t n);
  // A whole row is needed to make blocks of it: each row is finished once, after all of it was put.
  // Thread-safe for different rows.
  bool needs_finish() const { return input_ == Input::kI8Blocks; }
  void finish(std::size_t row);

  const void* row(std::size_t row) const { return data_.data() + row * stride() * element(); }
  std::size_t stride() const;  // elements of a row
  std::size_t rows() const { return rows_; }
  std::size_t width() const { return width_; }

 private:
  std::size_t element() const;

  const Kernels* kernels_;
  Input input_ = Input::kF32;
  std::size_t rows_ = 0;
  std::size_t width_ = 0;
  std::vector<std::byte> data_;
  std::vector<float> exact_;  // [rows, width]: what blocks are made of
};

// Immutable once packed. kI8 weights are whole numbers in [-127, 127] times a scale an output, the
// largest magnitude of its row by 127: rounded to nearest, so off by half a scale at most.
// `outputs` are the rows of the source matrices, one below the other;
// `inputs` their columns. Stored as panels of kernels.panel_width outputs (see kernels.hpp), the
// last one padded with zeros.
class Matrix {
 public:
  Matrix() = default;
  // Contract: equal columns; columns even; every part is of type `dtype`, or that is f32 or i8.
  Matrix(const Kernels& kernels, Arena& arena, Dtype dtype, std::span<const Source> parts);

  std::size_t outputs() const { return outputs_; }
  std::size_t inputs() const { return inputs_; }
  Dtype dtype() const { return dtype_; }
  std::size_t panels() const;
  std::size_t bytes() const;

  // Fills panel `panel` from `parts`. Thread-safe for different panels.
  void pack(std::size_t panel, std::span<const Source> parts);
  // Columns [panel * panel_width, …) of rows [first, first + count) of a * transpose(this), to or
  // onto `c`, which is where row `first`, column 0 of the panel goes.
  void multiply(std::size_t panel, const Activations& a, std::size_t first, std::size_t count,
                float* c, std::size_t c_stride, Store store) const;
  // Outputs in panel `panel`.
  std::size_t width_of(std::size_t panel) const;
  // Row `output` as f32.
  void unpack_row(std::size_t output, float* out) const;

 private:
  void pack_row(std::size_t output, Dtype from, const std::byte* row);
  void quantize_row(std::size_t output, Dtype from, const std::byte* row);
  bool biased() const;                     // weights plus 128
  float* scales(std::size_t panel) const;  // kI8: behind the panel's numbers
  std::size_t unit() const;                // consecutive inputs that lie side by side
  std::byte* at(std::size_t output, std::size_t input) const;
  std::size_t panel_bytes() const;

  const Kernels* kernels_ = nullptr;
  Dtype dtype_ = Dtype::kF32;
  std::size_t outputs_ = 0;
  std::size_t inputs_ = 0;
  std::byte* data_ = nullptr;
};

// The type of all parts, or f32 when they differ.
Dtype common_type(std::span<const Source> parts);

// `n` elements at `data` as f32.
void widen(Dtype dtype, const std::byte* data, std::size_t n, float* out);

}  // namespace baton::tensor
