// add, lookup and changes of element, AVX-VNNI.
#include "kernels/simd/simd_avx2.h"
#include "kernels/simd/epilogue_u8.h"
#include "kernels/elementwise/elementwise_u8.h"

extern "C" {
void edgec_add__avxvnni(const void *params, uint8_t *const *operands) { add_rows(params, operands); }
void edgec_lookup__avxvnni(const void *params, uint8_t *const *operands) { lookup_rows(params, operands); }
void edgec_convert__avxvnni(uint8_t *to, const uint8_t *from, int32_t count, int32_t from_kind, int32_t to_kind) {
  convert_bytes(to, from, count, from_kind, to_kind);
}
}
