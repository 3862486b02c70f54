// max_pool2d, AVX2 with int16 activations. (average_pool2d runs as a depthwise convolution by ones.)
#include "kernels/simd/simd_avx2.h"
#include "kernels/simd/epilogue_s16.h"

extern "C" void edgec_max_pool__avx2(const void *params, uint8_t *const *operands) {
  const edgec_host_max_pool &p = *static_cast<const edgec_host_max_pool *>(params);
  const V low = Simd::set16(p.low), high = Simd::set16(p.high);
  const int32_t out_element = p.kind == EDGEC_KIND_S16 ? 2 : 1;
  for (int32_t row = 0; row < p.rows; row++) {
    const uint8_t *const x = operands[0] + static_cast<intptr_t>(row) * p.in_row_bytes;
    uint8_t *const y = operands[1] + static_cast<intptr_t>(row) * p.out_row_bytes;
    for (int32_t at = 0; at < p.row_elements; at += 16) {
      V top = Simd::load(x + p.tap_offset[0] + 2 * at);
      for (int32_t t = 1; t < p.taps; t++) {
        top = Simd::max16(top, Simd::load(x + p.tap_offset[t] + 2 * at));
      }
      store_elements(y + at * out_element, Simd::min16(Simd::max16(top, low), high), p.row_elements - at, p.kind);
    }
  }
}
