// The vector kernels, written once over a vector type. A kernels/*.cpp file includes this inside
// its anonymous namespace, after it has defined
//
//   Vec        a vector of f32; kLanes of them
//   kVectors   vectors per panel row;  kRows  rows of a register tile
//   load, store, set, add, mul, fma (a * b + c), max, sum_lanes, max_lanes
//   load_bf16, load_f16 (kLanes elements, widened), store_bf16 (rounded), first_lanes (a mask),
//   load_first, store_first (that many lanes; the others are zero, or untouched)
//   exp_scale (x * 2^n for integral n), round
//
// Everything has internal linkage: no copy compiled with higher flags can leak into other files.

constexpr std::size_t kWidth = kLanes * kVectors;

// How a panel of each type is walked: `kDepth` consecutive depths per step.
struct PanelF32 {
  using Weight = float;
  using Input = float;
  static constexpr std::size_t kDepth = 1;
  template <std::size_t kTile>
  static void step(Vec (&sum)[kTile][kVectors], const Input* const (&a)[kTile], std::size_t k,
                   const Weight* w) {
    for (std::size_t v = 0; v < kVectors; ++v) {
      const Vec weights = load(w + v * kLanes);
      for (std::size_t r = 0; r < kTile; ++r) sum[r][v] = fma(set(a[r][k]), weights, sum[r][v]);
    }
  }
};

struct PanelF16 {
  using Weight = std::uint16_t;
  using Input = float;
  static constexpr std::size_t kDepth = 1;
  template <std::size_t kTile>
  static void step(Vec (&sum)[kTile][kVectors], const Input* const (&a)[kTile], std::size_t k,
                   const Weight* w) {
    for (std::size_t v = 0; v < kVectors; ++v) {
      const Vec weights = load_f16(w + v * kLanes);
      for (std::size_t r = 0; r < kTile; ++r) sum[r][v] = fma(set(a[r][k]), weights, sum[r][v]);
    }
  }
};

template <class Panel, std::size_t kTile>
void gemm_tile(const Gemm& g, std::size_t row) {
  using Input = typename Panel::Input;
  const Input* a[kTile];
  for (std::size_t r = 0; r < kTile; ++r) {
    a[r] = static_cast<const Input*>(g.a) + (row + r) * g.a_stride;
  }
  Vec sum[kTile][kVectors];
  for (std::size_t r = 0; r < kTile; ++r) {
    for (std::size_t v = 0; v < kVectors; ++v) sum[r][v] = set(0.0F);
  }
  const auto* w = static_cast<const typename Panel::Weight*>(g.panel);
  for (std::size_t k = 0; k < g.depth; k += Panel::kDepth, w += Panel::kDepth * kWidth) {
    Panel::step(sum, a, k, w);
  }
  for (std::size_t r = 0; r < kTile; ++r) {
    float* c = g.c + (row + r) * g.c_stride;
    for (std::size_t v = 0; v < kVectors && v * kLanes < g.columns; ++v, c += kLanes) {
      if (g.scales != nullptr) sum[r][v] = mul(sum[r][v], load(g.scales + v * kLanes));
      const std::size_t lanes = g.columns - v * kLanes;
      if (lanes >= kLanes) {
        store(c, g.store == Store::kAdd ? add(load(c), sum[r][v]) : sum[r][v]);
      } else {
        store_first(c, g.store == Store::kAdd ? add(load_first(c, lanes), sum[r][v]) : sum[r][v],
                    lanes);
      }
    }
  }
}

template <class Panel, std::size_t kTile = kRows>
void gemm_rest(const Gemm& g, std::size_t row) {
  if constexpr (kTile > 0) {
    if (g.rows - row == kTile) {
      gemm_tile<Panel, kTile>(g, row);
    } else {
      gemm_rest<Panel, kTile - 1>(g, row);
    }
  }
}

template <class Panel>
void gemm(const Gemm& g) {
  std::size_t row = 0;
  for (; row + kRows <= g.rows; row += kRows) gemm_tile<Panel, kRows>(g, row);
  gemm_rest<Panel>(g, row);
}

// e^x within 2 ulp for x <= 88; 0 far below. Cody-Waite reduction by ln 2 in two parts, then the
// minimax polynomial of Cephes' expf.
Vec exp(Vec x) {
  x = max(x, set(-104.0F));
  const Vec n = round(mul(x, set(1.44269504F)));
  Vec r = fma(n, set(-0.693359375F), x);
  r = fma(n, set(2.12194440e-4F), r);
  Vec p = set(1.9875691500e-4F);
  p = fma(p, r, set(1.3981999507e-3F));
  p = fma(p, r, set(8.3334519073e-3F));
  p = fma(p, r, set(4.1665795894e-2F));
  p = fma(p, r, set(1.6666665459e-1F));
  p = fma(p, r, set(5.0000001201e-1F));
  p = fma(mul(r, r), p, add(r, set(1.0F)));
  return exp_scale(p, n);
}

float exp_of(float x) {
  float out[kLanes];
  store(out, exp(set(x)));
  return out[0];
}

// Calls body(offset, lanes) for whole vectors, then for the rest.
template <class Body>
void for_vectors(std::size_t n, Body body) {
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, kLanes);
  if (i < n) body(i, n - i);
}

