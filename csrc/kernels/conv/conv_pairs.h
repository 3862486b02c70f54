// Convolution with few output channels: two neighbouring positions share a register. After conv_u8.h.
#ifndef EDGEC_CONV_PAIRS_H
#define EDGEC_CONV_PAIRS_H

namespace {

// As multiply(), for MR pairs of neighbouring positions and up to half a register of channels: each position has half a register
// to itself until all of K is done.
template <int MR> EDGEC_INLINE void multiply_pairs(const edgec_host_conv &c, const uint8_t *input, const int32_t *in_offset, V (&acc)[MR][1]) {
  const uint8_t *x[MR];
  Simd::Half first[MR], second[MR];
  const uint8_t *w = c.weights;
  unroll<MR>([&](auto m) EDGEC_LAMBDA {
    x[m] = input + in_offset[2 * m];
    first[m] = second[m] = Simd::load_half(c.bias);
  });
  for (int32_t s = 0; s < c.segments; s++) {
    const uint8_t *const end = w + c.segment_dwords * Simd::bytes;
    intptr_t at = c.segment_offset[s], next = at + c.pair_bytes;
    do {
      const Simd::Half weights = Simd::load_half(w);
      unroll<MR>([&](auto m) EDGEC_LAMBDA {
        Simd::dot_half(first[m], Simd::broadcast_half(x[m] + at), weights);
        Simd::dot_half(second[m], Simd::broadcast_half(x[m] + next), weights);
      });
      at += 4;
      next += 4;
      w += Simd::bytes;
    } while (w != end);
  }
  unroll<MR>([&](auto m) EDGEC_LAMBDA { acc[m][0] = Simd::join_halves(first[m], second[m]); });
}

// Two neighbouring positions a register of results: for up to lanes / 2 channels.
template <int MR> __attribute__((noinline)) void conv_pairs(const void *params, uint8_t *const *operands) {
  const edgec_host_conv &c = *static_cast<const edgec_host_conv *>(params);
  const Epilogue e(c.q);
  const V order = position_order<1>();
  const int32_t count = c.channels;
  for (int32_t done = 0; done < c.positions;) {
    const int32_t p = done + 2 * MR <= c.positions ? done : c.positions - 2 * MR;
    V acc[MR][1];
    multiply_pairs<MR>(c, operands[0], c.in_offset + p, acc);
    if (__builtin_expect(e.narrow, 1)) {
      e.scale<NARROW>(acc, c.multiplier);
    } else if (e.add == EDGEC_RESIDUAL_SUMMED) {
      e.scale<SUMMED>(acc, c.multiplier);
    } else {
      e.scale<ROUNDED>(acc, c.multiplier);
    }
    unroll<MR / 4>([&](auto g) EDGEC_LAMBDA {
      const int32_t *const out = c.out_offset + p + 8 * g;
      const V a0 = acc[4 * g][0], a1 = acc[4 * g + 1][0], a2 = acc[4 * g + 2][0], a3 = acc[4 * g + 3][0];
      const int32_t *const other = c.residual_offset + p + 8 * g;
      V q;
      if (__builtin_expect(e.add == EDGEC_RESIDUAL_SUMMED, 0)) {
        q = Simd::permute32(order, e.pack_sums(a0, a1, a2, a3, from_positions<1>(gather_halves(operands[2], other))));
      } else {
        q = Simd::permute32(order, __builtin_expect(e.narrow, 1) ? e.pack<NARROW>(a0, a1, a2, a3) : e.pack<ROUNDED>(a0, a1, a2, a3));
        if (__builtin_expect(e.add != 0, 0)) {
          q = e.with_residual(q, gather_halves(operands[2], other));
        }
      }
      if (c.out_runs) {
        Simd::store(operands[1] + out[0], e.stored(q));
      } else {
        scatter_halves(operands[1], out, e.stored(q), count);
      }
    });
    done = p + 2 * MR;
  }
}

}  // namespace

#endif
