// Depthwise convolution of the tiers whose element is a byte: four input rows are interleaved bytewise, so that a dword holds
// four vertical taps of one channel and no product is by zero but the padding of the tap count. The flat row makes no difference
// between channels and columns; the packs of the epilogue undo the interleaving.
#ifndef EDGEC_DEPTHWISE_U8_H
#define EDGEC_DEPTHWISE_U8_H

#include "kernels/conv/store_rows.h"

namespace {

struct Interleaved {
  V v[4];
};

EDGEC_INLINE Interleaved interleave(V r0, V r1, V r2, V r3) {
  const V a = Simd::low8(r0, r1), b = Simd::high8(r0, r1), c = Simd::low8(r2, r3), d = Simd::high8(r2, r3);
  return {{Simd::low16(a, c), Simd::high16(a, c), Simd::low16(b, d), Simd::high16(b, d)}};
}

// NR output rows from the same input rows.
template <int NR> __attribute__((noinline)) void depthwise(const void *params, uint8_t *const *operands) {
  const edgec_host_depthwise &d = *static_cast<const edgec_host_depthwise *>(params);
  const Epilogue e(d.q);
  const int32_t taps = d.groups * d.columns;
  for (int32_t done = 0; done < d.rows;) {
    const int32_t row = done + NR <= d.rows ? done : d.rows - NR;
    done = row + NR;
    const uint8_t *const input = operands[0] + static_cast<intptr_t>(row) * d.in_row_bytes;
    uint8_t *const output = operands[1] + static_cast<intptr_t>(row) * d.out_row_bytes;
    int32_t phase = 0;
    for (int32_t at = 0; at < d.row_elements; at += Simd::bytes) {
      const uint8_t *w = d.weights + static_cast<intptr_t>(phase) * taps * (NR * 4 * Simd::bytes);
      const int32_t *const bias = d.bias + phase * 4 * Simd::lanes;
      const int32_t *const M = d.multiplier + phase * 8 * Simd::lanes;
      V acc[NR][4];
      unroll<4>([&](auto j) EDGEC_LAMBDA {
        const V b = Simd::load(bias + j * Simd::lanes);
        unroll<NR>([&](auto r) EDGEC_LAMBDA { acc[r][j] = b; });
      });
      const int32_t *rows = d.row_offset;
      for (int32_t g = 0; g < d.groups; g++, rows += 4) {
        const uint8_t *const r0 = input + rows[0] + at, *const r1 = input + rows[1] + at;
        const uint8_t *const r2 = input + rows[2] + at, *const r3 = input + rows[3] + at;
        for (int32_t k = 0; k < d.columns; k++) {
          const intptr_t x = d.column_offset[k];
          const Interleaved t = interleave(Simd::load(r0 + x), Simd::load(r1 + x), Simd::load(r2 + x), Simd::load(r3 + x));
          unroll<NR>([&](auto r) EDGEC_LAMBDA {
            unroll<4>([&](auto j) EDGEC_LAMBDA { Simd::dot(acc[r][j], t.v[j], Simd::load(w + (r * 4 + j) * Simd::bytes)); });
          });
          w += NR * 4 * Simd::bytes;
        }
      }
      store_rows(e, acc, M, output + at, d.out_row_bytes, d.row_elements - at);
      phase = phase + 1 == d.period ? 0 : phase + 1;
    }
  }
}

}  // namespace

#endif
