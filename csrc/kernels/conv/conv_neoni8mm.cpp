// Convolutions, AArch64 with the 8-bit matrix multiply extension; one position at a time and depthwise as with the dot product alone.
#include "kernels/conv/conv_neondot.h"
#include "kernels/conv/conv_octets_neon.h"

namespace {

template <int MR, int NV> __attribute__((noinline)) void conv_octets(const void *params, uint8_t *const *operands) {
  conv_by<MR, NV>(params, operands, [](const edgec_host_conv &c, const uint8_t *input, const int32_t *in_offset, const uint8_t *weights,
                                       const int32_t *bias, V(&acc)[MR][NV]) EDGEC_LAMBDA {
    multiply_octets<MR, NV>(c, input, in_offset, weights, bias, acc);
  });
}

}  // namespace

#define OCTETS(MR, NV) {MR, NV, 1, &conv_octets<MR, NV>, EDGEC_ORDER_OCTETS}

extern "C" {

const edgec_host_tile edgec_conv_tiles__neoni8mm[] = {
    TILE(1, 1), TILE(2, 1), TILE(4, 1), TILE(8, 1), OCTETS(8, 1), OCTETS(12, 1), TILE(1, 2), TILE(2, 2), TILE(4, 2), TILE(8, 2), OCTETS(4, 2), OCTETS(8, 2),
    OCTETS(10, 2), TILE(1, 4), TILE(2, 4), TILE(4, 4), TILE(6, 4), OCTETS(2, 4), OCTETS(4, 4), OCTETS(6, 4), TILE(1, 8), TILE(2, 8), TILE(3, 8), OCTETS(2, 8),
    {0, 0, 0, nullptr}};
void edgec_depthwise__neoni8mm(const void *params, uint8_t *const *operands) { depthwise<1>(params, operands); }
void edgec_depthwise_pair__neoni8mm(const void *params, uint8_t *const *operands) { depthwise<2>(params, operands); }
void edgec_depthwise_taps__neoni8mm(const void *params, uint8_t *const *operands) { depthwise_by_taps(params, operands); }
edgec_host_step edgec_depthwise_ring__neoni8mm(int32_t pixel_bytes, int32_t rows) { return ring_of(pixel_bytes, rows); }
void edgec_peak__neoni8mm(int32_t iterations) {
  const V x = Simd::set8(1);
  V acc[6];  // each takes twice the products of a dot product
  unroll<6>([&](auto i) EDGEC_LAMBDA { acc[i] = Simd::zero(); });
  for (int32_t n = 0; n < iterations; n++) {
    unroll<6>([&](auto i) EDGEC_LAMBDA { Simd::matrix(acc[i], x, x); });
  }
  unroll<6>([&](auto i) EDGEC_LAMBDA { __asm__ volatile("" ::"w"(acc[i])); });
}
}
