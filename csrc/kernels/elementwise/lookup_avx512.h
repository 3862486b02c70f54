// lookup by permutations of the whole table as 128 words, of each of which one byte is taken.
#ifndef EDGEC_LOOKUP_AVX512_H
#define EDGEC_LOOKUP_AVX512_H

#include "kernels/simd/row_end.h"

namespace {

// index: of which bits 1 to 6 of a byte are the lowest of a word; `upper` where its bit 7 is set.
EDGEC_INLINE V words_at(const V (&table)[4], V index, __mmask32 upper) {
  return _mm512_mask_blend_epi16(upper, _mm512_permutex2var_epi16(table[0], index, table[1]), _mm512_permutex2var_epi16(table[2], index, table[3]));
}

EDGEC_INLINE void lookup_words(const void *params, uint8_t *const *operands) {
  const edgec_host_lookup &p = *static_cast<const edgec_host_lookup *>(params);
  const V flip = Simd::set8(p.kind == EDGEC_KIND_U8 ? 0 : 0x80);
  V table[4];
  for (int32_t i = 0; i < 4; i++) {
    table[i] = Simd::bit_xor(Simd::load(p.table + 64 * i), flip);
  }
  const V eight = Simd::set16(8), upper_even = Simd::set16(0x80), low_byte = Simd::set16(0xff);
  for (int32_t row = 0; row < p.rows; row++) {
    const uint8_t *const x = operands[0] + static_cast<intptr_t>(row) * p.in_row_bytes;
    uint8_t *const y = operands[1] + static_cast<intptr_t>(row) * p.out_row_bytes;
    for (int32_t at = 0; at < p.row_elements; at += Simd::bytes) {
      const int32_t left = p.row_elements - at;
      const V index = load_up_to(x + at, left);
      const V even = words_at(table, _mm512_srli_epi16(index, 1), _mm512_test_epi16_mask(index, upper_even));
      const V odd = words_at(table, _mm512_srli_epi16(index, 9), _mm512_movepi16_mask(index));
      // Bit 0 of an index says which byte of its word: it goes where the index was.
      const V first = _mm512_srlv_epi16(even, _mm512_and_si512(_mm512_slli_epi16(index, 3), eight));
      const V second = _mm512_sllv_epi16(odd, _mm512_andnot_si512(_mm512_srli_epi16(index, 5), eight));
      const V q = _mm512_ternarylogic_epi64(low_byte, first, second, 0xca);
      store_up_to(y + at, q, left);
    }
  }
}

}  // namespace

#endif
