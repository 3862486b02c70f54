// Maximum over windows of the tiers whose element is a byte, over flat rows.
#ifndef EDGEC_MAX_POOL_U8_H
#define EDGEC_MAX_POOL_U8_H

#include "kernels/simd/row_end.h"

namespace {

EDGEC_INLINE void max_pool_rows(const void *params, uint8_t *const *operands) {
  const edgec_host_max_pool &p = *static_cast<const edgec_host_max_pool *>(params);
  const Simd::V flip = Simd::set8(Simd::flip), low = Simd::set8(p.low), high = Simd::set8(p.high), last = Simd::set8(p.kind == Simd::kind ? Simd::flip : 0);
  for (int32_t row = 0; row < p.rows; row++) {
    const uint8_t *const x = operands[0] + static_cast<intptr_t>(row) * p.in_row_bytes;
    uint8_t *const y = operands[1] + static_cast<intptr_t>(row) * p.out_row_bytes;
    for (int32_t at = 0; at < p.row_elements; at += Simd::bytes) {
      Simd::V top = Simd::load(x + p.tap_offset[0] + at);
      for (int32_t t = 1; t < p.taps; t++) {
        top = Simd::max_stored(top, Simd::load(x + p.tap_offset[t] + at));
      }
      top = Simd::bit_xor(Simd::min8(Simd::max8(Simd::bit_xor(top, flip), low), high), last);
      store_up_to(y + at, top, p.row_elements - at);
    }
  }
}

}  // namespace

#endif
