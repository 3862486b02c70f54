// Convolutions, AArch64 with the dot product extension.
#include "kernels/conv/conv_neondot.h"

extern "C" {

const edgec_host_tile edgec_conv_tiles__neondot[] = {
    TILE(1, 1), TILE(2, 1), TILE(4, 1), TILE(8, 1), TILE(12, 1), TILE(1, 2), TILE(2, 2), TILE(3, 2), TILE(4, 2), TILE(6, 2), TILE(8, 2),
    TILE(1, 4), TILE(2, 4), TILE(3, 4), TILE(4, 4), TILE(5, 4), TILE(6, 4), TILE(1, 8), TILE(2, 8), TILE(3, 8), {0, 0, 0, nullptr}};
void edgec_depthwise__neondot(const void *params, uint8_t *const *operands) { depthwise<1>(params, operands); }
void edgec_depthwise_pair__neondot(const void *params, uint8_t *const *operands) { depthwise<2>(params, operands); }
void edgec_depthwise_taps__neondot(const void *params, uint8_t *const *operands) { depthwise_by_taps(params, operands); }
edgec_host_step edgec_depthwise_ring__neondot(int32_t pixel_bytes, int32_t rows) { return ring_of(pixel_bytes, rows); }
void edgec_peak__neondot(int32_t iterations) {
  const V x = Simd::set8(1);
  V acc[12];
  unroll<12>([&](auto i) EDGEC_LAMBDA { acc[i] = Simd::zero(); });
  for (int32_t n = 0; n < iterations; n++) {
    unroll<12>([&](auto i) EDGEC_LAMBDA { Simd::dot(acc[i], x, x); });
  }
  unroll<12>([&](auto i) EDGEC_LAMBDA { __asm__ volatile("" ::"w"(acc[i])); });
}
}
