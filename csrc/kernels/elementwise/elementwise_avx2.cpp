// add, lookup and changes of element, AVX2 with int16 activations.
#include "kernels/simd/simd_avx2.h"
#include "kernels/simd/epilogue_s16.h"
#include "kernels/elementwise/lookup_avx2.h"

extern "C" {

void edgec_add__avx2(const void *params, uint8_t *const *operands) {
  const edgec_host_add &p = *static_cast<const edgec_host_add *>(params);
  const Epilogue e(p.q);
  const int32_t out_element = e.kind == EDGEC_KIND_S16 ? 2 : 1;
  for (int32_t row = 0; row < p.rows; row++) {
    const uint8_t *const a = operands[0] + static_cast<intptr_t>(row) * p.a_row_bytes;
    const uint8_t *const b = operands[1] + static_cast<intptr_t>(row) * p.b_row_bytes;
    uint8_t *const y = operands[2] + static_cast<intptr_t>(row) * p.out_row_bytes;
    for (int32_t at = 0; at < p.row_elements; at += 16) {
      store_elements(y + at * out_element, e.with_residual(Simd::load(a + 2 * at), Simd::load(b + 2 * at)), p.row_elements - at, e.kind);
    }
  }
}

void edgec_lookup__avx2(const void *params, uint8_t *const *operands) {
  const edgec_host_lookup &p = *static_cast<const edgec_host_lookup *>(params);
  const Ladder ladder(p);
  const V low_byte = Simd::set16(0xff);  // padding elements hold anything
  const int32_t out_element = p.kind == EDGEC_KIND_S16 ? 2 : 1;
  for (int32_t row = 0; row < p.rows; row++) {
    const uint8_t *const x = operands[0] + static_cast<intptr_t>(row) * p.in_row_bytes;
    uint8_t *const y = operands[1] + static_cast<intptr_t>(row) * p.out_row_bytes;
    for (int32_t at = 0; at < p.row_elements; at += 32) {
      const int32_t count = p.row_elements - at;
      const V first = _mm256_and_si256(Simd::load(x + 2 * at), low_byte);
      const V second = count > 16 ? _mm256_and_si256(Simd::load(x + 2 * at + 32), low_byte) : first;
      const V q = ladder(_mm256_packus_epi16(first, second));
      store_elements(y + out_element * at, _mm256_srai_epi16(Simd::low8(q, q), 8), count, p.kind);
      if (count > 16) {
        store_elements(y + out_element * (at + 16), _mm256_srai_epi16(Simd::high8(q, q), 8), count - 16, p.kind);
      }
    }
  }
}

// Between S8 and S16, or a copy; touches exactly count elements.
void edgec_convert__avx2(uint8_t *to, const uint8_t *from, int32_t count, int32_t from_kind, int32_t to_kind) {
  if (from_kind == to_kind) {
    memcpy(to, from, static_cast<size_t>(count) * (to_kind == EDGEC_KIND_S16 ? 2u : 1u));
    return;
  }
  int32_t at = 0;
  if (to_kind == EDGEC_KIND_S16) {
    for (; at + 16 <= count; at += 16) {
      Simd::store(to + 2 * at, _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i *>(from + at))));
    }
    if (at < count) {
      const V tail = Simd::load_head(from + at, count - at);
      Simd::store_head(to + 2 * at, _mm256_cvtepi8_epi16(Simd::piece<0>(tail)), 2 * (count - at));
    }
    return;
  }
  for (; at < count; at += 16) {
    const V q = count - at >= 16 ? Simd::load(from + 2 * at) : Simd::load_head(from + 2 * at, 2 * (count - at));
    store_elements(to + at, q, count - at, EDGEC_KIND_S8);
  }
}
}
