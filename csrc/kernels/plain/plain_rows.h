// Kernels over the artifact's own int8 bytes, for operators between the ones that have a layout of their own: loops that the compiler
// turns into vectors, and plain_vectors.h where it does not.
#ifndef EDGEC_PLAIN_ROWS_H
#define EDGEC_PLAIN_ROWS_H

#include "kernels/elementwise/elementwise.h"
#include "kernels/plain/plain_argmax.h"
#include "kernels/plain/plain_softmax.h"
#include "kernels/plain/plain_table_pool.h"
#include "kernels/plain/plain_vectors.h"
#include "kernels/product/product.h"
#include "kernels/resize/resize.h"

namespace {

// op(a, b) of two operands that a walk over four axes repeats or not, in lanes. Both strides of the last axis are 0 or 1 in nearly
// every network.
template <bool a_moves, bool b_moves, typename Op> EDGEC_PLAIN void plain_row(const int8_t *a, const int8_t *b, int8_t *y, int32_t size, const Op &op) {
  const PlainWords none = {}, first_a = none + a[0], first_b = none + b[0];
  plain_pieces(size, [&](int32_t i) __attribute__((always_inline)) {
    plain_store(y + i, op(a_moves ? plain_load(a + i) : first_a, b_moves ? plain_load(b + i) : first_b));
  }, [&](int32_t count) __attribute__((always_inline)) {
    plain_store(y, op(a_moves ? plain_load(a, count) : first_a, b_moves ? plain_load(b, count) : first_b), count);
  });
}

template <typename P, typename Op> EDGEC_PLAIN void plain_walk(const P &p, uint8_t *const *operands, const Op &op) {
  int8_t *y = reinterpret_cast<int8_t *>(operands[2]);
  for (int32_t i = 0; i < p.size_0; i++) {
    for (int32_t j = 0; j < p.size_1; j++) {
      for (int32_t k = 0; k < p.size_2; k++) {
        const int8_t *const a = reinterpret_cast<const int8_t *>(operands[0]) + i * p.stride_a_0 + j * p.stride_a_1 + k * p.stride_a_2;
        const int8_t *const b = reinterpret_cast<const int8_t *>(operands[1]) + i * p.stride_b_0 + j * p.stride_b_1 + k * p.stride_b_2;
        if (p.stride_a_3 == 1 && p.stride_b_3 == 1) {
          plain_row<true, true>(a, b, y, p.size_3, op);
        } else if (p.stride_a_3 == 1 && p.stride_b_3 == 0) {
          plain_row<true, false>(a, b, y, p.size_3, op);
        } else if (p.stride_a_3 == 0 && p.stride_b_3 == 1) {
          plain_row<false, true>(a, b, y, p.size_3, op);
        } else {
          for (int32_t l = 0; l < p.size_3; l++) {
            plain_row<false, false>(a + l * p.stride_a_3, b + l * p.stride_b_3, y + l, 1, op);
          }
        }
        y += p.size_3;
      }
    }
  }
}

EDGEC_PLAIN void plain_mul(const void *params, uint8_t *const *operands) {
  const edgec_mul_params &p = *static_cast<const edgec_mul_params *>(static_cast<const edgec_host_plain_step *>(params)->params);
  const int32_t high = INT32_MAX >> p.shift;
  const PlainScale s = {p.multiplier, p.shift, -high - 1, high, p.out_zero_point, p.clamp_min, p.clamp_max};
  plain_walk(p, operands, [&](PlainWords left, PlainWords right) __attribute__((always_inline)) {
    return plain_requantize((left - p.zero_point_a) * (right - p.zero_point_b), s);
  });
}

// Sums wrap, as the reference's.
EDGEC_PLAIN void plain_div(const void *params, uint8_t *const *operands) {
  const edgec_host_plain_step &step = *static_cast<const edgec_host_plain_step *>(params);
  const edgec_div_params &p = *static_cast<const edgec_div_params *>(step.params);
  const int32_t *const reciprocals = static_cast<const int32_t *>(step.constant[0]);
  const uint32_t half = 1u << (p.shift - 1);
  plain_walk(p, operands, [&](PlainWords left, PlainWords right) __attribute__((always_inline)) {
    const PlainUnsigned product = reinterpret_cast<PlainUnsigned>(left - p.zero_point_a) * reinterpret_cast<PlainUnsigned>(plain_gather(reciprocals, right + 128));
    const PlainWords sum = reinterpret_cast<PlainWords>(product + half);
    return plain_clamp((sum >> p.shift) + p.out_zero_point, p.clamp_min, p.clamp_max);
  });
}

template <bool is_minimum> EDGEC_PLAIN void plain_extreme(const void *params, uint8_t *const *operands) {
  const int32_t count = static_cast<const edgec_minimum_params *>(static_cast<const edgec_host_plain_step *>(params)->params)->count;
  const int8_t *const a = reinterpret_cast<const int8_t *>(operands[0]), *const b = reinterpret_cast<const int8_t *>(operands[1]);
  int8_t *const __restrict y = reinterpret_cast<int8_t *>(operands[2]);
  for (int32_t i = 0; i < count; i++) {
    y[i] = (a[i] < b[i]) == is_minimum ? a[i] : b[i];
  }
}

EDGEC_PLAIN void plain_add_wide(const void *params, uint8_t *const *operands) {
  const edgec_add_params &p = *static_cast<const edgec_add_params *>(static_cast<const edgec_host_plain_step *>(params)->params);
  const int8_t *const a = reinterpret_cast<const int8_t *>(operands[0]), *const b = reinterpret_cast<const int8_t *>(operands[1]);
  int8_t *const __restrict y = reinterpret_cast<int8_t *>(operands[2]);
  const int32_t count = p.count, offset = p.offset, ma = p.multiplier_a, mb = p.multiplier_b, shift = p.shift, low = p.clamp_min, high = p.clamp_max;
  for (int32_t i = 0; i < count; i++) {  // wraps, as the reference does
    const uint32_t sum = static_cast<uint32_t>(offset) + static_cast<uint32_t>(a[i] * ma) + static_cast<uint32_t>(b[i] * mb);
    y[i] = static_cast<int8_t>(plain_clamp(static_cast<int32_t>(sum) >> shift, low, high));
  }
}

// Rows first, then columns: every step is exact, so that their order does not matter. 2048 is one. Without a blend pixels are copied.
EDGEC_PLAIN void plain_resize(const void *params, uint8_t *const *operands) {
  const edgec_host_plain_step &step = *static_cast<const edgec_host_plain_step *>(params);
  const edgec_resize_params &p = *static_cast<const edgec_resize_params *>(step.params);
  const int32_t *const rows = static_cast<const int32_t *>(step.constant[0]), *const columns = static_cast<const int32_t *>(step.constant[1]);
  const int8_t *const x = reinterpret_cast<const int8_t *>(operands[0]);
  int8_t *y = reinterpret_cast<int8_t *>(operands[2]);
  const int8_t *const end = y + p.out_h * p.out_w * p.channels;
  constexpr int32_t chunk = 64;  // channels blended at once; a pixel of more has several
  for (int32_t i = 0; i < p.out_h; i++) {
    const int32_t r0 = plain_clamp(rows[3 * i], 0, p.in_h - 1), r1 = plain_clamp(rows[3 * i + 1], 0, p.in_h - 1), v = plain_clamp(rows[3 * i + 2], 0, 2048);
    const int8_t *const top = x + r0 * p.in_w * p.channels, *const bottom = x + r1 * p.in_w * p.channels;
    int32_t from[2] = {-1, -1}, first = -1;   // columns held, and of which channels
    PlainWords held[2][chunk / plain_lanes];  // their blend of rows
    for (int32_t c = 0; c < p.channels; c += chunk) {
      const int32_t count = p.channels - c < chunk ? p.channels - c : chunk;
      int8_t *to = y + c;
      for (int32_t j = 0; j < p.out_w; j++, to += p.channels) {
        const int32_t column[2] = {plain_clamp(columns[3 * j], 0, p.in_w - 1), plain_clamp(columns[3 * j + 1], 0, p.in_w - 1)};
        const int32_t h = plain_clamp(columns[3 * j + 2], 0, 2048);
        if (h == 0 && v == 0) {
          __builtin_memcpy(to, top + column[0] * p.channels + c, static_cast<unsigned long>(count));
          continue;
        }
        for (int n = 0; n < 2; n++) {
          if (first == c && from[n] == column[n]) {
            continue;
          }
          const int8_t *const a = top + column[n] * p.channels + c, *const b = bottom + column[n] * p.channels + c;
          for (int32_t e = 0; e < count; e += plain_lanes) {
            const bool whole = count - e >= plain_lanes;
            const PlainWords above = whole ? plain_load(a + e) : plain_load(a + e, count - e), below = whole ? plain_load(b + e) : plain_load(b + e, count - e);
            held[n][e / plain_lanes] = above * (2048 - v) + below * v;
          }
          from[n] = column[n];
        }
        first = c;
        for (int32_t e = 0; e < count; e += plain_lanes) {
          const PlainWords sum = (held[0][e / plain_lanes] * (2048 - h) + held[1][e / plain_lanes] * h + (1 << 21)) >> 22;
          if (count - e >= plain_lanes || (p.channels <= chunk && end - (to + e) >= plain_lanes)) {
            plain_store(to + e, sum);  // perhaps into the next pixel, which is yet to come
          } else {
            plain_store(to + e, sum, count - e);
          }
        }
      }
    }
    y += p.out_w * p.channels;
  }
}

}  // namespace

