// multiply() for i8mm: an accumulator is two positions by two channels, and SMMLA adds eight taps to each of the four.
#ifndef EDGEC_CONV_OCTETS_NEON_H
#define EDGEC_CONV_OCTETS_NEON_H

namespace {

template <int MR, int NV>
EDGEC_INLINE void multiply_octets(const edgec_host_conv &c, const uint8_t *input, const int32_t *in_offset, const uint8_t *w, const int32_t *bias,
                                  V (&acc)[MR][NV]) {
  static_assert(MR % 2 == 0, "positions come in pairs");
  constexpr int pairs = MR / 2;
  const uint8_t *position[MR];
  unroll<MR>([&](auto m) EDGEC_LAMBDA { position[m] = input + in_offset[m]; });
  V square[pairs][2 * NV];
  unroll<NV>([&](auto n) EDGEC_LAMBDA {
    const V b = Simd::load(bias + n * Simd::lanes);
    unroll<pairs>([&](auto p) EDGEC_LAMBDA {
      square[p][2 * n] = Simd::low64(b, b);
      square[p][2 * n + 1] = Simd::high64(b, b);
    });
  });
  constexpr int octet_bytes = 2 * NV * Simd::bytes;
  const auto octet = [&](const V(&x)[pairs], const uint8_t *at) EDGEC_LAMBDA {
    unroll<2 * NV>([&](auto r) EDGEC_LAMBDA {
      const V weights = Simd::load(at + r * Simd::bytes);
      unroll<pairs>([&](auto p) EDGEC_LAMBDA { square[p][r] = vmmlaq_s32(square[p][r], Simd::b(x[p]), Simd::b(weights)); });
    });
  };
  for (int32_t s = 0; s < c.segments; s++) {
    intptr_t at = c.segment_offset[s];
    const uint8_t *const end = w + c.segment_dwords / 2 * octet_bytes;
    const uint8_t *const whole = end - c.segment_dwords / 2 % 2 * octet_bytes;
    const auto both = [&](V(&first)[pairs], V(&last)[pairs]) EDGEC_LAMBDA {
      unroll<pairs>([&](auto p) EDGEC_LAMBDA {
        const V a = Simd::load(position[2 * p] + at), b = Simd::load(position[2 * p + 1] + at);
        first[p] = Simd::low64(a, b);
        last[p] = Simd::high64(a, b);
      });
    };
    V first[pairs], last[pairs];
    for (; w != whole; w += 2 * octet_bytes) {
      both(first, last);
      octet(first, w);
      octet(last, w + octet_bytes);
      at += 16;
    }
    if (w != end) {
      both(first, last);
      octet(first, w);
      w += octet_bytes;
    }
  }
  unroll<pairs>([&](auto p) EDGEC_LAMBDA {
    unroll<NV>([&](auto n) EDGEC_LAMBDA {
      acc[2 * p][n] = Simd::low64(square[p][2 * n], square[p][2 * n + 1]);
      acc[2 * p + 1][n] = Simd::high64(square[p][2 * n], square[p][2 * n + 1]);
    });
  });
}

}  // namespace

#endif
