// add, lookup and changes of element, AVX-512.
#include "kernels/simd/simd_avx512.h"
#include "kernels/simd/epilogue_u8.h"
#include "kernels/elementwise/elementwise_u8.h"
#include "kernels/elementwise/pixels.h"
#include "kernels/elementwise/lookup_avx512.h"

extern "C" {
void edgec_add__avx512vnni(const void *params, uint8_t *const *operands) { add_rows(params, operands); }
void edgec_lookup__avx512vnni(const void *params, uint8_t *const *operands) { lookup_words(params, operands); }
void edgec_pixels__avx512vnni(const void *params, uint8_t *const *operands) { move_bytes(params, operands); }
}
