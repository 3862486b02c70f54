// add of the tiers whose element is a byte, over flat rows.
#ifndef EDGEC_ELEMENTWISE_U8_H
#define EDGEC_ELEMENTWISE_U8_H

#include "kernels/simd/row_end.h"

namespace {

EDGEC_INLINE void add_rows(const void *params, uint8_t *const *operands) {
  const edgec_host_add &p = *static_cast<const edgec_host_add *>(params);
  const Epilogue e(p.q);
  const V flip = Simd::set8(Simd::flip);
  for (int32_t row = 0; row < p.rows; row++) {
    const uint8_t *const a = operands[0] + static_cast<intptr_t>(row) * p.a_row_bytes;
    const uint8_t *const b = operands[1] + static_cast<intptr_t>(row) * p.b_row_bytes;
    uint8_t *const y = operands[2] + static_cast<intptr_t>(row) * p.out_row_bytes;
    for (int32_t at = 0; at < p.row_elements; at += Simd::bytes) {
      const int32_t left = p.row_elements - at;
      const V q = e.stored(e.with_residual(Simd::bit_xor(load_up_to(a + at, left), flip), load_up_to(b + at, left)));
      store_up_to(y + at, q, left);
    }
  }
}

}  // namespace

#endif
