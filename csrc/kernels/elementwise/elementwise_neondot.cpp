// add, lookup and copies into the arena, AArch64 with the dot product extension.
#include "kernels/simd/simd_neon.h"
#include "kernels/simd/epilogue_s8.h"
#include "kernels/elementwise/elementwise_u8.h"
#include "kernels/elementwise/lookup_neon.h"

extern "C" {
void edgec_add__neondot(const void *params, uint8_t *const *operands) { add_rows(params, operands); }
void edgec_lookup__neondot(const void *params, uint8_t *const *operands) { lookup_tables(params, operands); }
void edgec_convert__neondot(uint8_t *to, const uint8_t *from, int32_t count, int32_t from_kind, int32_t to_kind) {
  convert_bytes(to, from, count, from_kind, to_kind);
}
}
