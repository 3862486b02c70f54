// add, lookup and changes of element, AVX-VNNI.
#include "kernels/simd/simd_avx2.h"
#include "kernels/simd/epilogue_u8.h"
#include "kernels/elementwise/elementwise_u8.h"
#include "kernels/elementwise/pixels.h"
#include "kernels/elementwise/lookup_avx2.h"

extern "C" {
void edgec_add__avxvnni(const void *params, uint8_t *const *operands) { add_rows(params, operands); }
void edgec_lookup__avxvnni(const void *params, uint8_t *const *operands) {
  const edgec_host_lookup &p = *static_cast<const edgec_host_lookup *>(params);
  const Ladder ladder(p);
  for (int32_t row = 0; row < p.rows; row++) {
    const uint8_t *const x = operands[0] + static_cast<intptr_t>(row) * p.in_row_bytes;
    uint8_t *const y = operands[1] + static_cast<intptr_t>(row) * p.out_row_bytes;
    for (int32_t at = 0; at < p.row_elements; at += Simd::bytes) {
      const V q = ladder(Simd::bit_xor(Simd::load(x + at), Simd::set8(Simd::flip)));
      store_up_to(y + at, q, p.row_elements - at);
    }
  }
}
void edgec_pixels__avxvnni(const void *params, uint8_t *const *operands) { move_bytes(params, operands); }
}
