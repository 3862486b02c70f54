// Convolution kernels of the tiers whose element is a byte. After the tier's Simd, its epilogue, its multiply(), gather() and scatter().
#ifndef EDGEC_CONV_U8_H
#define EDGEC_CONV_U8_H

namespace {

// Dword i of a register of results that is to be dword of[i] of one in the order of positions; or, inverse, the other way round.
template <int NV, bool inverse> struct PositionOrder {
  alignas(64) int32_t of[Simd::lanes] = {};
  constexpr PositionOrder() {
    constexpr int g = NV < 4 ? NV : 4, positions = 4 / g;
    for (int p = 0; p < positions; p++) {
      for (int l = 0; l < Simd::chunks; l++) {
        for (int j = 0; j < g; j++) {
          const int by_position = p * (g * Simd::chunks) + l * g + j, packed = l * 4 + p * g + j;
          of[inverse ? packed : by_position] = inverse ? by_position : packed;
        }
      }
    }
  }
};
template <int NV, bool inverse> constexpr PositionOrder<NV, inverse> position_orders{};

// order of a tile: byte register of requantize() to position-major order.
template <int NV> EDGEC_INLINE V position_order() { return Simd::load(position_orders<NV, false>.of); }
// A register in the order of positions as requantize() has its bytes.
template <int NV> EDGEC_INLINE V from_positions(V v) { return Simd::permute32(Simd::load(position_orders<NV, true>.of), v); }

// Requantize the accumulators of a tile, add the residual, store: `count` bytes a position.
template <int form, int MR, int NV>
EDGEC_INLINE void finish(const edgec_host_conv &c, const Epilogue &e, V (&acc)[MR][NV], const int32_t *multiplier, int32_t count,
                         uint8_t *output, const int32_t *out_offset, const uint8_t *residual, const int32_t *residual_offset, V order) {
  e.scale<form>(acc, multiplier);
  if constexpr (NV >= 4) {
    unroll<MR>([&](auto m) EDGEC_LAMBDA {
      unroll<NV / 4>([&](auto b) EDGEC_LAMBDA {
        const V a0 = acc[m][4 * b], a1 = acc[m][4 * b + 1], a2 = acc[m][4 * b + 2], a3 = acc[m][4 * b + 3];
        const uint8_t *const other = residual + residual_offset[m] + b * Simd::bytes;
        const int32_t left = count - b * Simd::bytes;
        V q;
        if constexpr (form == SUMMED) {
          q = e.pack_sums(a0, a1, a2, a3, Simd::load(other));
        } else {
          q = e.pack<form>(a0, a1, a2, a3);
          if (__builtin_expect(e.add != 0, 0)) {
            q = e.with_residual(q, Simd::load(other));
          }
        }
        q = e.stored(q);
        uint8_t *const to = output + out_offset[m] + b * Simd::bytes;
        if (left >= Simd::bytes) {
          Simd::store(to, q);
        } else if (left > 0) {
          Simd::store_head(to, q, left);
        }
      });
    });
  } else {
    constexpr int at_once = 4 / NV;  // positions of one register of bytes
    constexpr int pieces = NV * Simd::chunks / 4;  // 16-byte pieces a position; 0 where a piece holds two positions
    unroll<(MR + at_once - 1) / at_once>([&](auto g) EDGEC_LAMBDA {
      const auto a = [&](auto j) EDGEC_LAMBDA -> V {
        constexpr int position = decltype(g)::value * at_once + decltype(j)::value / NV;
        return acc[position < MR ? position : MR - 1][decltype(j)::value % NV];
      };
      constexpr int first = decltype(g)::value * at_once, there = MR - first < at_once ? MR - first : at_once;
      const auto other = [&]() EDGEC_LAMBDA -> V {
        return there == at_once && c.residual_runs ? Simd::load(residual + residual_offset[first])
                                                   : gather<at_once, pieces>(residual, residual_offset + first, there);
      };
      V q;
      if constexpr (form == SUMMED) {
        q = Simd::permute32(order, e.pack_sums(a(Index<0>()), a(Index<1>()), a(Index<2>()), a(Index<3>()), from_positions<NV>(other())));
      } else {
        q = Simd::permute32(order, e.pack<form>(a(Index<0>()), a(Index<1>()), a(Index<2>()), a(Index<3>())));
        if (__builtin_expect(e.add != 0, 0)) {
          q = e.with_residual(q, other());
        }
      }
      q = e.stored(q);
      if (there == at_once && c.out_runs) {
        Simd::store(output + out_offset[first], q);
      } else {
        scatter<at_once, pieces, there>(output, out_offset + first, q, count);
      }
    });
  }
}

template <int MR, int NV, typename Product> EDGEC_INLINE void conv_by(const void *params, uint8_t *const *operands, const Product &product) {
  const edgec_host_conv &c = *static_cast<const edgec_host_conv *>(params);
  const Epilogue e(c.q);
  const V order = position_order<NV>();
  const int32_t k_bytes = c.segments * c.segment_dwords * (NV * Simd::bytes);
  for (int32_t block = 0; block < c.channel_blocks; block++) {
    const int32_t first_channel = block * NV * Simd::lanes;
    const int32_t count = c.channels - first_channel;
    const uint8_t *const weights = c.weights + static_cast<intptr_t>(block) * k_bytes;
    const int32_t *const bias = c.bias + first_channel;
    const int32_t *const multiplier = c.multiplier + 2 * first_channel;
    uint8_t *const output = operands[1] + first_channel;
    const uint8_t *const residual = operands[2] + first_channel;
    for (int32_t done = 0; done < c.positions;) {
      const int32_t p = done + MR <= c.positions ? done : c.positions - MR;  // the last tile overlaps the one before it
      V acc[MR][NV];
      product(c, operands[0], c.in_offset + p, weights, bias, acc);
      if (__builtin_expect(e.add == EDGEC_RESIDUAL_SUMMED, 0)) {
        finish<SUMMED>(c, e, acc, multiplier, count, output, c.out_offset + p, residual, c.residual_offset + p, order);
      } else if (__builtin_expect(e.narrow, 1)) {
        finish<NARROW>(c, e, acc, multiplier, count, output, c.out_offset + p, residual, c.residual_offset + p, order);
      } else {
        finish<ROUNDED>(c, e, acc, multiplier, count, output, c.out_offset + p, residual, c.residual_offset + p, order);
      }
      done = p + MR;
    }
  }
}

template <int MR, int NV> __attribute__((noinline)) void conv(const void *params, uint8_t *const *operands) {
  conv_by<MR, NV>(params, operands, [](const edgec_host_conv &c, const uint8_t *input, const int32_t *in_offset, const uint8_t *weights,
                                       const int32_t *bias, V(&acc)[MR][NV]) EDGEC_LAMBDA {
    multiply<MR, NV>(c, input, in_offset, weights, bias, acc);
  });
}

}  // namespace

#endif
