// lookup by TBL: four tables of 64 bytes, each of which leaves indices of the others alone.
#ifndef EDGEC_LOOKUP_NEON_H
#define EDGEC_LOOKUP_NEON_H

#include "kernels/simd/row_end.h"

namespace {

EDGEC_INLINE void lookup_tables(const void *params, uint8_t *const *operands) {
  const edgec_host_lookup &p = *static_cast<const edgec_host_lookup *>(params);
  uint8x16x4_t table[4];
  const uint8x16_t flip = vdupq_n_u8(0x80), part = vdupq_n_u8(64);
  unroll<16>([&](auto i) EDGEC_LAMBDA { table[i / 4].val[i % 4] = veorq_u8(vld1q_u8(p.table + 16 * i), flip); });
  for (int32_t row = 0; row < p.rows; row++) {
    const uint8_t *const x = operands[0] + static_cast<intptr_t>(row) * p.in_row_bytes;
    uint8_t *const y = operands[1] + static_cast<intptr_t>(row) * p.out_row_bytes;
    for (int32_t at = 0; at < p.row_elements; at += Simd::bytes) {
      const int32_t left = p.row_elements - at;
      uint8x16_t index = veorq_u8(vreinterpretq_u8_s32(load_up_to(x + at, left)), flip);
      uint8x16_t q = vqtbl4q_u8(table[0], index);
      unroll<3>([&](auto i) EDGEC_LAMBDA {
        index = vsubq_u8(index, part);
        q = vqtbx4q_u8(q, table[i + 1], index);
      });
      const V value = Simd::v(vreinterpretq_s8_u8(q));
      store_up_to(y + at, value, left);
    }
  }
}

}  // namespace

#endif
