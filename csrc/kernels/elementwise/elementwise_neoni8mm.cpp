// add, lookup and copies into the arena, AArch64 with the 8-bit matrix multiply extension.
#include "kernels/simd/simd_neon.h"
#include "kernels/simd/epilogue_s8.h"
#include "kernels/elementwise/elementwise_u8.h"
#include "kernels/elementwise/pixels.h"
#include "kernels/elementwise/lookup_neon.h"

extern "C" {
void edgec_add__neoni8mm(const void *params, uint8_t *const *operands) { add_rows(params, operands); }
void edgec_lookup__neoni8mm(const void *params, uint8_t *const *operands) { lookup_tables(params, operands); }
void edgec_pixels__neoni8mm(const void *params, uint8_t *const *operands) { move_bytes(params, operands); }
}
