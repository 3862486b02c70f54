// Convolution as a product of positions by channels, without im2col: a tile of MR positions by NV registers of channels walks
// K as rows of contiguous bytes, one dword of the input broadcast a position. Needs Simd and its epilogue before it.
#ifndef EDGEC_CONV_TILE_H
#define EDGEC_CONV_TILE_H

namespace {

template <int MR, int NV> EDGEC_INLINE void multiply(const edgec_host_conv &c, const uint8_t *input, const int32_t *in_offset, const uint8_t *w,
                                                     const int32_t *bias, V (&acc)[MR][NV]) {
  const uint8_t *x[MR];
  unroll<MR>([&](auto m) EDGEC_LAMBDA { x[m] = input + in_offset[m]; });
  unroll<NV>([&](auto n) EDGEC_LAMBDA {
    const V b = Simd::load(bias + n * Simd::lanes);
    unroll<MR>([&](auto m) EDGEC_LAMBDA { acc[m][n] = b; });
  });
  for (int32_t s = 0; s < c.segments; s++) {
    const uint8_t *const end = w + c.segment_dwords * (NV * Simd::bytes);
    intptr_t at = c.segment_offset[s];
    do {
      V weights[NV];
      unroll<NV>([&](auto n) EDGEC_LAMBDA { weights[n] = Simd::load(w + n * Simd::bytes); });
      unroll<MR>([&](auto m) EDGEC_LAMBDA {
        const V v = Simd::broadcast(x[m] + at);
        unroll<NV>([&](auto n) EDGEC_LAMBDA { Simd::dot(acc[m][n], v, weights[n]); });
      });
      at += 4;
      w += NV * Simd::bytes;
    } while (w != end);
  }
}

EDGEC_INLINE void dot_only(int32_t iterations) {
  V acc[12];
  const V x = Simd::set8(1), w = Simd::set8(2);
  unroll<12>([&](auto i) EDGEC_LAMBDA { acc[i] = Simd::zero(); });
  for (int32_t n = 0; n < iterations; n++) {
    unroll<12>([&](auto i) EDGEC_LAMBDA { Simd::dot(acc[i], x, w); });
  }
  unroll<12>([&](auto i) EDGEC_LAMBDA { __asm__ volatile("" ::"x"(acc[i])); });
}

}  // namespace

#endif