// Of a tier, in the order of edgec_host_plain.
#define EDGEC_PLAIN_KERNELS(tier)                                                                                       \
  namespace {                                                                                                           \
  void run_mul(const void *params, uint8_t *const *operands) { plain_mul(params, operands); }                           \
  void run_minimum(const void *params, uint8_t *const *operands) { plain_extreme<true>(params, operands); }             \
  void run_maximum(const void *params, uint8_t *const *operands) { plain_extreme<false>(params, operands); }            \
  void run_add_wide(const void *params, uint8_t *const *operands) { plain_add_wide(params, operands); }                 \
  void run_resize(const void *params, uint8_t *const *operands) { plain_resize(params, operands); }                     \
  void run_softmax(const void *params, uint8_t *const *operands) { plain_softmax(params, operands); }                   \
  void run_div(const void *params, uint8_t *const *operands) { plain_div(params, operands); }                           \
  void run_argmax(const void *params, uint8_t *const *operands) { plain_argmax(params, operands); }                     \
  void run_table_pool(const void *params, uint8_t *const *operands) { plain_table_pool(params, operands); }             \
  }                                                                                                                     \
  extern "C" const edgec_host_plain edgec_plain__##tier = {&run_mul,    &run_minimum, &run_maximum, &run_add_wide, &run_resize, \
                                                           &run_softmax, &run_div,     &run_argmax,  &run_table_pool};

#endif
