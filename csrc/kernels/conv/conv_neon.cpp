// Convolutions, AArch64 without the dot product extension.
#include "kernels/simd/simd_neon.h"
#include "kernels/simd/epilogue_s8.h"
#include "kernels/conv/conv_tile_neon.h"
#include "kernels/conv/conv_u8.h"
#include "kernels/conv/depthwise_taps_neon.h"

#define TILE(MR, NV) {MR, NV, 1, &conv<MR, NV>, EDGEC_ORDER_PAIRS}

extern "C" {

const edgec_host_tile edgec_conv_tiles__neon[] = {
    TILE(1, 1), TILE(2, 1), TILE(4, 1), TILE(8, 1), TILE(1, 2), TILE(2, 2), TILE(3, 2), TILE(4, 2), TILE(6, 2), TILE(1, 4), TILE(2, 4), TILE(3, 4),
    TILE(4, 4), TILE(1, 8), TILE(2, 8), {0, 0, 0, nullptr}};
void edgec_depthwise__neon(const void *params, uint8_t *const *operands) { depthwise_by_taps(params, operands); }
void edgec_depthwise_pair__neon(const void *params, uint8_t *const *operands) { depthwise_by_taps(params, operands); }
edgec_host_step edgec_depthwise_ring__neon(int32_t, int32_t) { return nullptr; }
void edgec_peak__neon(int32_t iterations) {
  V x = Simd::set8(1), acc[12];
  unroll<12>([&](auto i) EDGEC_LAMBDA { acc[i] = Simd::zero(); });
  for (int32_t n = 0; n < iterations; n++) {
    unroll<12>([&](auto i) EDGEC_LAMBDA {
      __asm__("" : "+w"(x));  // the products of each turn are its own
      acc[i] = vpadalq_s16(acc[i], vmlal_high_s8(vmull_s8(vget_low_s8(Simd::b(x)), vget_low_s8(Simd::b(x))), Simd::b(x), Simd::b(x)));
    });
  }
  unroll<12>([&](auto i) EDGEC_LAMBDA { __asm__ volatile("" ::"w"(acc[i])); });
}
}
