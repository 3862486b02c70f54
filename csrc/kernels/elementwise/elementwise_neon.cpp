// add, lookup and copies into the arena, AArch64.
#include "kernels/simd/simd_neon.h"
#include "kernels/simd/epilogue_s8.h"
#include "kernels/elementwise/elementwise_u8.h"
#include "kernels/elementwise/pixels.h"
#include "kernels/elementwise/lookup_neon.h"

extern "C" {
void edgec_add__neon(const void *params, uint8_t *const *operands) { add_rows(params, operands); }
void edgec_lookup__neon(const void *params, uint8_t *const *operands) { lookup_tables(params, operands); }
void edgec_pixels__neon(const void *params, uint8_t *const *operands) { move_bytes(params, operands); }
}