Vec load_some(const float* x, std::size_t lanes) {
  return lanes == kLanes ? load(x) : load_first(x, lanes);
}
void store_some(float* x, Vec value, std::size_t lanes) {
  lanes == kLanes ? store(x, value) : store_first(x, value, lanes);
}

void to_bf16(const float* in, std::size_t n, std::uint16_t* out) {
  for_vectors(n, [&](std::size_t i, std::size_t lanes) {
    if (lanes == kLanes) {
      store_bf16(out + i, load(in + i));
      return;
    }
    std::uint16_t rounded[kLanes];
    store_bf16(rounded, load_first(in + i, lanes));
    for (std::size_t j = 0; j < lanes; ++j) out[i + j] = rounded[j];
  });
}

void rms_norm(const float* x, const float* weight, std::size_t n, float eps, float* out) {
  Vec squares = set(0.0F);
  for_vectors(n, [&](std::size_t i, std::size_t lanes) {
    const Vec value = load_some(x + i, lanes);
    squares = fma(value, value, squares);
  });
  const Vec factor = set(1.0F / __builtin_sqrtf(sum_lanes(squares) / static_cast<float>(n) + eps));
  for_vectors(n, [&](std::size_t i, std::size_t lanes) {
    const Vec value = mul(load_some(x + i, lanes), factor);
    store_some(out + i, mul(value, load_some(weight + i, lanes)), lanes);
  });
}

void silu_mul(const float* gate, const float* up, std::size_t n, float* out) {
  for_vectors(n, [&](std::size_t i, std::size_t lanes) {
    const Vec g = load_some(gate + i, lanes);
    // exp is asked for values up to 88 only: beyond, silu is zero to f32's precision anyway.
    const Vec e = exp(min(mul(g, set(-1.0F)), set(88.0F)));
    const Vec silu = div(g, add(set(1.0F), e));
    store_some(out + i, mul(silu, load_some(up + i, lanes)), lanes);
  });
}

void scale(float* x, std::size_t n, float factor) {
  for_vectors(n, [&](std::size_t i, std::size_t lanes) {
    store_some(x + i, mul(load_some(x + i, lanes), set(factor)), lanes);
  });
}

// `x` in the lanes [from, valid) of a span, `rest` in the others; the vector starts at `before`.
Vec only(Vec x, float rest, std::size_t before, std::size_t from, std::size_t valid) {
  const Vec upper = first_lanes(x, set(rest), valid > before ? valid - before : 0);
  return from <= before ? upper : first_lanes(set(rest), upper, from - before);
}

float softmax_step(float* scores, std::size_t from, std::size_t valid, float* max_so_far,
                   float* sum_so_far) {
  constexpr std::size_t kParts = kSpan / kLanes;
  Vec score[kParts];
  Vec highest = set(*max_so_far);
  for (std::size_t p = 0; p < kParts; ++p) {
    const std::size_t before = p * kLanes;
    score[p] = only(load(scores + before), -__builtin_inff(), before, from, valid);
    highest = max(highest, score[p]);
  }
  const float top = max_lanes(highest);
  Vec added = set(0.0F);
  for (std::size_t p = 0; p < kParts; ++p) {
    const std::size_t before = p * kLanes;
    score[p] = only(exp(sub(score[p], set(top))), 0.0F, before, from, valid);
    store(scores + before, score[p]);
    added = add(added, score[p]);
  }
  const float factor = exp_of(*max_so_far - top);
  *max_so_far = top;
  *sum_so_far = *sum_so_far * factor + sum_lanes(added);
  return factor;
}

struct RowF32 {
  using Element = float;
  static Vec whole(const Element* x) { return load(x); }
};
struct RowBf16 {
  using Element = std::uint16_t;
  static Vec whole(const Element* x) { return load_bf16(x); }
};

// `lanes` elements from `x`, widened; the other lanes are zero.
template <class Row>
Vec widen(const typename Row::Element* x, std::size_t lanes) {
  if (lanes == kLanes) return Row::whole(x);
  typename Row::Element some[kLanes] = {};
  for (std::size_t i = 0; i < lanes; ++i) some[i] = x[i];
  return Row::whole(some);
}

template <class Row>
void pack_k(const SpanPack& p) {
  using Element = typename Row::Element;
  for (std::size_t group = 0; group < kSpan; group += kLanes) {
    float* panel = p.k + group / kWidth * kWidth * p.head_dim + group % kWidth;
    for_vectors(p.head_dim, [&](std::size_t i, std::size_t lanes) {
      Vec rows[kLanes];
      for (std::size_t j = 0; j < kLanes; ++j) {
        rows[j] = group + j < p.count
                      ? widen<Row>(static_cast<const Element*>(p.k_rows[group + j]) + i, lanes)
                      : set(0.0F);
      }
      transpose(rows);
      for (std::size_t j = 0; j < lanes; ++j) store(panel + (i + j) * kWidth, rows[j]);
    });
  }
}

template <class Row>
void pack_span(const SpanPack& p) {
  using Element = typename Row::Element;
  pack_k<Row>(p);
  for (std::size_t j = 0; j < kSpan; ++j) {
    for_vectors(p.head_dim, [&](std::size_t i, std::size_t lanes) {
      float* to = p.v + i / kWidth * kWidth * kSpan + j * kWidth + i % kWidth;
      store(to, j < p.count ? widen<Row>(static_cast<const Element*>(p.v_rows[j]) + i, lanes)
                            : set(0.0F));
    });
  }
}
