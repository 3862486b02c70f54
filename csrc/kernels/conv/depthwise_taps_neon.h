// Depthwise convolution without a dot product: 16 channels of a tap are one register of the flat row, and two taps are summed in int16
// (2 · 128 · 127 fits) before they are widened. Where a weight is −128, each tap is widened by itself.
#ifndef EDGEC_DEPTHWISE_TAPS_NEON_H
#define EDGEC_DEPTHWISE_TAPS_NEON_H

#include "kernels/conv/store_rows.h"

namespace {

struct Products {
  int16x8_t low, high;
  EDGEC_INLINE Products(V x, V w) : low(vmull_s8(vget_low_s8(Simd::b(x)), vget_low_s8(Simd::b(w)))), high(vmull_high_s8(Simd::b(x), Simd::b(w))) {}
  EDGEC_INLINE void add(V x, V w) {
    low = vmlal_s8(low, vget_low_s8(Simd::b(x)), vget_low_s8(Simd::b(w)));
    high = vmlal_high_s8(high, Simd::b(x), Simd::b(w));
  }
  EDGEC_INLINE void widen_into(V (&acc)[1][4]) const {
    acc[0][0] = vaddw_s16(acc[0][0], vget_low_s16(low));
    acc[0][1] = vaddw_high_s16(acc[0][1], low);
    acc[0][2] = vaddw_s16(acc[0][2], vget_low_s16(high));
    acc[0][3] = vaddw_high_s16(acc[0][3], high);
  }
};

template <bool least> EDGEC_INLINE void add_two(V (&acc)[1][4], V x0, V w0, V x1, V w1) {
  Products p(x0, w0);
  if constexpr (least) {
    p.widen_into(acc);
    p = Products(x1, w1);
  } else {
    p.add(x1, w1);
  }
  p.widen_into(acc);
}

// T: the number of taps, whose weights then stay in registers; 0 for any. Weights repeat every `period` blocks: the walk takes the
// blocks of one phase after the other.
template <int T, bool least> __attribute__((noinline)) void depthwise_taps(const void *params, uint8_t *const *operands) {
  const edgec_host_depthwise &d = *static_cast<const edgec_host_depthwise *>(params);
  const Epilogue e(d.q);
  const int32_t taps = T != 0 ? T : d.groups;
  const intptr_t step = static_cast<intptr_t>(d.period) * Simd::bytes;
  for (int32_t row = 0; row < d.rows; row++) {
    const uint8_t *const input = operands[0] + static_cast<intptr_t>(row) * d.in_row_bytes;
    uint8_t *const output = operands[1] + static_cast<intptr_t>(row) * d.out_row_bytes;
    for (int32_t phase = 0; phase < d.period; phase++) {
      const uint8_t *const w = d.weights + static_cast<intptr_t>(phase) * taps * Simd::bytes;
      const int32_t *const bias = d.bias + phase * 4 * Simd::lanes, *const M = d.multiplier + phase * 8 * Simd::lanes;
      const uint8_t *tap[T != 0 ? T : 1];
      V weights[T != 0 ? T : 1], start[4];
      unroll<T>([&](auto t) EDGEC_LAMBDA {
        tap[t] = input + d.row_offset[t];
        weights[t] = Simd::load(w + t * Simd::bytes);
      });
      unroll<4>([&](auto j) EDGEC_LAMBDA { start[j] = Simd::load(bias + j * Simd::lanes); });
      for (intptr_t at = phase * Simd::bytes; at < d.row_elements; at += step) {
        V acc[1][4];
        unroll<4>([&](auto j) EDGEC_LAMBDA { acc[0][j] = start[j]; });
        if constexpr (T != 0) {
          unroll<T / 2>([&](auto t) EDGEC_LAMBDA {
            add_two<least>(acc, Simd::load(tap[2 * t] + at), weights[2 * t], Simd::load(tap[2 * t + 1] + at), weights[2 * t + 1]);
          });
          if constexpr (T % 2 != 0) {
            Products(Simd::load(tap[T - 1] + at), weights[T - 1]).widen_into(acc);
          }
        } else {
          const uint8_t *const x = input + at;
          int32_t t = 0;
          for (; t + 2 <= taps; t += 2) {
            add_two<least>(acc, Simd::load(x + d.row_offset[t]), Simd::load(w + t * Simd::bytes), Simd::load(x + d.row_offset[t + 1]),
                           Simd::load(w + (t + 1) * Simd::bytes));
          }
          if (t < taps) {
            Products(Simd::load(x + d.row_offset[t]), Simd::load(w + t * Simd::bytes)).widen_into(acc);
          }
        }
        store_rows(e, acc, M, output + at, 0, static_cast<int32_t>(d.row_elements - at));
      }
    }
  }
}

EDGEC_INLINE void depthwise_by_taps(const void *params, uint8_t *const *operands) {
  const edgec_host_depthwise &d = *static_cast<const edgec_host_depthwise *>(params);
  if (d.least) {
    depthwise_taps<0, true>(params, operands);
  } else if (d.groups == 9) {
    depthwise_taps<9, false>(params, operands);
  } else {
    depthwise_taps<0, false>(params, operands);
  }
}

}  // namespace

#endif
