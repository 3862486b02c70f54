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
  const auto octet = [&](const V(&x)[pairs], const uint8_t *at, auto which) EDGEC_LAMBDA {
    unroll<NV>([&](auto n) EDGEC_LAMBDA {
      V weights[2];
      Simd::load_constants<decltype(which)::value * octet_bytes + 2 * decltype(n)::value * Simd::bytes>(at, weights);
      unroll<2>([&](auto j) EDGEC_LAMBDA {
        unroll<pairs>([&](auto p) EDGEC_LAMBDA { Simd::matrix(square[p][2 * n + j], x[p], weights[j]); });
      });
    });
  };
  for (int32_t s = 0; s < c.segments; s++) {
    intptr_t at = c.segment_offset[s];
    const uint8_t *const end = w + c.segment_dwords / 2 * octet_bytes;
    const uint8_t *const whole = end - c.segment_dwords / 2 % 2 * octet_bytes;
    for (; w != whole; w += 2 * octet_bytes) {
      V first[pairs], last[pairs];
      unroll<pairs>([&](auto p) EDGEC_LAMBDA {
        const V a = Simd::load(position[2 * p] + at), b = Simd::load(position[2 * p + 1] + at);
        first[p] = Simd::low64(a, b);
        last[p] = Simd::high64(a, b);
        Simd::keep(first[p]);
        Simd::keep(last[p]);
      });
      octet(first, w, Index<0>());
      octet(last, w, Index<1>());
      at += 16;
    }
    if (w != end) {
      V first[pairs];
      unroll<pairs>([&](auto p) EDGEC_LAMBDA { first[p] = Simd::low64(Simd::load(position[2 * p] + at), Simd::load(position[2 * p + 1] + at)); });
      octet(first, w, Index<0>());
      w += octet_bytes;
    }
  }
  unroll<pairs>([&](auto p) EDGEC_LAMBDA {
    unroll<NV>([&](auto n) EDGEC_LAMBDA {
      acc[2 * p][n] = Simd::low64(square[p][2 * n], square[p][2 * n + 1]);
      acc[2 * p + 1][n] = Simd::high64(square[p][2 * n], square[p][2 * n + 1]);
      Simd::keep(acc[2 * p][n]);
      Simd::keep(acc[2 * p + 1][n]);
    });
  });
}

}  // namespace

#endif
